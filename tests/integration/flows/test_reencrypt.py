"""Re-encryption under a new key, beside all that goes on meanwhile."""

import io
import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from thanksio_connect.flows import reencrypt
from thanksio_connect.models import AuthorizationRequest, ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO
from thanksio_connect.webhooks.address import address_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def thanksio():
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def connect(thanksio):
    def make(name):
        return ThanksIOConnection.objects.connect(get_user_model().objects.create(username=name), thanksio.issue())

    return make


@pytest.fixture
def authorization(django_user_model):
    """An authorization that is open."""
    user = django_user_model.objects.create(username="in the middle of it")
    expires_at = timezone.now() + timedelta(hours=1)
    return AuthorizationRequest.objects.create(
        user=user, state_digest="d", code_verifier="the verifier", expires_at=expires_at
    )


def test_reencrypt_moves_every_row_to_the_newest_key(connect, thanksio, settings):
    connection = connect("a")
    token = connection.get_access_token()
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEY = [new, old]
    out = io.StringIO()
    call_command("reencrypt_thanksio_tokens", stdout=out)
    assert "re-encrypted 1, open authorizations 0, undecryptable 0" in out.getvalue()
    settings.FIELD_ENCRYPTION_KEY = new
    fresh = ConnectionTokens.objects.get()
    assert (fresh.access_token.reveal(), fresh.version) == (token, 1)


def test_reencrypt_keeps_what_no_key_fits(connect, settings):
    connect("a")
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
    with pytest.raises(CommandError, match="they were kept") as caught:
        call_command("reencrypt_thanksio_tokens", stdout=io.StringIO())
    assert caught.value.returncode == 1


def test_reencrypt_keeps_an_address_for_webhooks_that_was_made_meanwhile(connect, monkeypatch):
    """thanks.io knew of an address that the row had no token of any more: the next registration made another one."""
    made, reencrypted = [], reencrypt._reencrypted
    tokens = connect("ada").tokens

    def meanwhile(value):
        if not made:
            made.append(address_of(tokens))
        return reencrypted(value)

    monkeypatch.setattr(reencrypt, "_reencrypted", meanwhile)
    assert reencrypt.reencrypt_all().reencrypted == 1
    assert address_of(tokens).token == made[0].token


def test_reencrypt_leaves_no_part_of_a_row_that_is_renewed_meanwhile_under_the_old_key(connect, settings, monkeypatch):
    """A renewal writes the pair alone: after the old key was dropped, the address for webhooks was lost."""
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    connection = connect("ada")
    address, reencrypted, renewed = address_of(connection.tokens), reencrypt._reencrypted, []
    settings.FIELD_ENCRYPTION_KEY = [new, old]

    def meanwhile(value):
        if not renewed:
            renewed.append(connection.refresh(force=True))
        return reencrypted(value)

    monkeypatch.setattr(reencrypt, "_reencrypted", meanwhile)
    assert reencrypt.reencrypt_all().reencrypted == 1
    settings.FIELD_ENCRYPTION_KEY = new
    assert address_of(connection.tokens).token == address.token


def test_a_key_is_changed_in_phases_and_each_release_reads_what_the_one_beside_it_writes(connect, thanksio, settings):
    """Rolling deploys: two phases are live at once, and each renews what the other has written."""
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    phases = [old], [old, new], [new, old], [new]
    row = connect("ada")
    for before, after in pairwise(phases):
        if after == [new]:
            call_command("reencrypt_thanksio_tokens", stdout=io.StringIO())
        for release in (before, after, before, after):
            settings.FIELD_ENCRYPTION_KEY = release
            found = ThanksIOConnection.objects.get(pk=row.pk)
            found.refresh(force=True)
            assert thanksio.is_live(found.get_access_token())


def test_an_authorization_that_is_open_comes_to_its_end_without_the_old_key(authorization, settings):
    old, new = settings.FIELD_ENCRYPTION_KEY, Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEY = [new, old]
    assert vars(reencrypt.reencrypt_all()) == {
        "reencrypted": 0,
        "verifiers": 1,
        "undecryptable": 0,
        "changed_meanwhile": 0,
        "not_written": 0,
    }
    settings.FIELD_ENCRYPTION_KEY = new
    assert AuthorizationRequest.objects.get().code_verifier.reveal() == "the verifier"


def test_one_that_has_expired_is_left_alone(authorization, settings):
    AuthorizationRequest.objects.update(expires_at=timezone.now())
    settings.FIELD_ENCRYPTION_KEY = Fernet.generate_key().decode()
    assert not any(vars(reencrypt.reencrypt_all()).values())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer")
def test_a_row_that_somebody_has_locked_stops_no_other(connect, monkeypatch):
    monkeypatch.setattr(reencrypt, "LOCK_WAIT_SECONDS", 0.5)
    if connection.vendor == "mysql":  # it has a bound of its own, of 50 seconds
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    rows = [connect(name) for name in ("ada", "ben", "eve")]
    is_locked, is_over = threading.Event(), threading.Event()

    def lock():
        with transaction.atomic():
            list(ConnectionTokens.objects.select_for_update().filter(connection=rows[1]))
            is_locked.set()
            is_over.wait(30)
        connection.close()

    thread = threading.Thread(target=lock)
    thread.start()
    assert is_locked.wait(10)
    out = io.StringIO()
    try:
        with pytest.raises(CommandError, match="run again") as caught:
            call_command("reencrypt_thanksio_tokens", stdout=out)
    finally:
        is_over.set()
        thread.join()
    assert caught.value.returncode == 1
    assert "re-encrypted 2" in out.getvalue()
    assert "not written 1" in out.getvalue()


def test_a_row_that_changes_at_each_try_is_no_success(connect, monkeypatch):
    """A part of it may still be under the old key, which must be kept then."""
    connection, reencrypted = connect("ada"), reencrypt._reencrypted

    def meanwhile(value):
        connection.refresh(force=True)
        return reencrypted(value)

    monkeypatch.setattr(reencrypt, "_reencrypted", meanwhile)
    with pytest.raises(CommandError, match="run again") as caught:
        call_command("reencrypt_thanksio_tokens", stdout=io.StringIO())
    assert caught.value.returncode == 1
