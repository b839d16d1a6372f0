"""Work in the admin of such a project; prints ``ok``. Run by a test in a process of its own."""

import os

import django


def main() -> None:
    """Needs no database server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.staff_project.settings"
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from tests.staff_project.models import Person
    from thanksio_connect.testing import FakeThanksIO

    setup_test_environment()
    call_command("check", fail_level="WARNING", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    boss = Person.objects.create(mail_address="boss@example.com", known_as="Boss", is_staff=True, is_superuser=True)
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        for site in ("admin", "office"):
            people = [
                Person.objects.create(mail_address=f"{name}@{site}.example", known_as=f"{name.title()} Smith")
                for name in ("ann", "ben")
            ]
            work(boss, site, [thanksio.connect(person) for person in people])
        assert thanksio.count("refresh_token") == 2
    print("ok")


def work(boss, site, connections) -> None:
    """Every page, by the names that this project has."""
    from django.test import Client

    from thanksio_connect.models import ThanksIOConnection

    client = Client()
    client.force_login(boss)
    ann, ben = connections
    rows = f"/{site}/thanksio_connect/thanksioconnection/"

    def text(path: str) -> str:
        response = client.get(path)
        assert response.status_code == 200, (path, response)
        return b"".join(response).decode()

    assert f"ann@<wbr>{site}.example" in text(rows)
    for query in ("ann@", "ann smith", str(ann.thanksio_user_id)):
        found = text(f"{rows}?q={query}")
        assert f"{rows}{ann.pk}/change/" in found, query
        assert f"{rows}{ben.pk}/change/" not in found, query
    page = text(f"{rows}{ann.pk}/change/")
    persons_page = f"/{site}/staff_project/person/{ann.user_id}/change/"
    assert f"Ann Smith (ann@{site}.example)" in page
    assert f'href="{persons_page}"' in page
    assert f'href="{rows}{ann.pk}/change/"' in text(persons_page)
    assert f'action="{rows}{ann.pk}/refresh/"' in page
    assert client.post(f"{rows}{ann.pk}/refresh/")["Location"] == f"{rows}{ann.pk}/change/"
    assert f"Ann Smith (ann@{site}.example),ann@{site}.example,Connected," in text(f"{rows}csv/")
    client.post(f"{rows}{ann.pk}/disconnect/")
    assert not ThanksIOConnection.objects.filter(pk=ann.pk).exists()
    client.post(f"/{site}/staff_project/person/{ben.user_id}/delete/", {"post": "yes"})
    assert not ThanksIOConnection.objects.exists()


if __name__ == "__main__":
    main()
