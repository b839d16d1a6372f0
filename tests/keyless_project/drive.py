"""The project's own encrypted fields, before and after there is a key; prints ``ok``. Run in a process of its own."""

import os

import django


def main() -> None:
    """Needs no database server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.keyless_project.settings"
    django.setup()
    from cryptography.fernet import Fernet
    from django.core.management import call_command
    from django.db import connection
    from django.test import override_settings

    from tests.keyless_project.models import Diary
    from thanksio_connect.exceptions import ThanksIOConfigurationError

    call_command("migrate", run_syncdb=True, verbosity=0, skip_checks=True)
    try:
        Diary.objects.create(secret="clear text")
    except ThanksIOConfigurationError as error:
        assert "FIELD_ENCRYPTION_KEY" in str(error)
    else:
        raise AssertionError("it was encrypted with a key that nobody has")
    assert not Diary.objects.exists()

    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    with override_settings(FIELD_ENCRYPTION_KEY=old):
        Diary.objects.create(secret="clear text")
        assert Diary.objects.get().secret == "clear text"
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM keyless_project_diary")
        [stored] = cursor.fetchone()
    assert Fernet(old).decrypt(stored.encode()) == b"clear text"
    with override_settings(FIELD_ENCRYPTION_KEY=f"{new},{old}"):
        assert Diary.objects.get().secret == "clear text"
    print("ok")


if __name__ == "__main__":
    main()
