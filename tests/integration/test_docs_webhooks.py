"""The page on webhooks runs as printed: its URLs, its receiver, and its test, against a running site."""

from __future__ import annotations

import sys
import types

import pytest
from django.urls import include, path

from tests.docs_blocks import blocks_for
from thanksio_connect import signals
from thanksio_connect.testing.pytest import fake_thanksio

__all__ = ["fake_thanksio"]

BLOCKS = [block for block in blocks_for("elsewhere") if block.page.rpartition("/")[2] == "webhooks.md"]

if not BLOCKS:
    pytest.skip("the documentation is not shipped here", allow_module_level=True)


@pytest.fixture
def page(settings, monkeypatch):
    """The page's blocks but the one that registers, which needs a connection; its URLs are the project's."""
    before = signals.webhook_received.receivers[:]
    names: dict[str, object] = {}
    for block in BLOCKS:
        if not block.text.startswith("connection."):
            exec(compile(block.text, block.page, "exec"), names)
    urlconf = types.ModuleType("urls_of_the_page")
    urlconf.urlpatterns = names["urlpatterns"]
    monkeypatch.setitem(sys.modules, urlconf.__name__, urlconf)
    settings.ROOT_URLCONF = urlconf.__name__
    yield names
    signals.webhook_received.receivers[:] = before
    signals.webhook_received.sender_receivers_cache.clear()


@pytest.mark.django_db(transaction=True)
def test_the_pages_test_passes(page, live_server, settings, fake_thanksio, django_user_model):
    page["test_a_delivery_is_seen"](live_server, settings, fake_thanksio, django_user_model)


@pytest.mark.django_db(transaction=True)
def test_the_receiver_knows_each_type_that_is_registered(page, live_server, settings, fake_thanksio, django_user_model):
    settings.THANKSIO_WEBHOOKS_URL = f"{live_server.url}/thanksio/webhooks/"
    connection = fake_thanksio.connect(django_user_model.objects.create_user("ann"))
    [registering] = [block for block in BLOCKS if block.text.startswith("connection.")]
    exec(compile(registering.text, registering.page, "exec"), {"connection": connection})
    order = connection.api.send.postcard(message="Hi", recipients=[{"address": "1 Main Street"}])
    assert fake_thanksio.send_webhook("order.status_update", {"order.id": order["id"]}) == [200]
    assert fake_thanksio.send_webhook("scans.scan_update", {"order.id": 17}) == [200]
    assert page["seen"] == [(connection.user, order["id"], "Reviewing"), (connection.user, 17, 1)]


def test_the_urls_are_the_ones_that_are_printed(page):
    assert [str(each.pattern) for each in page["urlpatterns"]] == ["thanksio/", "thanksio/webhooks/"]
    assert path("x/", include("thanksio_connect.webhook_urls")).app_name == "thanksio_webhooks"
