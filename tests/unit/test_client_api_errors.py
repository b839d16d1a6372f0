import json

import pytest
from requests.structures import CaseInsensitiveDict

from thanksio_connect import exceptions
from thanksio_connect.client.api_errors import api_error, is_token_refused
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
