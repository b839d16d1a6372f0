"""The encrypted field without a database: what an instance holds, what is stored, what is dumped."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import connection
from django.forms.models import model_to_dict

from thanksio_connect.fields import MASK, LazySecret
from thanksio_connect.models import AuthorizationRequest, ConnectionTokens

TOKEN = "clear-text-token"
FIELD: Any = ConnectionTokens._meta.get_field("access_token")


def test_an_instance_shows_no_token() -> None:
    row = ConnectionTokens(access_token=TOKEN, refresh_token=TOKEN)
    assert row.access_token.reveal() == TOKEN
    for shown in (
        row,
        row.__dict__,
        vars(row)["access_token"],
        model_to_dict(row),
        row.serializable_value("access_token"),
    ):
        assert TOKEN not in repr(shown)
        assert TOKEN not in str(shown)


def test_a_pickle_holds_ciphertext_only() -> None:
    row = ConnectionTokens(access_token=TOKEN)
    data = pickle.dumps(row)
    assert TOKEN.encode() not in data
    assert pickle.loads(data).access_token.reveal() == TOKEN


def test_copies_hold_the_same_token() -> None:
    row = ConnectionTokens(access_token=TOKEN)
    assert copy.deepcopy(row).access_token.reveal() == copy.copy(row).access_token.reveal() == TOKEN


def test_text_is_encrypted_once_however_often_it_is_prepared() -> None:
    value = FIELD.get_prep_value(TOKEN)
    first = FIELD.get_db_prep_save(value, connection)
    assert first == FIELD.get_db_prep_save(FIELD.get_prep_value(value), connection)
    assert LazySecret(first).reveal() == TOKEN


def test_null_and_empty_stay_as_they_are() -> None:
    for nothing in (None, ""):
        assert FIELD.get_db_prep_value(nothing, connection) == nothing
        assert FIELD.from_db_value(nothing) == nothing
        assert FIELD.value_to_string(SimpleNamespace(access_token=nothing)) == nothing


@pytest.mark.parametrize("token", [TOKEN, "encrypted:x", "encrypted", "gAAAAA", LazySecret(clear="x").ciphertext])
def test_what_is_dumped_is_ciphertext_and_is_read_back(token: str) -> None:
    dumped = FIELD.value_to_string(ConnectionTokens(access_token=token))
    assert dumped.startswith("encrypted with Fernet: ")
    assert dumped.removeprefix("encrypted with Fernet: ") != token
    assert FIELD.to_python(dumped).reveal() == token


def test_a_fixture_in_clear_text_is_encrypted() -> None:
    assert FIELD.to_python(TOKEN).reveal() == TOKEN


def test_a_mask_that_comes_back_changes_nothing() -> None:
    row = ConnectionTokens(access_token=TOKEN)
    row.access_token = str(row.access_token)  # type: ignore[assignment]
    assert row.access_token.reveal() == TOKEN


def test_a_mask_is_never_stored() -> None:
    with pytest.raises(ValueError, match="mask"):
        ConnectionTokens(access_token=MASK)
    with pytest.raises(ValueError, match="mask"):
        FIELD.get_db_prep_save(MASK, connection)
    with pytest.raises(ValidationError, match="mask"):
        FIELD.clean(MASK, None)


@pytest.mark.parametrize("lookup", ["exact", "iexact", "in", "contains", "startswith", "gt", "regex", "range", "junk"])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ConnectionTokens, "access_token"),
        (ConnectionTokens, "refresh_token"),
        (AuthorizationRequest, "code_verifier"),
    ],
)
def test_lookups_that_would_find_nothing_are_refused(model: Any, name: str, lookup: str) -> None:
    with pytest.raises(FieldError, match=rf"{name} is encrypted.*{name}__isnull"):
        model._base_manager.filter(**{f"{name}__{lookup}": [TOKEN]})


def test_only_isnull_is_allowed() -> None:
    assert "IS NULL" in str(ConnectionTokens.objects.filter(access_token__isnull=True).query)
    with pytest.raises(FieldError, match="access_token is encrypted"):
        ConnectionTokens.objects.exclude(access_token="")
