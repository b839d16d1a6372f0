"""Connect, renew and disconnect as such a user; prints ``ok``. Run by a test in a process of its own."""

import os

import django


def main() -> None:
    """Needs no database server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.custom_user.settings"
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from tests.custom_user.models import Person
    from tests.integration.browsing import DISCONNECT, STATUS, Browser
    from thanksio_connect.models import ThanksIOConnection
    from thanksio_connect.testing import FakeThanksIO

    setup_test_environment()
    call_command("check", fail_level="WARNING", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    person = Person.objects.create(email="ann@example.com")
    browser = Browser()
    browser.force_login(person)
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        answer = browser.get(browser.allow(thanksio))
        assert answer["Location"] == STATUS, answer
        connection = ThanksIOConnection.objects.for_user(person)
        assert thanksio.is_live(connection.get_access_token())
        connection.refresh()
        assert thanksio.count("refresh_token") == 1
        browser.post(DISCONNECT)
    assert not ThanksIOConnection.objects.exists()
    print("ok")


if __name__ == "__main__":
    main()
