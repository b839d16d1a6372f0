import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from thanksio_connect import exceptions
from thanksio_connect.client.api_errors import api_error, invalid_response, is_token_refused
from thanksio_connect.client.transport import Response


def answer(status, body=b"", headers=()):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, CaseInsensitiveDict(headers), raw)


PAYMENT = "API access has been temporarily disabled due to repeated payment failures."
SHAPES = [
    (403, {"message": "Unauthorized"}, exceptions.Forbidden, "forbidden", "Unauthorized", {}),
    (400, {"status": "No such order", "message": "No such order", "failure": True},
     exceptions.InvalidRequest, "invalid_request", "No such order", {}),
    (402, {"status": PAYMENT, "message": PAYMENT, "code": "api_disabled_payment_failures"},
     exceptions.PaymentRequired, "api_disabled_payment_failures", PAYMENT, {}),
    (402, {"status": "no", "message": "Paid plan", "error": "e", "errors": ["Paid plan"], "failure": True,
           "code": "giftcards_require_paid_plan"},
     exceptions.PaymentRequired, "giftcards_require_paid_plan", "Paid plan", {"": ["Paid plan"]}),
    (409, {"message": "Again?", "code": "duplicate_radius_search", "mailing_list_id": 5, "failure": True},
     exceptions.Conflict, "duplicate_radius_search", "Again?", {}),
    (422, {"message": "The given data was invalid.", "errors": {"record_count": ["Too many.", "Odd."]}},
     exceptions.InvalidRequest, "invalid_request", "The given data was invalid.",
     {"record_count": ["Too many.", "Odd."]}),
    (422, {"errors": {"per_page": ["Too many."], "page": "Odd."}},
     exceptions.InvalidRequest, "invalid_request", "Too many. Odd.", {"per_page": ["Too many."], "page": ["Odd."]}),
    (401, {"status": "failed", "errors": ["Unauthorized"]},
     exceptions.Unauthorized, "unauthorized", "Unauthorized", {"": ["Unauthorized"]}),
    (401, {"message": "Unauthenticated."}, exceptions.Unauthorized, "unauthenticated", "Unauthenticated.", {}),
    (400, {"message": "Odd", "failure": True}, exceptions.InvalidRequest, "invalid_request", "Odd", {}),
    (404, {"message": "Not Found"}, exceptions.NotFound, "not_found", "Not Found", {}),
    (429, {"message": "Too Many Attempts."}, exceptions.RateLimited, "rate_limited", "Too Many Attempts.", {}),
    (500, {"message": "Error Submitting Mailer"},
     exceptions.ServerError, "server_error", "Error Submitting Mailer", {}),
    (503, b"<html>", exceptions.ServerError, "server_error", "", {}),
    (405, {"message": ""}, exceptions.APIError, "api_error", "", {}),
    (302, b"", exceptions.APIError, "redirect", "", {}),
    (404, b"\xff\xfe", exceptions.NotFound, "not_found", "", {}),
    (404, [1], exceptions.NotFound, "not_found", "", {}),
    (400, {"message": ["a"], "error": {"b": 1}, "status": 5, "errors": 5, "code": 5},
     exceptions.InvalidRequest, "invalid_request", "", {}),
    (422, {"errors": {"recipients": [{"name": ["Missing."]}, None, 5]}, "code": "Not A Code [x]"},
     exceptions.InvalidRequest, "invalid_request", "Missing.", {"recipients": ["Missing."]}),
    (422, b'{"errors": ' + b"[" * 5000 + b'"x"' + b"]" * 5000 + b"}",
     exceptions.InvalidRequest, "invalid_request", "", {}),
    (400, b"[" * 200_000, exceptions.InvalidRequest, "invalid_request", "", {}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "error", "code", "message", "errors"), SHAPES)
def test_error_shapes(status, body, error, code, message, errors):
    caught = api_error(answer(status, body))
    assert type(caught) is error
    assert (caught.status_code, caught.code, caught.message, caught.errors) == (status, code, message, errors)
    assert str(status) in str(caught)
    assert not message or message not in str(caught)


def test_headers_of_an_error():
    error = api_error(answer(429, b"", {"Retry-After": "30", "X-Request-Id": "abc-1"}))
    assert (error.retry_after, error.request_id) == (30, "abc-1")
    assert api_error(answer(404, b"", {"X-Request-Id": "<script>"})).request_id is None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(401, {"message": "Unauthenticated."}), True),
        (answer(401, {"message": "unauthenticated"}), True),
        (answer(401, b"", {"WWW-Authenticate": 'Bearer realm="x", error="invalid_token"'}), True),
        (answer(401, {"status": "failed", "errors": ["Unauthorized"]}), False),
        (answer(401, {"message": "Unauthorized"}), False),
        (answer(401, b"<html>"), False),
        (answer(401, {"message": ["Unauthenticated."]}), False),
        (answer(403, {"message": "Unauthenticated."}), False),
        (answer(200, {"message": "Unauthenticated."}), False),
    ],
)
def test_which_401_is_about_the_token(response, expected):
    assert is_token_refused(response) is expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(["message", "error", "errors", "status", "code", "failure", "order_id", "mailing_list_id"])
bodies = st.binary(max_size=20) | json_values | st.dictionaries(names, json_values)


@given(st.sampled_from([300, 302, *range(400, 430), 500, 503, 599]), bodies, st.text(max_size=20))
def test_any_answer_becomes_an_error_of_ours(status, body, header):
    error = api_error(answer(status, body, {"Retry-After": header, "X-Request-Id": header}))
    assert isinstance(error, exceptions.APIError)
    assert error.status_code == status
    assert isinstance(error.message, str)
    assert all(isinstance(field, str) and messages for field, messages in error.errors.items())
    assert all(isinstance(text, str) for messages in error.errors.values() for text in messages)
    assert all(type(value) is int for value in error.details.values())
    assert error.retry_after is None or 0 <= error.retry_after <= 3600
    assert error.code in str(error)
    assert len(str(error)) < 250


def test_a_refused_duplicate_names_what_was_bought_before():
    body = {"message": "Again?", "code": "duplicate_radius_search", "mailing_list_id": 5, "order_id": None}
    assert api_error(answer(409, body)).details == {"mailing_list_id": 5}


SECRET = "Ann-0777-SECRET"
with_secrets = st.recursive(
    st.just(SECRET) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.just(SECRET), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from([200, 302, *range(400, 430), 500]), with_secrets, st.integers(0, 300), st.booleans())
def test_an_error_shows_nothing_of_its_body(status, body, length, is_cut):
    raw = json.dumps(body).encode()
    response = answer(status, raw[:length] if is_cut else raw, {"X-Request-Id": f"{SECRET}!", "Retry-After": SECRET})
    for error in (api_error(response), invalid_response(response)):
        assert SECRET not in f"{error} {error!r} {error.args} {error.request_id} {error.code} {error.details}"
        assert error.__cause__ is error.__context__ is None


texts = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and text not in ("failed", "success"))
lists_of_texts = st.lists(texts, min_size=1, max_size=3)
by_field = st.dictionaries(st.text(min_size=1, max_size=8), lists_of_texts, min_size=1, max_size=3)
codes = st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True)


@given(st.data(), texts, codes)
def test_the_nine_shapes_whatever_their_words(data, text, code):
    errors, listed = data.draw(by_field), data.draw(lists_of_texts)
    joined = " ".join(message for messages in errors.values() for message in messages)
    shapes = [
        ({"message": text}, text, {}, None),
        ({"message": text, "failure": True}, text, {}, None),
        ({"status": text, "message": text, "failure": True}, text, {}, None),
        ({"status": text, "message": text, "code": code}, text, {}, code),
        ({"message": text, "code": code, "mailing_list_id": None, "failure": True}, text, {}, code),
        ({"status": text, "message": text, "error": text, "errors": listed, "code": code}, text, {"": listed}, code),
        ({"message": text, "errors": errors, "failure": True}, text, errors, None),
        ({"errors": errors}, joined, errors, None),
        ({"status": "failed", "errors": listed}, " ".join(listed), {"": listed}, None),
    ]
    for body, message, expected, told in shapes:
        error = api_error(answer(409, body))
        assert type(error) is exceptions.Conflict
        assert (error.message, error.errors, error.code) == (message, expected, told or "conflict")
