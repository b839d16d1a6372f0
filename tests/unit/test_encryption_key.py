"""FIELD_ENCRYPTION_KEY: which forms it takes, and what is no key."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as project
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from thanksio_connect.encryption_key import encryption_keys, importable_encryption_key
from thanksio_connect.exceptions import ThanksIOConfigurationError

OLD, NEW = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
BOTH = (NEW.encode(), OLD.encode())


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        (NEW, BOTH[:1]),
        (NEW.encode(), BOTH[:1]),
        (f"  {NEW}\n", BOTH[:1]),
        ([NEW], BOTH[:1]),
        ([NEW, OLD], BOTH),
        ((NEW, OLD.encode()), BOTH),
        (f"{NEW},{OLD}", BOTH),
        (f" {NEW} ,\n{OLD} ", BOTH),
        (f"{NEW},{OLD}".encode(), BOTH),
        ([f"{NEW},{OLD}"], BOTH),
    ],
)
def test_its_forms(setting: Any, keys: tuple[bytes, ...]) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=setting):
        assert encryption_keys() == keys


@pytest.mark.parametrize("setting", [None, "", "  ", b"", [], ()])
def test_without_one_the_way_out_is_told(setting: Any) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=setting), pytest.raises(ImproperlyConfigured) as error:
        encryption_keys()
    assert isinstance(error.value, ThanksIOConfigurationError)
    assert str(error.value).startswith("FIELD_ENCRYPTION_KEY is missing. Make a key with: python -c ")
    assert error.value.code == "encryption_key"


@pytest.mark.parametrize(
    "setting",
    [
        "short",
        "é" * 44,
        NEW[:-1],
        NEW + "A",
        NEW + OLD,
        f"{NEW};{OLD}",
        f"{NEW} {OLD}",
        f"{NEW},",
        f",{NEW}",
        f"{NEW},,{OLD}",
        f"{NEW},short",
        [NEW, "short"],
        [NEW, ""],
        [NEW, None],
        [[NEW], [OLD]],
        [NEW, 5],
        5,
        0,
        {NEW: OLD},
        '["' + NEW + '"]',
    ],
)
def test_what_is_no_whole_key_is_refused_and_not_shown(setting: Any) -> None:
    with (
        override_settings(FIELD_ENCRYPTION_KEY=setting),
        pytest.raises(ThanksIOConfigurationError, match="FIELD_ENCRYPTION_KEY is malformed") as error,
    ):
        encryption_keys()
    assert not any(part in str(error.value) for part in ("short", NEW[:20], OLD[:20]))


def test_the_part_that_is_no_key_is_named_by_its_place() -> None:
    with (
        override_settings(FIELD_ENCRYPTION_KEY=f"{NEW},{OLD[:-4]}"),
        pytest.raises(ThanksIOConfigurationError, match="malformed: part 2 of 2 is no whole key"),
    ):
        encryption_keys()


def test_the_environment_is_the_projects_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEY", NEW)
    with override_settings():
        del project.FIELD_ENCRYPTION_KEY
        with pytest.raises(ThanksIOConfigurationError, match="missing"):
            encryption_keys()


@pytest.mark.parametrize("setting", [NEW, NEW.encode(), [NEW], (NEW, OLD), f" {NEW} "])
def test_a_key_that_the_library_can_use_is_left_to_it(setting: Any) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=setting), importable_encryption_key() as is_stand_in:
        assert not is_stand_in
        assert setting == project.FIELD_ENCRYPTION_KEY


@pytest.mark.parametrize("setting", [None, "", "short", f"{NEW},{OLD}", [f"{NEW},{OLD}"], [NEW, "short"], [[NEW]]])
def test_any_other_is_replaced_during_the_import_alone(setting: Any) -> None:
    with override_settings(FIELD_ENCRYPTION_KEY=setting):
        with importable_encryption_key() as is_stand_in:
            assert is_stand_in
            assert setting != project.FIELD_ENCRYPTION_KEY
            Fernet(project.FIELD_ENCRYPTION_KEY)
        assert setting == project.FIELD_ENCRYPTION_KEY


def test_a_setting_that_was_not_there_is_not_there_afterwards() -> None:
    with override_settings():
        del project.FIELD_ENCRYPTION_KEY
        with importable_encryption_key():
            assert project.FIELD_ENCRYPTION_KEY
        assert not hasattr(project, "FIELD_ENCRYPTION_KEY")
