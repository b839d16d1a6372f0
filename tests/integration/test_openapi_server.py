"""Each operation, called with generated arguments against a server that is made of thanks.io's OpenAPI document."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from tests.integration import openapi
from tests.integration.generated import calls
from tests.integration.openapi_methods import arguments, check_answer, method_of
from thanksio_connect import exceptions
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.listing import Listing
from thanksio_connect.testing import api_shapes, page_shapes

if not openapi.DOCUMENT.exists():
    pytest.skip("thanks.io's OpenAPI document is not here: set THANKSIO_OPENAPI to its path", allow_module_level=True)

from tests.integration.openapi_server import DocumentedServer, Refusal, body_refusals

OPERATIONS = list(openapi.operations())
CALLS = [pytest.param(operation, calls(method_of(operation)), id=str(operation)) for operation in OPERATIONS]
FAILURES = [pytest.param(operation, failure, id=f"{operation}-{failure[0]}-{number}") for operation in OPERATIONS
            for number, failure in enumerate(operation.failures)]  # fmt: skip
CLASSES = {
    400: exceptions.InvalidRequest,
    401: exceptions.Unauthorized,
    402: exceptions.PaymentRequired,
    403: exceptions.Forbidden,
    404: exceptions.NotFound,
    409: exceptions.Conflict,
    422: exceptions.InvalidRequest,
    500: exceptions.ServerError,
}
CONTRADICTIONS = [Refusal("body.send_standard_mail", "type")]  # text in two of its examples


@pytest.fixture(scope="module")
def server():
    with DocumentedServer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_failure(server):
    server.failure = None


def call(method, positional, named):
    answer = method(*positional, **named)
    return next(answer.pages()).rows if isinstance(answer, Listing) else answer


@pytest.mark.parametrize(("operation", "drawn"), CALLS)
def test_what_our_types_allow_is_documented(operation, drawn, server):
    method = method_of(operation, server.url)

    @given(drawn)
    @settings(max_examples=20, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def check(arguments):
        positional, named = arguments
        server.refusals = [Refusal("", "nothing was sent")]
        try:
            answer = call(method, positional, named)
        except TypeError as error:
            assert "needs" in str(error)  # nothing to send, or nobody to send it to
            assume(False)
        except exceptions.InvalidRequest as error:
            # Which fields need which others is what types can't say.
            assert [each for each in server.refusals if each.rule not in ("required", "anyOf")] == []
            assert set(error.errors) == {refusal.place for refusal in server.refusals}
        else:
            assert server.refusals == []
            check_answer(answer, server.answered, method)

    check()


@pytest.mark.parametrize(("operation", "failure"), FAILURES)
def test_each_documented_refusal_is_an_error_of_its_class(operation, failure, server):
    status, body = server.failure = failure
    with pytest.raises(CLASSES[status]) as caught:
        call(method_of(operation, server.url), *arguments(operation))
    error = caught.value
    assert server.refusals == []
    assert (error.status_code, error.code) == (status, body.get("code", error.code))
    errors = body.get("errors", [])
    texts = errors if isinstance(errors, list) else [text for each in errors.values() for text in each]
    assert error.message == body.get("message", " ".join(texts))
    assert [text for each in error.errors.values() for text in each] == texts
    assert not error.message or error.message not in str(error)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.body_examples], ids=str)
def test_the_server_takes_the_documents_own_examples(operation):
    for example in operation.body_examples:
        refusals = list(body_refusals(operation, json.dumps(example).encode(), "application/json"))
        assert [each for each in refusals if each not in CONTRADICTIONS] == []


@pytest.mark.parametrize(
    ("ask", "refusal"),
    [
        (lambda api: api.get("/orders"), Refusal("GET /api/v2/orders", "operation")),
        (lambda api: api.get("/mailing-lists"), Refusal("GET /api/v2/mailing-lists", "operation")),
        (lambda api: api.get("/orders/list", params={"per_page": 3}), Refusal("query.per_page", "unknown")),
        (lambda api: api.get("/orders/5/items", params={"per_page": 101}), Refusal("query.per_page", "maximum")),
        (lambda api: api.get("/orders/x/items"), Refusal("path.orderId", "type")),
        (lambda api: api.get("/build/image-template"), Refusal("query.id", "required")),
        (lambda api: api.put("/orders/5/cancel", json={"a": 1}), Refusal("body", "unknown")),
        (lambda api: api.post("/recipients"), Refusal("body", "required")),
        (lambda api: api.post("/send/postcard", json={"mesage": "x"}), Refusal("body", "additionalProperties")),
        (lambda api: api.post("/send/postcard", json={"size": "5x7"}), Refusal("body.size", "enum")),
        (lambda api: api.post("/send/postcard", json={"recipients": [{"nam": "x"}]}),
         Refusal("body.recipients.0", "additionalProperties")),
        (lambda api: api.post("/mailing-lists/", json={}), Refusal("body", "required")),
    ],
)  # fmt: skip
def test_the_server_refuses_what_is_not_documented(ask, refusal, server):
    with pytest.raises((exceptions.InvalidRequest, exceptions.NotFound)):
        ask(ThanksIOClient.with_bearer_token("TOKEN", api_url=f"{server.url}/api/v2"))
    assert refusal in server.refusals


def test_the_server_wants_the_token(server):
    api = ThanksIOClient.with_bearer_token("ANOTHER", api_url=f"{server.url}/api/v2")
    with pytest.raises(exceptions.InvalidRequest):
        len(api.orders.list())
    assert server.refusals == [Refusal("header.Authorization", "security")]
    assert len(api.handwriting_styles.list()) > 0


NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS = {"message": "Hello", "recipients": [{"name": "Ann", "address": "1 Main Street"}]}
ORDER = api_shapes.new_order(5, "7", "postcard", FIELDS, NOW)
LIST = api_shapes.mailing_list("7")


def paged(row, **kwargs):
    return page_shapes.page("https://api.thanks.io/api/v2/x", {}, [row], **kwargs)


@pytest.mark.parametrize(
    ("operation", "made"),
    [
        ("POST /send/postcard", ORDER),
        ("POST /estimate/postcard", api_shapes.estimate("postcard", FIELDS)),
        ("GET /orders/list", paged(api_shapes.listed(ORDER))),
        ("GET /orders/{orderId}/track", api_shapes.tracking(ORDER)),
        ("GET /orders/{orderId}/items",
         paged(api_shapes.order_item(6, "postcard", FIELDS, {}, NOW), size_name="per_page")),
        ("GET /mailing-lists/", paged(LIST)),
        ("POST /mailing-lists/", api_shapes.created_mailing_list(LIST)),
        ("GET /image-templates/", paged(api_shapes.image_template(6, "7", "A", "https://product.example/a.png"))),
        ("GET /handwriting-styles", api_shapes.PUBLIC["/handwriting-styles"]),
        ("GET /giftcard-brands-list", api_shapes.PUBLIC["/giftcard-brands-list"]),
    ],
)  # fmt: skip
def test_the_shapes_of_the_fake_and_the_sandbox_have_each_field_of_the_example(operation, made):
    [documented] = [each for each in OPERATIONS if str(each) == operation]
    example = next(each for each in documented.examples if "previews" not in json.dumps(each))
    assert list(missing(example, made)) == []


def missing(example, made, where="answer"):
    """Each field that the example has and the answer has not."""
    if isinstance(example, dict) and isinstance(made, dict) and not where.endswith(("metadata", "addons")):
        for name, value in example.items():
            if name in made:
                yield from missing(value, made[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    elif isinstance(example, list) and isinstance(made, list) and example and made:
        yield from missing(example[0], made[0], f"{where}[0]")
