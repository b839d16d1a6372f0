import re
from urllib.parse import unquote, urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from thanksio_connect.client.paths import fill, loggable
from thanksio_connect.client.urls import is_loopback, is_secure_url, join_api_url

API = "https://api.thanks.io/api/v2"
TRACK = "/orders/{order_id}/track"


@pytest.mark.parametrize(("value", "path"), [(42, "/orders/42/track"), ("a-B_9", "/orders/a-B_9/track")])
def test_an_id_stands_in_its_place(value, path):
    assert fill(TRACK, {"order_id": value}) == path


@pytest.mark.parametrize(
    "value", ["", "..", "../x", "1/2", "a?b", "a#b", "a b", "%2e%2e", "1%2F2", "ä", "1\n", "٣", "x" * 101, "a.b", "{x}"]
)
def test_an_id_that_could_leave_its_place_is_refused(value):
    with pytest.raises(ValueError, match="order_id must have") as caught:
        fill(TRACK, {"order_id": value})
    assert value == "" or value not in str(caught.value).replace("'_'", "")


@pytest.mark.parametrize("value", [None, True, 1.5, b"1", ["1"]])
def test_an_id_is_a_number_or_text(value):
    with pytest.raises(TypeError, match="order_id"):
        fill(TRACK, {"order_id": value})


def test_an_id_that_is_missing_is_named():
    with pytest.raises(ValueError, match="order_id"):
        fill(TRACK, {})


@given(st.text() | st.integers())
def test_no_id_climbs(value):
    try:
        path = fill(TRACK, {"order_id": value})
    except ValueError:
        return
    assert re.fullmatch(r"/orders/[^/?#%.]+/track", path)
    assert urlsplit(join_api_url(API, path)).path == f"/api/v2{path}"


@given(st.text(st.sampled_from("/.%2eEfF5c?#@\\:aä \r\n\x00"), max_size=12) | st.text())
def test_a_raw_path_never_leaves_the_api(text):
    try:
        url = join_api_url(API, f"/orders/{text}")
    except ValueError:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.thanks.io", "")
    segments = unquote(unquote(parts.path)).split("/")
    assert not {".", ".."} & set(segments)
    assert len(segments) == len(parts.path.split("/"))
    assert parts.path.startswith("/api/v2/orders/")


@pytest.mark.parametrize("path", ["/orders/1%2Ftrack", "/orders/1%2ftrack", "/orders/%252e%252e/x", "/a%25"])
def test_a_hidden_slash_is_refused(path):
    with pytest.raises(ValueError, match="encoded"):
        join_api_url(API, path)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/mailing-lists/", "/mailing-lists/"),
        ("/orders/42/track?email=a@b.example#x", "/orders/{}/track"),
        ("orders/list", "orders/list"),
        ("/recipients/Ann Smith/a@b.example", "/recipients/{}/{}"),
        ("/x\r\ny", "/{}"),
    ],
)
def test_a_path_in_the_log_has_no_ids_and_no_query(path, shown):
    assert loggable(path) == shown


pieces = st.sampled_from(
    ["https://", "HTTPS://", "http://", "//", "/", "\\", "..", ".", "%2e%2E", "%2f", "%5C", "@", ":443", ":80", "#",
     "?", ";", "api.thanks.io", "API.THANKS.IO", "evil.example", "/api/v2", "/api/v2x", "orders", "\t", "\r\n",
     "[::1]", "１", "。", "℀"]
)  # fmt: skip


@given(st.lists(pieces, max_size=9).map("".join) | st.text(max_size=20))
@example("https://api.thanks.io/api/v2/../../admin")
@example("https://api.thanks.io:443/api/v2/orders")
def test_what_requests_would_send_stays_below_the_api(text):
    try:
        url = join_api_url(API, text)
    except ValueError:
        return
    sent = urlsplit(requests.Request("GET", url).prepare().url)
    assert (sent.scheme, sent.hostname, sent.port or 443) == ("https", "api.thanks.io", 443)
    assert (sent.username, sent.password, sent.fragment) == (None, None, "")
    assert f"{sent.path}/".startswith("/api/v2/")
    assert not {".", ".."} & set(unquote(unquote(sent.path)).split("/"))


@given(st.text(max_size=40))
def test_a_path_in_the_log_is_words_and_gaps(text):
    shown = loggable(f"/{text}")
    assert re.fullmatch(r"(/([a-z-]+|\{\})?)*", shown)


@given(st.text(max_size=30) | st.lists(pieces, max_size=6).map("".join))
def test_any_text_is_a_secure_url_or_not(text):
    if is_secure_url(text):
        parts = urlsplit(text)
        assert parts.scheme == "https" or is_loopback(parts.hostname)
        assert "@" not in parts.netloc
