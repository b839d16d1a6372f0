"""Build the wheel, look into it, install it into an empty environment, and use it in a project of three lines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDED = (
    "thanksio_connect/py.typed",
    "thanksio_connect/migrations/0001_initial.py",
    "thanksio_connect/templates/thanksio_connect/connection.html",
    "thanksio_connect/templates/thanksio_connect/includes/connect_button.html",
    "thanksio_connect/templates/admin/thanksio_connect/disconnect_confirmation.html",
    "thanksio_connect/static/thanksio_connect/thanksio_connect.css",
    "thanksio_connect/templatetags/thanksio_connect.py",
    "thanksio_connect/management/commands/refresh_thanksio_tokens.py",
    "thanksio_connect/testing/pytest.py",
)
FOREIGN = ("example_project/", "tests/", "benchmarks/", "docs/", "manage.py")
STATUS_PAGE = """
from django.contrib.auth import get_user_model
from django.test import Client
user = get_user_model().objects.create_user("ann")
client = Client(SERVER_NAME="localhost")
client.force_login(user)
response = client.get("/thanksio/")
assert response.status_code == 200, response.status_code
assert "No thanks.io account is connected." in response.text, response.text
print("The status page answers.")
"""


def run(*words: str | Path, cwd: Path = REPOSITORY) -> None:
    print("+", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=cwd, check=True)


def build(folder: Path) -> Path:
    run(sys.executable, "-m", "build", "--outdir", folder)
    run(sys.executable, "-m", "twine", "check", "--strict", *folder.iterdir())
    [wheel] = folder.glob("*.whl")
    return wheel


def look_into(wheel: Path) -> None:
    """Everything that a user needs is in, nothing else is."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = REPOSITORY / "thanksio_connect"
    files = {path.relative_to(REPOSITORY).as_posix() for path in package.rglob("*") if path.is_file()}
    expected = {name for name in files if not name.endswith((".po", ".pyc"))} | set(NEEDED)
    expected |= {name.removesuffix(".po") + ".mo" for name in files if name.endswith(".po")}
    if missing := sorted(expected - names):
        raise SystemExit(f"Not in the wheel: {missing}")
    if foreign := sorted(name for name in names if name.startswith(FOREIGN)):
        raise SystemExit(f"Should not be in the wheel: {foreign}")
    print(f"{len(names)} files, nothing missing, nothing foreign.")


def use(wheel: Path, folder: Path) -> None:
    """As the README says: three lines in a new project."""
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    run(python, "-m", "pip", "check")
    run(folder / "venv" / "bin" / "django-admin", "startproject", "shop", folder)
    key = subprocess.run(
        [python, "-c", "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with (folder / "shop" / "settings.py").open("a") as settings:
        settings.write(f'\nINSTALLED_APPS += ["thanksio_connect"]\nFIELD_ENCRYPTION_KEY = "{key}"\n')
    with (folder / "shop" / "urls.py").open("a") as urls:
        urls.write("from django.urls import include\n")
        urls.write('urlpatterns += [path("thanksio/", include("thanksio_connect.urls"))]\n')
    for command in ("migrate", "check", "makemigrations --check --dry-run", "refresh_thanksio_tokens --dry-run"):
        run(python, "manage.py", *command.split(), cwd=folder)
    run(python, "manage.py", "shell", "-c", STATUS_PAGE, cwd=folder)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="thanksio-wheel-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        look_into(wheel)
        use(wheel, folder)
