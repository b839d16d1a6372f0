"""The names that users type. Removing or renaming one breaks their code: this test has to be changed on purpose."""

import inspect
from dataclasses import fields
from importlib import resources

import pytest
from django.template import engines
from django.urls import reverse

from thanksio_connect import exceptions, models, signals, testing, webhooks
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.listing import Listing, Page
from thanksio_connect.client.resources.recipients import CreatedRecipients
from thanksio_connect.client.resources.resource import Resource
from thanksio_connect.client.send_once import SendOnce
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.templatetags.thanksio_connect import register


def public(owner: object) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def own(module: object) -> set[str]:
    """The classes and functions that the module defines itself."""
    return {
        name
        for name, item in vars(module).items()
        if not name.startswith("_") and getattr(item, "__module__", "") == module.__name__
    }


MAIL_PIECES = {"giftcard", "magnacard", "notecard", "postcard", "windowedletter", "windowlessletter"}
RESOURCES = {
    "estimate": MAIL_PIECES,
    "giftcard_brands": {"grouped", "list"},
    "handwriting_styles": {"list"},
    "image_templates": {"list"},
    "mailing_lists": {"buy_radius_search", "count_radius_search", "create", "delete", "get", "list", "recipients"},
    "message_templates": {"create", "delete", "get", "list", "update"},
    "order_items": {"invalidate_giftcard"},
    "orders": {"cancel", "items", "list", "replay", "track"},
    "recipients": {"create", "create_multiple", "delete", "delete_by_address", "get", "update"},
    "send": MAIL_PIECES,
    "sub_accounts": {"create", "delete", "get", "list", "update"},
    "webhooks": {"create", "delete", "list", "update"},
}
CLIENT = ThanksIOClient.with_bearer_token("TOKEN")


def resources_of(client: ThanksIOClient) -> dict[str, Resource]:
    items = {name: getattr(client, name) for name in dir(client) if not name.startswith("_")}
    return {name: item for name, item in items.items() if isinstance(item, Resource)}


def test_the_exceptions():
    assert own(exceptions) == {
        "APIError",
        "Conflict",
        "ConnectionStateError",
        "Forbidden",
        "InvalidGrant",
        "InvalidRequest",
        "InvalidState",
        "InvalidTokenResponse",
        "NotConnected",
        "NotFound",
        "NotSent",
        "OAuthError",
        "OutcomeUnknown",
        "PaymentRequired",
        "RateLimited",
        "ReconnectRequired",
        "RefreshInProgress",
        "SendOnceRefused",
        "ServerError",
        "ThanksIOConfigurationError",
        "ThanksIOError",
        "Throttled",
        "TokenUndecryptable",
        "TransportError",
        "Unauthorized",
        "UnsendableValue",
    }


def test_the_signals():
    assert public(signals) - {"Signal"} == {
        "connected",
        "disconnected",
        "reconnect_required",
        "refresh_failed",
        "tokens_refreshed",
        "webhook_received",
    }


def test_the_models():
    assert set(models.__all__) == {
        "AuthorizationRequest",
        "ConnectionEvent",
        "ConnectionTokens",
        "ReceivedWebhook",
        "SentOrder",
        "Sweep",
        "ThanksIOConnection",
        "ThanksIOConnectionManager",
    }
    assert {field.name for field in ThanksIOConnection._meta.get_fields()} == {
        "connected_at",
        "created_at",
        "id",
        "thanksio_user_id",
        "tokens",
        "updated_at",
        "user",
    }
    assert {field.name for field in ConnectionTokens._meta.get_fields()} == {
        "access_token",
        "connection",
        "expires_at",
        "failure_count",
        "id",
        "last_error_code",
        "last_failed_at",
        "last_refreshed_at",
        "lease_expires_at",
        "lease_id",
        "next_refresh_at",
        "obtained_at",
        "outcome_unknown",
        "refresh_token",
        "scope",
        "status",
        "token_type",
        "version",
        "webhook_digest",
        "webhook_token",
    }
    assert ThanksIOConnection._meta.get_field("user").remote_field.related_name == "thanksio_connection"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (ThanksIOConnection.get_access_token, "(self)"),
        (ThanksIOConnection.aget_access_token, "(self)"),
        (ThanksIOConnection.refresh, "(self, force=False)"),
        (ThanksIOConnection.send_once, "(self, key)"),
        (ThanksIOConnection.find_order, "(self, key, *, sub_account_id=None)"),
        (ThanksIOConnection.disconnect, "(self)"),
        (ThanksIOConnection.receive_webhooks, "(self, types, *, url='')"),
        (
            testing.ThanksIOServer.send_webhook,
            "(self, event_type='order.status_update', data=None, *, user_id=None, event_id=None)",
        ),
        (models.ThanksIOConnectionManager.connected, "(self)"),
        (models.ThanksIOConnectionManager.due, "(self)"),
        (models.ThanksIOConnectionManager.needing_reconnect, "(self)"),
        (models.ThanksIOConnectionManager.for_user, "(self, user)"),
        (models.ThanksIOConnectionManager.connect, "(self, user, token_set, *, thanksio_user_id='')"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_parameters(function, parameters):
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == parameters
    assert all(parameter.annotation != parameter.empty for parameter in list(signature.parameters.values())[1:])
    assert signature.return_annotation != signature.empty


def test_the_properties_and_states_of_a_connection():
    of_the_tokens = ("expires_at", "last_error_code", "last_refreshed_at", "next_refresh_at", "status")
    for name in ("api", "is_connected", "needs_reconnect", *of_the_tokens):
        assert isinstance(vars(ThanksIOConnection)[name], property)
    assert dict(ThanksIOConnection.Status.choices).keys() == {"connected", "reconnect_required"}


def test_the_api_client():
    assert public(ThanksIOClient) == RESOURCES.keys() | {
        "build_image_template",
        "delete",
        "get",
        "paced",
        "patch",
        "post",
        "put",
        "rate_limit",
        "with_bearer_token",
    }
    assert {name: public(type(item)) for name, item in resources_of(CLIENT).items()} == RESOURCES
    assert inspect.ismethod(CLIENT.build_image_template)
    once = ThanksIOConnection(user_id=1).send_once("a")
    assert {name for name in dir(once) if not name.startswith("_")} == MAIL_PIECES | {"buy_radius_search", "replay"}
    assert public(Listing) == {"pages"}
    assert list(inspect.signature(TokenSet).parameters) == [
        "access_token",
        "refresh_token",
        "expires_in",
        "token_type",
        "scope",
        "expires_at",
    ]


def test_the_events_of_webhooks():
    names = "OrderItemDelivered OrderItemEvent OrderItemStatusUpdate OrderStatusUpdate ScanUpdate WebhookEvent"
    assert set(webhooks.__all__) == set(names.split())
    assert {field.name for field in fields(webhooks.WebhookEvent)} == {
        "connection",
        "data",
        "event_id",
        "event_type",
        "sent_at",
    }
    assert "fetch" in public(webhooks.WebhookEvent)


def test_the_template_tags():
    assert set(register.tags) == {
        "thanksio_connect_button",
        "thanksio_connection",
        "thanksio_reconnect_notice",
        "thanksio_stylesheet",
    }
    assert engines["django"].from_string("{% load thanksio_connect %}")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("connection", "/thanksio/"),
        ("connect", "/thanksio/connect/"),
        ("callback", "/thanksio/callback/"),
        ("disconnect", "/thanksio/disconnect/"),
    ],
)
def test_the_url_names(name, path):
    assert reverse(f"thanksio_connect:{name}") == path


def test_the_url_name_of_webhooks():
    assert reverse("thanksio_webhooks:receive", "tests.webhook_project_urls", ["token"]) == "/thanksio/webhooks/token/"


def test_the_testing_package():
    assert set(testing.__all__) == {
        "FakeThanksIO",
        "Fault",
        "Grant",
        "GrantEvent",
        "Pair",
        "RequestRecord",
        "ThanksIOServer",
        "Token",
    }


def test_the_package_is_typed():
    assert resources.files("thanksio_connect").joinpath("py.typed").is_file()


PUBLIC = [
    *(getattr(exceptions, name) for name in sorted(own(exceptions))),
    *(getattr(models, name) for name in models.__all__),
    ThanksIOClient,
    SendOnce,
    *(type(item) for item in resources_of(CLIENT).values()),
    Listing,
    Page,
    CreatedRecipients,
    TokenSet,
    *(getattr(testing, name) for name in testing.__all__),
    *(getattr(webhooks, name) for name in webhooks.__all__),
]


@pytest.mark.parametrize("item", PUBLIC, ids=lambda item: item.__name__)
def test_public_names_have_docstrings(item):
    assert item.__doc__
    for name, member in vars(item).items():
        if not name.startswith("_") and inspect.isfunction(member):
            assert member.__doc__, f"{item.__name__}.{name}"
