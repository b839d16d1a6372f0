"""Reads, with a real account's token, from the real thanks.io. Nothing is sent, made, changed or charged.

Skipped unless ``THANKSIO_LIVE_TOKEN`` is set. ``THANKSIO_LIVE_API_URL`` names another server, such as a fake. No
assertion shows what is the account's own.
"""

from __future__ import annotations

import itertools
import os
from typing import get_args, get_type_hints

import pytest

from tests.integration.typed_answers import mismatches
from thanksio_connect.client.api import DEFAULT_API_URL, ThanksIOClient
from thanksio_connect.exceptions import InvalidRequest, NotFound, Unauthorized

TOKEN = os.environ.get("THANKSIO_LIVE_TOKEN", "")
API_URL = os.environ.get("THANKSIO_LIVE_API_URL", DEFAULT_API_URL)
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not TOKEN, reason="thanks.io itself is asked only if THANKSIO_LIVE_TOKEN is set"),
]
PER_MINUTE = 50 if API_URL == DEFAULT_API_URL else 6000
LISTS = ("orders", "mailing_lists", "image_templates", "message_templates", "webhooks")


@pytest.fixture(scope="module")
def api():
    """Paced, so that the account's own traffic is not throttled by these tests."""
    return ThanksIOClient.with_bearer_token(TOKEN, api_url=API_URL).paced(per_minute=PER_MINUTE)


def differences(value, hint):
    """Where a value is not of its type: fields and types, no values."""
    return sorted(set(mismatches(value, hint)))


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_paged_as_we_read_it(api, name):
    method = getattr(api, name).list
    row_type = get_args(get_type_hints(method)["return"])[0]
    pages = list(itertools.islice(method(items_per_page=2).pages(), 2))
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert all(len(page.rows) <= 2 for page in pages)
    assert differences([row for page in pages for row in page.rows], list[row_type]) == []
    assert isinstance(pages[0].total, int)


@pytest.mark.parametrize("name", ["sub_accounts", "handwriting_styles", "giftcard_brands"])
def test_a_list_that_comes_in_one_answer(api, name):
    method = getattr(api, name).list
    assert differences(method(), get_type_hints(method)["return"]) == []


def test_the_newest_order_is_tracked_and_itemised(api):
    order = next(iter(api.orders.list(items_per_page=1)), None)
    if order is None:
        pytest.skip("the account has no order")
    assert differences(api.orders.track(order["id"]), get_type_hints(api.orders.track)["return"]) == []
    page = next(api.orders.items(order["id"], per_page=1).pages())
    assert differences(page.rows, list[get_args(get_type_hints(api.orders.items)["return"])[0]]) == []


def test_a_price_is_asked_and_nothing_is_ordered(api):
    before = len(api.orders.list(items_per_page=1))
    answer = api.estimate.postcard(
        message="Hello", front_image_url="https://www.example.com/front.png",
        recipients=[{"name": "Ann", "address": "1 Main Street", "city": "Springfield", "postal_code": "12345"}],
    )  # fmt: skip
    assert differences(answer, get_type_hints(api.estimate.postcard)["return"]) == []
    assert len(api.orders.list(items_per_page=1)) == before


def test_the_rate_limit_is_told(api):
    api.handwriting_styles.list()
    api.get("/ping")
    assert api.rate_limit is not None
    assert api.rate_limit.limit


def test_what_is_wrong_is_an_error_of_ours(api):
    with pytest.raises((NotFound, Unauthorized)):
        api.orders.track(1)
    with pytest.raises(InvalidRequest) as caught:
        api.estimate.postcard(message="Hello")
    assert caught.value.status_code in (400, 422)


def test_a_wrong_token_is_refused():
    with pytest.raises(Unauthorized) as caught:
        len(ThanksIOClient.with_bearer_token("not-a-token", api_url=API_URL).orders.list(items_per_page=1))
    assert caught.value.code == "unauthenticated"
