"""Each code of a failure has words for an operator, and the documentation lists the same codes."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from thanksio_connect import exceptions
from thanksio_connect.exceptions import ThanksIOConfigurationError, ThanksIOError
from thanksio_connect.flows.diagnosis import DIAGNOSES, diagnosis_of, diagnosis_of_error
from thanksio_connect.refresh import protocol, token_row

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOR_DEVELOPERS = re.compile(
    r"\[|get_access_token|button|Show the|exception|traceback|last_error_code|retryable", re.IGNORECASE
)


def test_the_documented_codes_are_those_that_have_words():
    table = (
        (DOCS / "operations.md").read_text(encoding="utf-8").split("## Codes in `last_error_code`")[1].split("\n## ")[0]
    )
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = {code for cell in cells for code in re.findall(r"`(\w+)`", cell)}
    assert documented - {"http_403"} == set(DIAGNOSES)


def test_what_the_engine_may_record_has_words():
    codes = {protocol.UNAVAILABLE, token_row.LOST_REPLY, token_row.OTHER_CLIENT, token_row.NO_REFRESH_TOKEN}
    kinds = ("InvalidGrant", "InvalidTokenResponse", "NotSent", "OutcomeUnknown", "Throttled", "TokenUndecryptable")
    codes |= {getattr(exceptions, kind).code for kind in kinds}
    assert codes <= set(DIAGNOSES)


@pytest.mark.parametrize("code", [*DIAGNOSES, "http_403", "never_heard_of"])
def test_the_words_are_for_operators(code):
    with translation.override("en"):
        diagnosis = diagnosis_of(code)
        short, what, cure = str(diagnosis.short), str(diagnosis.what), str(diagnosis.cure)
    assert len(short) <= 26
    for sentence in (what, cure):
        assert sentence.endswith(".")
        assert not FOR_DEVELOPERS.search(sentence), sentence
    if code in DIAGNOSES and "_" in code:
        assert code not in what + cure


@pytest.mark.parametrize("name", [name for name, item in vars(exceptions).items() if isinstance(item, type)])
def test_every_error_of_the_engine_has_words(name):
    kind = getattr(exceptions, name)
    if not issubclass(kind, ThanksIOError | ThanksIOConfigurationError):
        return
    error = kind.__new__(kind)
    error.args = ("A sentence.",)
    error.__dict__.setdefault("code", getattr(kind, "code", "configuration"))
    diagnosis = diagnosis_of_error(error)
    assert str(diagnosis.what).endswith(".")
    assert not FOR_DEVELOPERS.search(f"{diagnosis.what} {diagnosis.cure}")
