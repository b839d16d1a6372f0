"""The encrypted field without a database: what it shows, what it stores, and which keys it knows."""

from __future__ import annotations

import copy
import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from thanksio_connect import fields
from thanksio_connect.exceptions import ThanksIOConfigurationError, TokenUndecryptable
from thanksio_connect.fields import EncryptedValue
from thanksio_connect.models import AuthorizationRequest, ThanksIOConnection

TOKEN = "clear-text-token"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
FIELD: Any = ThanksIOConnection._meta.get_field("access_token")


def keys(*values: str) -> override_settings:
    return override_settings(FIELD_ENCRYPTION_KEY=list(values))


def encrypted(*values: str) -> str:
    with keys(*values):
        return EncryptedValue(plaintext=TOKEN).ciphertext


def test_an_instance_shows_no_token() -> None:
    row = ThanksIOConnection(access_token=TOKEN, refresh_token=TOKEN)
    assert row.access_token == TOKEN
    for text in (repr(row), str(row), repr(row.__dict__), str(row.__dict__), repr(vars(row)["access_token"])):
        assert TOKEN not in text


def test_a_value_shows_no_token_and_is_no_json() -> None:
    value = EncryptedValue(plaintext=TOKEN)
    assert {repr(value), str(value), f"{value}"} == {"<encrypted>"}
    with pytest.raises(TypeError):
        json.dumps(value)


def test_a_pickle_holds_ciphertext_only() -> None:
    row = ThanksIOConnection(access_token=TOKEN)
    assert row.access_token == TOKEN
    data = pickle.dumps(row)
    assert TOKEN.encode() not in data
    assert pickle.loads(data).access_token == TOKEN


def test_copies_hold_the_same_token() -> None:
    row = ThanksIOConnection(access_token=TOKEN)
    assert copy.deepcopy(row).access_token == copy.copy(row).access_token == TOKEN


def test_text_is_encrypted_once_however_often_it_is_prepared() -> None:
    value = FIELD.get_prep_value(TOKEN)
    first = FIELD.get_db_prep_save(value, connection)
    assert first == FIELD.get_db_prep_save(FIELD.get_prep_value(value), connection)
    assert EncryptedValue(first).decrypt() == TOKEN


def test_null_stays_null() -> None:
    assert FIELD.get_db_prep_value(None, connection) is None
    assert FIELD.from_db_value(None) is None
    assert FIELD.value_to_string(SimpleNamespace(access_token=None)) is None


def test_what_is_dumped_is_ciphertext_and_is_read_back() -> None:
    dumped = FIELD.value_to_string(ThanksIOConnection(access_token=TOKEN))
    assert dumped.startswith("encrypted:")
    assert TOKEN not in dumped
    assert FIELD.to_python(dumped).decrypt() == TOKEN


def test_a_fixture_in_clear_text_is_encrypted() -> None:
    assert FIELD.to_python(TOKEN).decrypt() == TOKEN


def test_ciphertext_is_never_handed_on_with_a_wrong_key() -> None:
    value = EncryptedValue(encrypted(OLD))
    row = ThanksIOConnection()
    row.__dict__["access_token"] = value
    with keys(NEW), pytest.raises(TokenUndecryptable) as error:
        _token = row.access_token
    assert "FIELD_ENCRYPTION_KEY" in str(error.value)
    assert value.ciphertext not in str(error.value)
    assert error.value.__cause__ is error.value.__context__ is None
    with keys(OLD):
        assert row.access_token == TOKEN  # heals


@pytest.mark.parametrize("junk", ["", "gAAAA", "not a token", "ü", "x" * 10_000])
def test_junk_in_the_column_is_undecryptable(junk: str) -> None:
    with pytest.raises(TokenUndecryptable):
        EncryptedValue(junk).decrypt()


def test_keys_rotate() -> None:
    old = EncryptedValue(encrypted(OLD))
    with keys(NEW, OLD):
        assert old.decrypt() == TOKEN
        renewed = old.reencrypted().ciphertext
    with keys(NEW):
        assert EncryptedValue(renewed).decrypt() == TOKEN
        with pytest.raises(TokenUndecryptable):
            EncryptedValue(encrypted(OLD)).reencrypted()


def test_the_newest_key_encrypts() -> None:
    with keys(NEW):
        assert EncryptedValue(encrypted(NEW, OLD)).decrypt() == TOKEN


def test_one_key_or_a_list_or_a_tuple() -> None:
    value = encrypted(OLD)
    for setting in (OLD, [OLD], (OLD,), OLD.encode()):
        with override_settings(FIELD_ENCRYPTION_KEY=setting):
            assert EncryptedValue(value).decrypt() == TOKEN


@pytest.mark.parametrize("setting", ["", [], "short", "é" * 44, [OLD, "short"], 5])
def test_an_unusable_key_is_named_and_the_way_out_is_told(setting: Any) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=setting), pytest.raises(ImproperlyConfigured) as error:
        _text = EncryptedValue(plaintext=TOKEN).ciphertext
    assert isinstance(error.value, ThanksIOConfigurationError)
    assert "FIELD_ENCRYPTION_KEY" in str(error.value)
    assert "generate_key" in str(error.value)
    assert "short" not in str(error.value)


def test_a_token_is_decrypted_once_in_an_instances_life(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ThanksIOConnection()
    row.__dict__["access_token"] = EncryptedValue(EncryptedValue(plaintext=TOKEN).ciphertext)
    assert row.access_token == TOKEN
    monkeypatch.setattr(fields, "_cipher", None)
    assert row.access_token == TOKEN


@pytest.mark.parametrize("lookup", ["exact", "iexact", "in", "contains", "startswith", "gt", "regex", "range", "junk"])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ThanksIOConnection, "access_token"),
        (ThanksIOConnection, "refresh_token"),
        (AuthorizationRequest, "code_verifier"),
    ],
)
def test_lookups_that_would_find_nothing_are_refused(model: Any, name: str, lookup: str) -> None:
    with pytest.raises(FieldError, match=rf"{name} is encrypted.*{name}__isnull"):
        model._base_manager.filter(**{f"{name}__{lookup}": [TOKEN]})


def test_only_isnull_is_allowed() -> None:
    assert "IS NULL" in str(ThanksIOConnection.objects.filter(access_token__isnull=True).query)
    with pytest.raises(FieldError, match="access_token is encrypted"):
        ThanksIOConnection.objects.exclude(access_token="")
