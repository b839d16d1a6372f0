"""What may be done with many connections at once. None of it sends hundreds of requests while a browser waits."""

from __future__ import annotations

import math
import time
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..conf import app_settings
from ..exceptions import ThanksIOConfigurationError
from ..flows.bring_forward import BroughtForward, bring_forward
from ..flows.census import take_census
from ..flows.disconnect import disconnect, is_revoked_at_thanksio
from ..flows.status import name_of
from ..models import ThanksIOConnection
from ..records import record
from . import pages
from .health import is_missing, last_sweep

# So many are disconnected at one press of the button; each may cost two requests where thanks.io is told.
AT_ONCE, AT_ONCE_WITH_REQUESTS = 500, 10
TIME_BUDGET_SECONDS = 10.0
NAMED = 20


@admin.action(permissions=["refresh"], description=gettext_lazy("Refresh with the next renewal run"))
def refresh(modeladmin: Any, request: HttpRequest, queryset: QuerySet[ThanksIOConnection]) -> None:
    """Make them due now. One UPDATE, at any number of them."""
    result = bring_forward(queryset)
    record("admin.made_due", operator_id=request.user.pk, count=result.due)
    for level, text in _said(result):
        modeladmin.message_user(request, text, level)


def _said(result: BroughtForward) -> list[tuple[int, str]]:
    found = []
    if result.due:
        found.append((messages.SUCCESS, " ".join(_of_the_due(result.due))))
        census = take_census()
        level = messages.WARNING if is_missing(census) else messages.INFO
        text = last_sweep(census)
        if is_missing(census):
            text += " " + _("Nothing is renewed until one starts: ask whoever runs the server.")
        found.append((level, text))
    if count := result.needing_owner:
        text = ngettext(
            "%(count)d needs its owner: refreshing can't help.",
            "%(count)d need their owners: refreshing can't help.",
            count,
        )
        found.append((messages.WARNING, text % {"count": count}))
    if count := result.waiting:
        text = ngettext(
            "%(count)d waits because thanks.io asked for it.", "%(count)d wait because thanks.io asked for it.", count
        )
        found.append((messages.WARNING, text % {"count": count}))
    return found


def _of_the_due(count: int) -> list[str]:
    text = ngettext("%(count)d connection is due now.", "%(count)d connections are due now.", count)
    found = [text % {"count": count}]
    try:
        rate = app_settings.rate_limit_per_minute
    except ThanksIOConfigurationError:
        return found
    minutes = math.ceil(count / rate)
    text = ngettext(
        "The next run of refresh_thanksio_tokens (or of its task) renews them, %(rate)g a minute: that takes about "
        "%(minutes)d minute.",
        "The next run of refresh_thanksio_tokens (or of its task) renews them, %(rate)g a minute: that takes about "
        "%(minutes)d minutes.",
        minutes,
    )
    return [*found, text % {"rate": rate, "minutes": minutes}]


@admin.action(permissions=["disconnect"], description=gettext_lazy("Disconnect"))
def disconnect_selected(
    modeladmin: Any, request: HttpRequest, queryset: QuerySet[ThanksIOConnection]
) -> HttpResponse | None:
    """Ask; then disconnect as many as one request may, and ask to go on with the rest."""
    count = queryset.count()
    if request.POST.get("confirmed") != str(count):  # nobody has agreed to another number
        return _ask(modeladmin, request, queryset, count)
    done = _disconnect_some(modeladmin, request, queryset)
    text = ngettext("%(count)d user disconnected.", "%(count)d users disconnected.", done) % {"count": done}
    modeladmin.message_user(request, text, messages.SUCCESS if done else messages.WARNING)
    left = queryset.all()
    return _ask(modeladmin, request, left, left.count()) if done and done < count else None


def _disconnect_some(modeladmin: Any, request: HttpRequest, queryset: QuerySet[ThanksIOConnection]) -> int:
    """Returns how many."""
    ends = time.monotonic() + TIME_BUDGET_SECONDS
    done = []
    for connection in queryset.order_by("pk")[: AT_ONCE_WITH_REQUESTS if is_revoked_at_thanksio() else AT_ONCE]:
        disconnect(connection)
        done.append(connection)
        if time.monotonic() > ends:
            break
    modeladmin.log_deletions(request, done)
    return len(done)


def _ask(
    modeladmin: Any, request: HttpRequest, queryset: QuerySet[ThanksIOConnection], count: int
) -> TemplateResponse | None:
    if not count:
        return None
    named = [name_of(connection.user) for connection in queryset.order_by("pk")[:NAMED]]
    # Where all pages are selected, the filter says which: 10,000 hidden inputs are more than Django takes.
    is_across = request.POST.get("select_across", "0") not in ("", "0")
    chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
    if not is_across:
        chosen = [str(pk) for pk in queryset.values_list("pk", flat=True)]
    context = {
        "title": _("Disconnect these users?"),
        "names": named,
        "more": count - len(named),
        "count": count,
        "is_revoked": is_revoked_at_thanksio(),
        "action": disconnect_selected.__name__,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "chosen": chosen[:1] if is_across else chosen,
        "select_across": int(is_across),
        "back_url": pages.list_url(modeladmin, request),
    }
    return pages.confirmation(modeladmin, request, context)
