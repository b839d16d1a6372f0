"""A stored token as text is a mask, in every way that Python turns a value into text."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import string
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.serializers.json import DjangoJSONEncoder
from django.template import Context, Template
from django.test import override_settings
from django.utils.encoding import force_str, smart_str

from thanksio_connect.exceptions import ThanksIOConfigurationError, TokenUndecryptable
from thanksio_connect.fields import MASK, LazySecret, lazy_secret, sealed

TOKEN = "Zq7~clear-text-token"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def keys(*values: str) -> override_settings:
    return override_settings(FIELD_ENCRYPTION_KEY=list(values))


def encrypted(*values: str) -> str:
    with keys(*values):
        return LazySecret(clear=TOKEN).ciphertext


def log_line(value: object) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 1, "%s %r", (value, value), None))
    return stream.getvalue()


def walk(value: Any) -> str:
    """What a tracker finds that looks at every attribute."""
    return " ".join(repr(getattr(value, name)) for name in dir(value) if name != "ciphertext")


AS_TEXT: dict[str, Callable[[Any], object]] = {
    "str": str,
    "repr": repr,
    "f-string": lambda value: f"{value} {value!s} {value!r} {value:>20}",
    "percent": lambda value: "%s" % value,  # noqa: UP031
    "format": lambda value: f"{value}" + string.Formatter().format("{}", value),
    "join": lambda value: "".join([value]),
    "sum": lambda value: "Bearer " + value,
    "slice": lambda value: value[:40],
    "bytes": lambda value: value.encode(),
    "upper": lambda value: value.upper(),
    "json": json.dumps,
    "json of Django": lambda value: json.dumps({"a": [value]}, cls=DjangoJSONEncoder),
    "json of the pure encoder": lambda value: "".join(json.JSONEncoder(indent=1).iterencode({"a": value})),
    "smart_str": smart_str,
    "force_str": force_str,
    "template": lambda value: Template("{{ v }}{{ v|safe }}{{ v|slice:':4' }}").render(Context({"v": value})),
    "pprint": pprint.pformat,
    "log": log_line,
    "getattr": walk,
}


@pytest.mark.parametrize("way", AS_TEXT)
@pytest.mark.parametrize("revealed", [False, True])
def test_as_text_it_is_a_mask(way: str, revealed: bool) -> None:
    value = LazySecret(encrypted(OLD)) if not revealed else LazySecret(clear=TOKEN)
    if not revealed:
        with keys(OLD):
            value.reveal()
    shown = str(AS_TEXT[way](value))
    assert TOKEN not in shown
    assert TOKEN[:4] not in shown
    assert shown


def test_copies_and_pickles_hold_ciphertext_alone() -> None:
    value = LazySecret(clear=TOKEN)
    for twin in (copy.copy(value), copy.deepcopy(value)):
        assert twin == value
        assert twin.reveal() == TOKEN
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(value, protocol)
        assert TOKEN.encode() not in data
        assert pickle.loads(data).reveal() == TOKEN


def test_two_are_equal_if_their_ciphertext_is_and_nothing_is_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    text = encrypted(OLD)
    monkeypatch.setattr(lazy_secret, "cipher", None)
    value = LazySecret(text)
    assert value == LazySecret(text)
    assert hash(value) == hash(LazySecret(text))
    assert value != LazySecret(text + "A")
    assert value != MASK
    assert not MASK == value  # noqa: SIM201, SIM300 - asked from the other side
    assert value not in ("", text, None)


def test_ciphertext_is_never_handed_on_with_a_wrong_key() -> None:
    value = LazySecret(encrypted(OLD))
    with keys(NEW), pytest.raises(TokenUndecryptable) as error:
        value.reveal()
    assert "FIELD_ENCRYPTION_KEY" in str(error.value)
    assert value.ciphertext not in str(error.value)
    assert error.value.__cause__ is error.value.__context__ is None
    with keys(OLD):
        assert value.reveal() == TOKEN  # heals


@pytest.mark.parametrize("junk", ["", "gAAAA", "not a token", "ü", "x" * 10_000])
def test_junk_in_the_column_is_undecryptable(junk: str) -> None:
    with pytest.raises(TokenUndecryptable):
        LazySecret(junk).reveal()


def test_keys_rotate() -> None:
    old = LazySecret(encrypted(OLD))
    with keys(NEW, OLD):
        assert old.reveal() == TOKEN
        renewed = old.reencrypted().ciphertext
    with keys(NEW):
        assert LazySecret(renewed).reveal() == TOKEN
        with pytest.raises(TokenUndecryptable):
            LazySecret(encrypted(OLD)).reencrypted()


def test_the_newest_key_encrypts() -> None:
    with keys(NEW):
        assert LazySecret(encrypted(NEW, OLD)).reveal() == TOKEN


@pytest.mark.parametrize(
    "setting",
    [OLD, [OLD], (OLD,), OLD.encode(), f" {OLD}\n", f"{NEW},{OLD}", f"{NEW} , {OLD}\n", f"{NEW},{OLD}".encode()],
)
def test_the_forms_of_the_setting(setting: Any) -> None:
    value = encrypted(OLD)
    with override_settings(FIELD_ENCRYPTION_KEY=setting):
        assert LazySecret(value).reveal() == TOKEN


def test_first_use_without_a_key_is_our_error() -> None:
    value = LazySecret(encrypted(OLD))
    with override_settings(FIELD_ENCRYPTION_KEY=None):
        for use in (value.reveal, lambda: sealed(TOKEN).ciphertext):  # type: ignore[union-attr]
            with pytest.raises(ThanksIOConfigurationError, match="FIELD_ENCRYPTION_KEY is missing"):
                use()


def test_a_token_is_decrypted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    value = LazySecret(LazySecret(clear=TOKEN).ciphertext)
    assert value.reveal() == TOKEN
    monkeypatch.setattr(lazy_secret, "cipher", None)
    assert value.reveal() == TOKEN


def test_the_mask_is_no_token() -> None:
    with pytest.raises(ValueError, match="mask"):
        sealed(MASK)
    assert sealed("") == ""
    assert sealed(None) is None
