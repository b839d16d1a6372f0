import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import IntegerChoices, TextChoices
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from thanksio_connect.client.encoding import plain
from thanksio_connect.exceptions import ThanksIOError, UnsendableValue


class Word(TextChoices):
    HELLO = "hello", "Hello"


class Number(IntegerChoices):
    ONE = 1, "One"


EAST = timezone(timedelta(hours=5, minutes=30))
KNOWN_TO_DJANGO = [
    None, True, 0, 2**70, 1.5, "ä\u2028", [], {}, (1, ("a",)), {"a": {"b": [None]}},
    Decimal("1.10"), UUID(int=7), date(2026, 2, 3), time(1, 2, 3, 456789), time(1, 2), datetime(2026, 2, 3, 4, 5, 6),
    datetime(2026, 2, 3, 4, 5, 6, 789012), datetime(2026, 2, 3, 4, 5, 6, 789012, UTC), datetime(2026, 2, 3, tzinfo=UTC),
    datetime(2026, 2, 3, 4, 5, 6, 789012, EAST), lazystr("lazy"), gettext_lazy("Connect"), mark_safe("<b>"),
    Word.HELLO, Number.ONE, {1: "a"},
]  # fmt: skip


@pytest.mark.parametrize("value", KNOWN_TO_DJANGO, ids=repr)
def test_as_django_encodes_it(value):
    assert json.dumps(plain(value)) == json.dumps(value, cls=DjangoJSONEncoder)


dates = st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.dates() | st.times()
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | dates
scalars |= st.uuids() | st.decimals() | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.from_regex(r"[a-z]{1,5}"), inner)))
def test_whatever_django_encodes(value):
    assert json.dumps(plain(value)) == json.dumps(value, cls=DjangoJSONEncoder)


class Plain(Enum):
    A = "private"


CIRCLE: list = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": b"private"}, "message"),
        ({"recipients": [{}, {"dob": {"private"}}]}, "recipients[1].dob"),
        ({"metadata": {"private key of somebody": object()}}, "metadata.?"),
        ({"metadata": {(1, 2): "private"}}, "metadata"),
        ({"metadata": {True: "private"}}, "metadata"),
        ({"size": Plain.A}, "size"),
        ({"giftcard_amount_in_cents": float("nan")}, "giftcard_amount_in_cents"),
        ({"at": time(1, tzinfo=UTC)}, "at"),
        ({"message": "private\ud800"}, "message"),
        ({"message": lazystr("private\ud800")}, "message"),
        ({"metadata": {"private\ud800": 1}}, "metadata"),
        ({"metadata": {lazystr("private\ud800"): 1}}, "metadata"),
        ({"metadata": {1: "private", "1": "private"}}, "metadata"),
        ({"recipients": CIRCLE}, "recipients"),
        ([{"email": b"private"}], "[0].email"),
        (b"private", ""),
    ],
)
def test_what_is_left_is_refused_by_its_field(body, field):
    with pytest.raises(UnsendableValue) as caught:
        plain(body)
    assert isinstance(caught.value, ThanksIOError | TypeError)
    assert caught.value.field == field
    assert (field or "the body") in str(caught.value)
    assert "private" not in str(caught.value)
    assert caught.value.__context__ is None
