"""``loaddata`` over existing rows restores the tokens, or ends with an error and changes nothing."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.core.serializers.base import DeserializationError
from django.db import IntegrityError

from tests.integration.browsing import make_user
from tests.integration.stored import NEWER, TOKENS, connect, renew, stored
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db
MODELS = ("thanksio_connect.ThanksIOConnection", "thanksio_connect.ConnectionTokens")


@pytest.fixture(params=["json", "xml", "yaml"])
def dump(request, tmp_path):
    """A dump of both tables, as they were before anything else happened."""
    connect()
    path = tmp_path / f"dump.{request.param}"
    call_command("dumpdata", *MODELS, output=str(path), format=request.param, verbosity=0)
    assert "access-1" not in path.read_text()
    return path


def load(path):
    call_command("loaddata", str(path), verbosity=0)


def test_over_a_renewed_row(dump):
    renew()
    assert stored() == NEWER
    load(dump)
    assert stored() == (*TOKENS, 1)


def test_over_nothing(dump):
    ThanksIOConnection.objects.all().delete()
    load(dump)
    assert stored() == (*TOKENS, 1)


def test_over_a_grant_of_later_it_says_that_it_did_not(dump):
    connect(number=2)
    with pytest.raises(IntegrityError, match=r"Could not load thanksio_connect\.ConnectionTokens"):
        load(dump)
    assert stored() == ("access-2", "refresh-2", 1)


def test_with_another_key_the_ciphertext_is_there_for_the_right_one(dump, settings):
    from cryptography.fernet import Fernet

    right, settings.FIELD_ENCRYPTION_KEY = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    ThanksIOConnection.objects.all().delete()
    load(dump)
    settings.FIELD_ENCRYPTION_KEY = right
    assert stored() == (*TOKENS, 1)


def test_a_dump_of_another_tool_with_masks_is_refused(tmp_path):
    connection = connect()
    path = tmp_path / "masks.json"
    fields = {"connection": connection.pk, "access_token": "********", "refresh_token": "********"}
    row = {"model": "thanksio_connect.connectiontokens", "pk": connection.tokens.pk, "fields": fields}
    path.write_text(json.dumps([row]))
    with pytest.raises((DeserializationError, CommandError)):
        load(path)
    assert stored() == (*TOKENS, 1)


def test_a_dump_of_the_connections_alone_leaves_the_tokens(tmp_path):
    connect()
    path = tmp_path / "half.json"
    call_command("dumpdata", MODELS[0], output=str(path), verbosity=0)
    renew()
    load(path)
    assert stored() == NEWER
    make_user("bob")
    ConnectionTokens.objects.all().delete()
    load(path)
    assert ThanksIOConnection.objects.get().needs_reconnect
