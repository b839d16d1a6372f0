"""Reading the callback's parameters takes them out of the request."""

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import AsyncRequestFactory, RequestFactory

from thanksio_connect.exceptions import InvalidState
from thanksio_connect.flows.response import take_response

QUERY = {"state": "the-state", "code": "the-code"}


def test_wsgi_request_shows_nothing_afterwards():
    request = RequestFactory().get("/callback/", QUERY, RAW_URI="/callback/?code=the-code", REQUEST_URI="/x?the-state")
    response = take_response(request)
    assert (response.state.reveal(), response.code.reveal()) == ("the-state", "the-code")
    seen = f"{request.META} {request.GET} {request!r} {request.get_full_path()} {response!r}"
    assert "the-code" not in seen
    assert "the-state" not in seen


def test_asgi_request_shows_nothing_afterwards():
    request = AsyncRequestFactory().get("/callback/", QUERY)
    assert isinstance(request, ASGIRequest)
    take_response(request)
    seen = f"{request.META} {request.scope} {request.GET} {request.build_absolute_uri()}"
    assert "the-code" not in seen
    assert "the-state" not in seen


def test_refused_query_is_taken_out_too():
    request = RequestFactory().get("/callback/", QUERY | {"code": ["the-code", "the-code"]})
    with pytest.raises(InvalidState):
        take_response(request)
    assert "the-code" not in f"{request.META} {request.GET}"


def test_parameters_survive_coming_again():
    values = {"state": "s +&=é", "error": "access_denied", "iss": "https://thanks.io"}
    first = take_response(RequestFactory().get("/callback/", values))
    again = take_response(RequestFactory().get(f"/callback/?{first.query_again().reveal()}"))
    assert first.returns == 0
    assert again.returns == 1
    assert (again.state, again.code, again.error, again.iss) == (first.state, None, "access_denied", first.iss)
