"""The examples of the API's pages run as they stand, against the fake, and each operation has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_public_surface import RESOURCES
from thanksio_connect.testing import FakeThanksIO

PAGES = Path(__file__).resolve().parents[2] / "docs" / "api"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

if not PAGES.exists():
    pytest.skip("the documentation is not shipped here", allow_module_level=True)


def example(page: Path) -> str:
    return "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))


@pytest.mark.django_db
@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_run(page, django_user_model, capsys):
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        connection = thanksio.connect(django_user_model.objects.create_user("ann"), user_id=7)
        names = {"connection": connection, "api": connection.api}
        names |= {"token": connection.get_access_token(), "api_url": connection.api._caller._api_url}
        exec(compile(example(page), page.name, "exec"), names)
        assert [record.status for record in thanksio.requests if record.outcome == "crashed"] == []
    assert capsys.readouterr().out


@pytest.mark.parametrize("resource", sorted(RESOURCES))
def test_each_resource_has_a_page_that_names_each_operation(resource):
    page = (PAGES / f"{resource}.md").read_text(encoding="utf-8")
    assert [name for name in RESOURCES[resource] if not re.search(rf"\b{name}\b", page)] == []
