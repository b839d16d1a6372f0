"""The admin page: the state of each connection, and never a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from . import admin_sent_orders  # noqa: F401 - Django looks for this module alone
from .exceptions import ThanksIOConfigurationError, ThanksIOError
from .flows.disconnect import disconnect, is_revoked_at_thanksio
from .models import ThanksIOConnection

if TYPE_CHECKING:
    ConnectionAdmin = admin.ModelAdmin[ThanksIOConnection]
else:
    ConnectionAdmin = admin.ModelAdmin

_NAMED_FAILURES = 20


@admin.register(ThanksIOConnection)
class ThanksIOConnectionAdmin(ConnectionAdmin):
    """Read-only; renewing needs the change permission, disconnecting the delete permission."""

    list_display = (
        "user",
        "status",
        "expires_at",
        "last_refreshed_at",
        "last_error_code",
        "failure_count",
        "connected_at",
    )
    list_filter = ("tokens__status", "tokens__last_error_code")
    list_select_related = ("user", "tokens")
    fields = (
        "user",
        "status",
        "thanksio_user_id",
        "scope",
        "expires_at",
        "next_refresh_at",
        "last_refreshed_at",
        "failure_count",
        "last_error_code",
        "connected_at",
        "created_at",
        "updated_at",
    )
    readonly_fields = fields
    actions = ("refresh_now", "disconnect")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """By what users sign in with, whatever the user model calls it, and by thanks.io's id."""
        return (f"user__{get_user_model().USERNAME_FIELD}", "=thanksio_user_id")

    @admin.display(description=gettext_lazy("status"), ordering="tokens__status")
    def status(self, obj: ThanksIOConnection) -> str:
        """In words."""
        return str(ThanksIOConnection.Status(obj.status).label)

    @admin.display(description=gettext_lazy("expires at"), ordering="tokens__expires_at")
    def expires_at(self, obj: ThanksIOConnection) -> Any:
        """Of the access token."""
        return obj.expires_at

    @admin.display(description=gettext_lazy("next refresh at"), ordering="tokens__next_refresh_at")
    def next_refresh_at(self, obj: ThanksIOConnection) -> Any:
        """When the command renews it."""
        return obj.next_refresh_at

    @admin.display(description=gettext_lazy("last refreshed at"), ordering="tokens__last_refreshed_at")
    def last_refreshed_at(self, obj: ThanksIOConnection) -> Any:
        """Empty for the first tokens."""
        return obj.last_refreshed_at

    @admin.display(description=gettext_lazy("last error"), ordering="tokens__last_error_code")
    def last_error_code(self, obj: ThanksIOConnection) -> str:
        """Of the last renewal, if it failed."""
        return obj.last_error_code

    @admin.display(description=gettext_lazy("failures in a row"), ordering="tokens__failure_count")
    def failure_count(self, obj: ThanksIOConnection) -> int:
        """0 after a renewal that went well."""
        return int(getattr(getattr(obj, "tokens", None), "failure_count", 0))

    @admin.display(description=gettext_lazy("scope"))
    def scope(self, obj: ThanksIOConnection) -> str:
        """As thanks.io granted it."""
        return str(getattr(getattr(obj, "tokens", None), "scope", ""))

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """ "Disconnect" stands for Django's "Delete selected", which would not send the signal."""
        where = () if action_location is None else (action_location,)  # new in Django 6.1
        actions = super().get_actions(request, *where)
        actions.pop("delete_selected", None)
        return actions

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the owner of a thanks.io account can connect it."""
        return False

    def save_model(self, request: HttpRequest, obj: ThanksIOConnection, form: Any, change: bool) -> None:
        """Nothing can be edited, so nothing is written."""

    def delete_model(self, request: HttpRequest, obj: ThanksIOConnection) -> None:
        """Disconnect: the signal is sent, and thanks.io is told."""
        disconnect(obj)

    @admin.action(permissions=["change"], description=gettext_lazy("Refresh now"))
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[ThanksIOConnection]) -> None:
        """Renew each now, also those with a fresh token; one failing row does not stop the rest."""
        try:
            done = self._each(request, queryset, self._refresh)
        except ThanksIOConfigurationError as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        text = ngettext("%(count)d connection refreshed.", "%(count)d connections refreshed.", done) % {"count": done}
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)

    @admin.action(permissions=["delete"], description=gettext_lazy("Disconnect"))
    def disconnect(self, request: HttpRequest, queryset: QuerySet[ThanksIOConnection]) -> HttpResponse | None:
        """Ask, then remove each connection."""
        if "confirmed" not in request.POST:
            context = self.admin_site.each_context(request) | {
                "title": _("Disconnect these users?"),
                "opts": self.opts,
                "connections": queryset,
                "is_revoked": is_revoked_at_thanksio(),
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
                "changelist_url": self._changelist_url(request),
            }
            return TemplateResponse(request, "admin/thanksio_connect/disconnect_confirmation.html", context)
        self.log_deletions(request, queryset)
        done = self._each(request, queryset, disconnect)
        text = ngettext("%(count)d user disconnected.", "%(count)d users disconnected.", done) % {"count": done}
        self.message_user(request, text, messages.SUCCESS if done else messages.WARNING)
        return None

    def _changelist_url(self, request: HttpRequest) -> str:
        """By the URLconf, with the filters: the request's path may be one that an unanchored pattern let in."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        filters = request.GET.urlencode()
        return reverse(name, current_app=self.admin_site.name) + (f"?{filters}" if filters else "")

    @staticmethod
    def _refresh(connection: ThanksIOConnection) -> None:
        connection.refresh(force=True)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[ThanksIOConnection],
        act: Callable[[ThanksIOConnection], None],
    ) -> int:
        """Act on each; name the first failures, count the others. Returns how many went well."""
        done = failed = 0
        for connection in queryset:
            try:
                act(connection)
            except ThanksIOError as error:
                failed += 1
                if failed <= _NAMED_FAILURES:
                    self.message_user(request, f"{connection.user}: {error}", messages.ERROR)
            else:
                done += 1
        if failed > _NAMED_FAILURES:
            rest = failed - _NAMED_FAILURES
            text = ngettext("%(count)d more failed.", "%(count)d more failed.", rest) % {"count": rest}
            self.message_user(request, text, messages.ERROR)
        return done
