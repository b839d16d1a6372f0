"""The operations chapter on a fresh project and a fresh database, as printed: cron, the metrics file, a staging copy, a
new key, a backup.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.docs_blocks import DOCS, REPOSITORY, blocks_of
from thanksio_connect.testing import ThanksIOServer

SETTINGS = """
import os

INSTALLED_APPS += ["thanksio_connect"]
FIELD_ENCRYPTION_KEY = os.environ.get("FIELD_ENCRYPTION_KEY")
LOGIN_URL = "admin:login"
THANKSIO_RATE_LIMIT_PER_MINUTE = 6000
"""
URLS = """
from django.urls import include

urlpatterns += [path("thanksio/", include("thanksio_connect.urls"))]
"""
CONNECT = """
import django, json, sys

django.setup()
from django.contrib.auth.models import User
from thanksio_connect.models import ThanksIOConnection

for name, token_set in json.loads(sys.argv[1]).items():
    ThanksIOConnection.objects.connect(User.objects.create(username=name), token_set)
"""


@dataclass
class Site:
    """A project outside of the repository. Its settings come from a file, as in the pages."""

    folder: Path
    standin: ThanksIOServer
    key: str

    @property
    def environment_file(self) -> Path:
        return self.folder / "shop.env"

    def write_environment(self, key: str) -> None:
        values = self.standin.settings() | {"FIELD_ENCRYPTION_KEY": key, "PYTHONPATH": str(REPOSITORY)}
        self.environment_file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the pages as cron does, without an environment; the paths are this site's."""
        here = {
            "/etc/shop.env": str(self.environment_file),
            "/srv/shop/venv/bin/python": sys.executable,
            "/srv/shop": str(self.folder),
            "/var/lib/node_exporter": str(self.folder),
        }
        for path, own in here.items():
            line = line.replace(path, own)
        command = ["/usr/bin/env", "-i", "/bin/sh", "-c", line]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)

    def manage(self, words: str) -> subprocess.CompletedProcess[str]:
        return self.shell(f"set -a; . /etc/shop.env; /srv/shop/venv/bin/python -W ignore /srv/shop/manage.py {words}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", str(folder)], check=True)
    for name, text in (("settings", SETTINGS), ("urls", URLS)):
        with (folder / "shop" / f"{name}.py").open("a") as file:
            file.write(text)
    with ThanksIOServer() as standin:
        site = Site(folder, standin, Fernet.generate_key().decode())
        site.write_environment(site.key)
        assert site.manage("migrate -v 0").returncode == 0
        yield site


@pytest.fixture
def site(made):
    """With two connections, and a database that is as new afterwards."""
    place, kept = made.folder / "db.sqlite3", made.folder / "kept.sqlite3"
    shutil.copy(place, kept)
    made.write_environment(made.key)
    (made.folder / "connect.py").write_text(CONNECT)
    text = json.dumps({name: grant(made.standin, number) for number, name in enumerate(("ada", "bob"), 1)})
    line = "set -a; . /etc/shop.env; DJANGO_SETTINGS_MODULE=shop.settings PYTHONPATH=$PYTHONPATH:."
    connected = made.shell(f"{line} /srv/shop/venv/bin/python connect.py '{text}'")
    assert connected.returncode == 0, connected.stderr
    yield made
    shutil.copy(kept, place)


def grant(standin: ThanksIOServer, user_id: int) -> dict[str, object]:
    issued = standin.issue(user_id=user_id)
    tokens = {"access_token": issued.access_token, "refresh_token": issued.refresh_token}
    return {**tokens, "expires_in": 3600}


def printed(page: str, language: str, word: str) -> str:
    """The page's block of this language that has the word."""
    [text] = [each.text for each in blocks_of(DOCS / page) if each.language == language and word in each.text]
    return text


def test_the_line_for_cron_works_without_an_environment_and_is_silent(site):
    line = re.sub(r"^(\S+ ){5}", "", printed("refreshing.md", "text", "*/5")).strip()
    done = site.shell(line)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    bare = site.shell(line.replace("set -a; . /etc/shop.env; ", f"PYTHONPATH={REPOSITORY} "))
    assert bare.returncode == 2
    assert "THANKSIO_CLIENT_ID is not set." in bare.stderr


def test_the_metrics_file_is_whole(site):
    block = printed("monitoring.md", "sh", "openmetrics").replace(
        "python manage.py", "/srv/shop/venv/bin/python manage.py"
    )
    assert site.shell(f"set -a; . /etc/shop.env; {block}").returncode == 0
    text = (site.folder / "thanksio.prom").read_text()
    assert 'thanksio_connections{state="connected"} 2' in text
    assert text.endswith("# EOF\n")


def test_a_staging_copy_with_another_key_sends_nothing_and_takes_nothing_away(site):
    before = site.standin.count("refresh_token")
    site.write_environment(Fernet.generate_key().decode())
    done = site.manage("refresh_thanksio_tokens --all")
    assert (done.returncode, "undecryptable 2" in done.stdout) == (1, True)
    assert site.standin.count("refresh_token") == before
    site.write_environment(site.key)
    assert site.manage("refresh_thanksio_tokens --all").returncode == 0


def test_a_key_that_leaked_is_changed_and_the_stolen_pairs_are_dead(site):
    new = Fernet.generate_key().decode()
    site.write_environment(f"{new},{site.key}")
    assert site.manage("reencrypt_thanksio_tokens").stdout == (
        "re-encrypted 2, open authorizations 0, undecryptable 0, changed meanwhile 0, not written 0\n"
    )
    site.write_environment(new)
    before = site.standin.count("refresh_token")
    assert site.manage("refresh_thanksio_tokens --all").returncode == 0
    assert site.standin.count("refresh_token") == before + 2


def test_after_a_restore_those_who_were_renewed_since_have_to_connect_again(site):
    models = "thanksio_connect.ThanksIOConnection thanksio_connect.ConnectionTokens"
    assert site.manage(f"dumpdata {models} -o dump.json").returncode == 0
    assert site.manage("refresh_thanksio_tokens --user ada").returncode == 0
    assert site.manage("loaddata dump.json").returncode == 0
    done = site.manage("refresh_thanksio_tokens --all -v 2")
    assert done.returncode == 1
    assert "ada (connection 1): needs its owner to connect again (invalid_grant)" in done.stdout
    assert "bob (connection 2): renewed" in done.stdout
