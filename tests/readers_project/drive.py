"""Connect through the real pages, let each package read and write back, search all that came of it; prints ``ok``.

Run by a test in a process of its own.
"""

import json
import logging
import os
import pickle
from io import StringIO
from pathlib import Path

import django

ADMIN = "/admin/thanksio_connect/"


def main() -> None:
    """Needs no database server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.readers_project.settings"
    log = StringIO()
    logging.basicConfig(stream=log, level=logging.DEBUG)
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    setup_test_environment()
    call_command("migrate", run_syncdb=True, verbosity=0)
    from thanksio_connect.testing import FakeThanksIO

    with FakeThanksIO() as thanksio, thanksio.override_settings():
        secrets, shown = story(thanksio)
    shown |= {"log": log.getvalue(), "database": Path(os.environ["READERS_DATABASE"]).read_bytes().decode("latin-1")}
    assert len(secrets) == 5, len(secrets)
    for name, text in shown.items():
        assert text, name
        assert not [number for number, secret in enumerate(secrets) if secret in text], name
    print("ok")


def story(thanksio):
    """Returns the secrets, and what each reader made of them."""
    from django.contrib.auth import get_user_model

    from tests.integration.browsing import Browser
    from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection

    user = get_user_model().objects.create_superuser("ann")
    browser = Browser(raise_request_exception=False)
    browser.force_login(user)
    callback = browser.allow(thanksio)
    verifier = AuthorizationRequest.objects.get().code_verifier
    shown = {f"admin: {path}": browser.get(ADMIN + path).content.decode() for path in ("authorizationrequest/",)}
    assert "********" in shown["admin: authorizationrequest/"]
    secrets = [verifier.reveal()]
    browser.get(callback)
    connection = ThanksIOConnection.objects.for_user(user)
    secrets += tokens_of(connection)
    connection.refresh()
    secrets += tokens_of(connection)
    shown |= pages(browser, connection) | readers(connection) | audit()
    writers(connection)
    assert tokens_of(ThanksIOConnection.objects.for_user(user)) == secrets[-2:]
    without_a_fitting_key(browser, user)
    return secrets, shown


def tokens_of(connection):
    """In clear."""
    return [connection.tokens.access_token.reveal(), connection.tokens.refresh_token.reveal()]


def pages(browser, connection):
    """The project's own admin, and Django's page about an error, as HTML and as text."""
    from django.test import override_settings

    row = f"connectiontokens/{connection.tokens.pk}/"
    paths = ["connectiontokens/", f"{row}change/", f"{row}history/", f"{row}delete/"]
    found = {path: browser.get(ADMIN + path).content.decode() for path in paths}
    assert all("********" in found[path] for path in paths[:2])
    with override_settings(DEBUG=True):
        for accept in ("text/html", "text/plain"):
            response = browser.get("/fail/", headers={"accept": accept})
            assert response.status_code == 500
            found[accept] = response.content.decode()
            assert "access_token" in found[accept]
            assert "RuntimeError" in found[accept]
    return found


def readers(connection):
    """What walks over the fields."""
    from django.core import serializers
    from django.forms.models import model_to_dict
    from django.utils.encoding import force_str

    from thanksio_connect.models import ConnectionTokens

    tokens = connection.tokens
    _resource, dataset = export()
    walked = [force_str(getattr(tokens, field.attname)) for field in tokens._meta.concrete_fields]
    assert "********" in " ".join(walked)
    data = drf_serializer(ConnectionTokens)(tokens).data
    assert str(data["access_token"]) == "********"
    return {
        "rest_framework": json.dumps(data) + json.dumps(drf_serializer(type(connection))(connection).data),
        "import_export": dataset.csv + dataset.json + dataset.html,
        "model_to_dict": json.dumps(model_to_dict(tokens)) + str(model_to_dict(connection)),
        "serialize": "".join(serializers.serialize(name, [tokens, connection]) for name in ("json", "xml")),
        "python": repr(serializers.serialize("python", [tokens])),
        "values": repr(list(ConnectionTokens.objects.values())) + str(list(ConnectionTokens.objects.values_list())),
        "pickle": pickle.dumps([connection, tokens]).decode("latin-1"),
        "getattr": " ".join(walked),
        "history": repr(list(tokens.history.values())) + repr(list(connection.history.values())),
    }


def drf_serializer(of):
    """With all fields."""
    from rest_framework import serializers

    class Serializer(serializers.ModelSerializer):
        class Meta:
            model = of
            fields = "__all__"

    return Serializer


def export():
    """Of all fields."""
    from import_export import resources

    from thanksio_connect.models import ConnectionTokens

    class Resource(resources.ModelResource):
        class Meta:
            model = ConnectionTokens

    resource = Resource()
    dataset = resource.export()
    assert str(dataset.dict[0]["access_token"]) == "********"
    return resource, dataset


def audit():
    """What django-auditlog wrote down by itself."""
    from auditlog.models import LogEntry
    from django.contrib.contenttypes.models import ContentType

    from thanksio_connect.models import AuthorizationRequest, ConnectionTokens

    for row in ConnectionTokens.objects.all():
        row.save()
    kinds = {ContentType.objects.get_for_model(model).pk for model in (AuthorizationRequest,)}
    entries = LogEntry.objects.filter(content_type__in=kinds)
    assert entries.filter(changes__has_key="code_verifier").exists()
    return {"auditlog": json.dumps(list(LogEntry.objects.values("changes", "object_repr", "serialized_data")))}


def writers(connection):
    """What was shown is given back."""
    from rest_framework import serializers
    from tablib import Dataset

    from thanksio_connect.models import ConnectionTokens

    class Writable(drf_serializer(ConnectionTokens)):
        access_token = serializers.CharField()
        refresh_token = serializers.CharField()

    tokens = ConnectionTokens.objects.get()
    serializer = Writable(tokens, data=Writable(tokens).data)
    assert serializer.is_valid(), serializer.errors
    serializer.save()

    resource, dataset = export()
    dataset = Dataset().load(dataset.csv, "csv")
    result = resource.import_data(dataset, raise_errors=True)
    assert not result.has_errors()
    del dataset["id"]
    dataset.append_col(["f" * 32], header="id")
    result = resource.import_data(dataset)
    assert result.has_errors() or result.invalid_rows, "a masked row was imported as tokens"
    ConnectionTokens.objects.filter(pk="f" * 32).delete()


def without_a_fitting_key(browser, user):
    """Disconnecting and deleting need none, whoever listens."""
    from cryptography.fernet import Fernet
    from django.contrib.auth import get_user_model
    from django.test import override_settings

    from thanksio_connect.client.tokens import TokenSet
    from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

    for number, key in enumerate((Fernet.generate_key().decode(), None, "short")):
        other = get_user_model().objects.create_user(f"other-{number}")
        ThanksIOConnection.objects.connect(other, TokenSet("a", "r"))
        third = get_user_model().objects.create_user(f"third-{number}")
        ThanksIOConnection.objects.connect(third, TokenSet("a", "r"))
        ThanksIOConnection.objects.connect(user, TokenSet("a", "r"))
        with override_settings(FIELD_ENCRYPTION_KEY=key):
            assert browser.post("/thanksio/disconnect/").status_code == 302
            ThanksIOConnection.objects.get(user=other).disconnect()
            third.delete()
        assert not ConnectionTokens.objects.exists()


if __name__ == "__main__":
    main()
