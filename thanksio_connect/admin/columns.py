"""What the list and the page of one connection say of it, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..fields import as_the_project_has_it, utc_now
from ..flows.census import OVERDUE
from ..flows.diagnosis import diagnosis_of
from ..flows.standing import Standing, broken_since, standing_of
from ..flows.status import email_of, full_name_of, name_of
from ..models import ThanksIOConnection

ACCOUNT_HEADING = gettext_lazy("Account")
RENEWALS_HEADING = gettext_lazy("Renewals")
NOTHING = format_html('<span class="thanksio-none">{}</span>', "-")
_TWO_LINES = '{}<span class="thanksio-more">{}</span>'
# On a narrow screen the list has no headings.
_LABELLED = '<span class="thanksio-label">{}</span> {}'


def shown(moment: datetime | None) -> str | None:
    """Return the moment in the reader's zone and format, short."""
    if moment is None:
        return None
    local = as_the_project_has_it(moment) or moment
    return formats.date_format(
        timezone.localtime(local) if timezone.is_aware(local) else local, "SHORT_DATETIME_FORMAT"
    )


def ago(moment: datetime | None) -> str:
    """Return the moment, and how long ago that is."""
    if moment is None:
        return NOTHING
    return _("%(when)s (%(time)s ago)") % {"when": shown(moment), "time": timesince(moment, depth=1)}


def _tokens(connection: ThanksIOConnection) -> Any:
    return getattr(connection, "tokens", None)


def _breakable(address: str) -> SafeString:
    """An address that is too long for its column is broken where it is easiest to read."""
    name, at, host = address.rpartition("@")
    return format_html("{}{}<wbr>{}", name, at, host)


# The list


@admin.display(description=gettext_lazy("user"), ordering=f"user__{get_user_model().USERNAME_FIELD}")
def person(obj: ThanksIOConnection) -> SafeString | str:
    """By name, with the address to write to."""
    username, address = obj.user.get_username(), email_of(obj.user)
    name = full_name_of(obj.user) or username
    more = address or username
    return name if more == name else format_html(_TWO_LINES, name, _breakable(more))


@admin.display(description=gettext_lazy("state"), ordering="tokens__status")
def state(obj: ThanksIOConnection) -> SafeString:
    """In words, and in a colour."""
    standing = standing_of(obj)
    return format_html('<span class="thanksio-state thanksio-state--{}">{}</span>', standing.value, standing.label)


@admin.display(description=gettext_lazy("broken since"))
def broken_since_when(obj: ThanksIOConnection) -> SafeString:
    """When its trouble began."""
    when = shown(broken_since(obj))
    return format_html(_LABELLED, _("broken since"), when) if when else NOTHING


@admin.display(description=gettext_lazy("last failure"), ordering="tokens__last_failed_at")
def last_failure(obj: ThanksIOConnection) -> SafeString | str:
    """In a few words, and when."""
    if standing_of(obj) is Standing.CONNECTED:
        return NOTHING
    tokens, short = _tokens(obj), diagnosis_of(obj.last_error_code).short
    if tokens is None or tokens.last_failed_at is None:
        return str(short)
    return format_html(_TWO_LINES, short, shown(tokens.last_failed_at))


@admin.display(description=gettext_lazy("next renewal"), ordering="tokens__next_refresh_at")
def next_renewal(obj: ThanksIOConnection) -> SafeString:
    """How soon; and what can't wait for it."""
    tokens, now = _tokens(obj), utc_now()
    if tokens is None or obj.needs_reconnect:
        return NOTHING
    if tokens.next_refresh_at > now:
        words = _("in %(time)s") % {"time": timeuntil(tokens.next_refresh_at, depth=1)}
    elif tokens.next_refresh_at > now - OVERDUE:
        words = _("due now")
    else:
        words = _("overdue for %(time)s") % {"time": timesince(tokens.next_refresh_at, depth=1)}
    labelled = format_html(_LABELLED, _("next renewal"), words)
    if tokens.expires_at is None or tokens.expires_at > now:
        return labelled
    return format_html(_TWO_LINES, labelled, _("access token expired"))


# The page of one connection


@admin.display(description=gettext_lazy("what happened"))
def what_happened(obj: ThanksIOConnection) -> str:
    """The last failure as a sentence."""
    return str(diagnosis_of(obj.last_error_code).what)


@admin.display(description=gettext_lazy("what to do"))
def what_to_do(obj: ThanksIOConnection) -> SafeString:
    """The cure."""
    return format_html("<strong>{}</strong>", diagnosis_of(obj.last_error_code).cure)


@admin.display(description=gettext_lazy("broken since"))
def broken_for(obj: ThanksIOConnection) -> str:
    """When its trouble began, and how long ago that is."""
    return ago(broken_since(obj))


@admin.display(description=gettext_lazy("last failure"))
def last_failed(obj: ThanksIOConnection) -> str:
    """When it failed last."""
    return ago(getattr(_tokens(obj), "last_failed_at", None))


@admin.display(description=gettext_lazy("failures in a row"))
def failures_in_a_row(obj: ThanksIOConnection) -> int:
    """How many renewals failed since one went well."""
    return int(getattr(_tokens(obj), "failure_count", 0))


@admin.display(description=gettext_lazy("user"))
def person_in_full(obj: ThanksIOConnection) -> str:
    """By name."""
    return name_of(obj.user)


@admin.display(description=gettext_lazy("e-mail address"))
def email(obj: ThanksIOConnection) -> SafeString:
    """Where to write to."""
    address = email_of(obj.user)
    return format_html('<a href="mailto:{}">{}</a>', address, address) if address else NOTHING


@admin.display(description=gettext_lazy("account at thanks.io"))
def account(obj: ThanksIOConnection) -> str:
    """The id that thanks.io knows it by."""
    return obj.thanksio_user_id or NOTHING


@admin.display(description=gettext_lazy("connected since"))
def connected_since(obj: ThanksIOConnection) -> str:
    """When the owner connected it last."""
    return ago(obj.connected_at)


@admin.display(description=gettext_lazy("last renewed"))
def last_renewed(obj: ThanksIOConnection) -> str:
    """Empty while the tokens are the first ones."""
    return ago(getattr(_tokens(obj), "last_refreshed_at", None))


@admin.display(description=gettext_lazy("access token expires"))
def access_expires(obj: ThanksIOConnection) -> str:
    """Empty if thanks.io did not say."""
    expires_at = getattr(_tokens(obj), "expires_at", None)
    if expires_at is None or expires_at <= utc_now():
        return ago(expires_at)
    return _("%(when)s (in %(time)s)") % {"when": shown(expires_at), "time": timeuntil(expires_at, depth=1)}


# Fields in one pair of brackets stand in one line.
TROUBLE: Any = (what_happened, what_to_do, (broken_for, last_failed, failures_in_a_row))
ACCOUNT: Any = ((person_in_full, email), (account, connected_since))
RENEWALS: Any = ((last_renewed, next_renewal, access_expires),)
