import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thanksio_connect.client.listing import Listing, read_page
from thanksio_connect.exceptions import ServerError

EVIL = "http://evil.example/api/v2/x?page=2"


class Server:
    """Gives pages of numbered rows in one of thanks.io's styles, and remembers what it was asked for."""

    def __init__(self, total, size, style="resource"):
        self.rows = [{"id": number} for number in range(total)]
        self.size = size
        self.style = style
        self.asked = []

    def __call__(self, number):
        self.asked.append(number)
        last = max(math.ceil(len(self.rows) / self.size), 1)
        rows = copy.deepcopy(self.rows[(number - 1) * self.size : number * self.size])
        facts = {"current_page": number, "last_page": last, "per_page": str(self.size), "total": len(self.rows)}
        following = EVIL if number < last else None
        if self.style == "resource":
            return {"data": rows, "links": {"next": following}, "meta": facts}
        if self.style == "links":
            return {"data": rows, "links": {"next": following}, "meta": {}}
        return {"data": rows, "next_page_url": following, **facts}


STYLES = ["resource", "links", "bare"]


@given(st.integers(0, 40), st.integers(1, 10), st.sampled_from(STYLES))
def test_each_row_comes_once_whatever_the_style(total, size, style):
    server = Server(total, size, style)
    assert [row["id"] for row in Listing(server)] == list(range(total))
    assert server.asked == list(range(1, max(math.ceil(total / size), 1) + 1))


@given(st.integers(1, 40), st.integers(1, 10), st.sampled_from(STYLES), st.data())
def test_it_starts_again_from_any_page(total, size, style, data):
    server = Server(total, size, style)
    pages = list(Listing(server).pages())
    page = data.draw(st.sampled_from(pages))
    rest = list(Listing(server, page.number))
    assert rest == server.rows[(page.number - 1) * size :]


def test_it_asks_for_a_page_when_it_is_needed_and_keeps_one():
    server = Server(10, 4)
    rows = iter(Listing(server))
    assert server.asked == []
    assert [next(rows)["id"] for _ in range(4)] == [0, 1, 2, 3]
    assert server.asked == [1]
    next(rows)
    assert server.asked == [1, 2]


def test_the_length_costs_no_further_request():
    server = Server(10, 4)
    listing = Listing(server)
    assert (len(listing), bool(listing)) == (10, True)
    assert len(list(listing)) == 10
    assert server.asked == [1, 2, 3]
    assert len(list(listing)) == 10
    assert server.asked == [1, 2, 3] * 2
    assert repr(listing) == "Listing(start_page=1)"


def test_a_length_that_is_not_told():
    listing = Listing(Server(5, 2, "links"))
    with pytest.raises(TypeError, match="how many rows"):
        len(listing)
    assert len(list(listing)) == 5
    assert not Listing(Server(0, 2, "links"))


@pytest.mark.parametrize("page", [0, -1, True, "2", None])
def test_a_page_is_a_number_from_1(page):
    with pytest.raises(ValueError, match="page"):
        Listing(Server(1, 1), page)


def test_a_server_that_ignores_the_page_is_noticed_at_once():
    first = Server(10, 4)(1)
    rows = iter(Listing(lambda number: first))
    assert [next(rows)["id"] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ServerError) as caught:
        next(rows)
    assert caught.value.code == "unexpected_page"


@pytest.mark.parametrize("first", [{"last_page": 1, "next": EVIL}, {"last_page": 2, "next": None}, {"next": EVIL}])
def test_a_server_that_contradicts_itself_is_asked_for_more(first):
    """To ask once too often costs a request; to stop too early, a second letter under a key."""
    pages = {1: first, 2: {"last_page": 2, "next": None}}
    listing = Listing(lambda number: {"data": [{"id": number}], "links": pages[number], "meta": pages[number]})
    assert [row["id"] for row in listing] == [1, 2]


@given(st.integers(1, 5))
def test_a_server_that_goes_round_in_circles_is_bounded(length):
    asked = []

    def circle(number):
        asked.append(number)
        return {"data": [{"id": number % length}], "next_page_url": EVIL}

    with pytest.raises(ServerError, match="unexpected_page"):
        list(Listing(circle))
    assert len(asked) == length + 4


def test_a_page_that_comes_again_because_rows_were_added_is_no_fault():
    pages = {1: [{"id": 9}], 2: [{"id": 9}], 3: [{"id": 8}], 4: []}
    listing = Listing(lambda number: {"data": pages[number], "next_page_url": EVIL if number < 4 else None})
    assert [row["id"] for row in listing] == [9, 9, 8]


@pytest.mark.parametrize("total", [10**30, 10**17, 999_999_999, "999999999", -1, True, 1.5])
def test_a_length_that_can_not_be_true_is_not_told(total):
    listing = Listing(lambda number: {"data": [{"id": 1}], "meta": {"total": total, "last_page": 1}})
    assert list(listing) == [{"id": 1}]
    with pytest.raises(TypeError, match="how many rows"):
        len(listing)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["data", "links", "meta", "current_page", "last_page", "total", "next", "next_page_url"])
bodies = json_values | st.dictionaries(members, json_values | st.dictionaries(members, json_values))


@given(bodies)
def test_any_answer_is_a_page_or_an_error_of_ours(body):
    try:
        page = read_page(body, 1)
    except ServerError as error:
        assert error.code in {"invalid_response", "unexpected_page"}
    else:
        assert page.rows == body["data"]
        assert page.total is None or page.total >= 0
        assert "data" not in page.envelope
        assert not page.has_next or page.rows
        assert repr(page).startswith("Page(number=1")


@given(st.lists(bodies, min_size=1, max_size=4))
def test_whatever_the_server_answers_reading_ends(answers):
    asked = []

    def fetch(number):
        asked.append(number)
        return answers[number % len(answers)]

    listing = Listing(fetch)
    try:
        list(listing)
    except ServerError as error:
        assert error.code in {"invalid_response", "unexpected_page"}
    assert asked == sorted(set(asked))
    assert len(asked) <= 2 * len(answers) + 4
