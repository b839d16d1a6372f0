"""The admin of the connections: which columns, filters, actions and pages there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from ..flows.standing import Standing, standing_of, with_broken_since
from ..flows.status import name_of
from ..models import ThanksIOConnection
from . import actions, columns, pages
from .filters import RenewalFilter, StandingFilter, TroubleFilter
from .health import health_of
from .search import search_fields_of_users
from .timeline import timeline_of

if TYPE_CHECKING:
    ConnectionAdmin = admin.ModelAdmin[ThanksIOConnection]
else:
    ConnectionAdmin = admin.ModelAdmin


@admin.register(ThanksIOConnection)
class ThanksIOConnectionAdmin(ConnectionAdmin):
    """Read-only. Refreshing and disconnecting need permissions of their own."""

    list_display: Any = (
        columns.person,
        columns.state,
        columns.broken_since_when,
        columns.last_failure,
        columns.next_renewal,
    )
    list_filter = (StandingFilter, TroubleFilter, RenewalFilter)
    show_full_result_count = False
    change_list_template = "admin/thanksio_connect/thanksioconnection/change_list.html"
    change_form_template = "admin/thanksio_connect/thanksioconnection/change_form.html"
    actions = (actions.refresh, actions.disconnect_selected)
    readonly_fields: ClassVar[Any] = flatten((columns.state, *columns.TROUBLE, *columns.ACCOUNT, *columns.RENEWALS))

    class Media:
        css = {"all": ["thanksio_connect/admin.css"]}

    # What is shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[ThanksIOConnection]:
        """With the user, the tokens and since when it is broken: a page costs the same at any number of rows."""
        return with_broken_since(super().get_queryset(request).select_related("user", "tokens"))

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return what the users' own admin searches, and thanks.io's id."""
        return (*search_fields_of_users(self.admin_site, request), "=thanksio_user_id")

    def get_fieldsets(self, request: HttpRequest, obj: ThanksIOConnection | None = None) -> Any:
        """Return what there is to say: of trouble only where there is some."""
        is_broken = obj is not None and standing_of(obj) is not Standing.CONNECTED
        return [
            (None, {"fields": (columns.state, *(columns.TROUBLE if is_broken else ()))}),
            (columns.ACCOUNT_HEADING, {"fields": columns.ACCOUNT}),
            (columns.RENEWALS_HEADING, {"fields": columns.RENEWALS}),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, with how all connections are on top of it."""
        context = {"title": self.opts.verbose_name_plural, **(extra_context or {})}
        if request.method == "GET":
            context |= {"health": health_of(request), "csv_url": pages.csv_url(self, request)}
        return super().changelist_view(request, context)

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: ThanksIOConnection | None = None,
    ) -> Any:
        """The page of one connection, with what happened to it and what may be done."""
        if obj is not None:
            context |= pages.one_connection(self, request, obj)
            context |= {"title": self.opts.verbose_name, "subtitle": name_of(obj.user)}
            context["timeline"] = timeline_of(obj.user_id)
        return super().render_change_form(request, context, add, change, form_url, obj)

    # What is allowed

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """ "Disconnect" stands for Django's "Delete selected", which would not send the signal."""
        where = () if action_location is None else (action_location,)  # new in Django 6.1
        found = super().get_actions(request, *where)
        found.pop("delete_selected", None)
        return found

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the owner of a thanks.io account can connect it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ThanksIOConnection | None = None) -> bool:
        """There is nothing to edit, so nothing to save."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ThanksIOConnection | None = None) -> bool:
        """Whoever deletes a user deletes the connection with it."""
        return super().has_delete_permission(request, obj) or self.has_disconnect_permission(request)

    def has_refresh_permission(self, request: HttpRequest) -> bool:
        """Whether this person may ask thanks.io for new tokens."""
        return self._has("refresh", request)

    def has_disconnect_permission(self, request: HttpRequest) -> bool:
        """Whether this person may disconnect users."""
        return self._has("disconnect", request)

    def _has(self, act: str, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm(f"{self.opts.app_label}.{act}_{ThanksIOConnection._meta.model_name}"))

    # Pages of its own

    def get_urls(self) -> list[URLPattern]:
        """Django's, a page for each button, and the list as CSV."""
        view, name = self.admin_site.admin_view, pages.url_name
        own = [
            path("csv/", view(self.csv_view), name=name(self, "csv")),
            path("<path:object_id>/refresh/", view(self.refresh_view), name=name(self, "refresh")),
            path("<path:object_id>/disconnect/", view(self.disconnect_view), name=name(self, "disconnect")),
        ]
        return own + super().get_urls()

    def csv_view(self, request: HttpRequest) -> Any:
        """The list of the current filter, to mail to."""
        return pages.csv_list(self, request)

    def refresh_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Refresh one connection now."""
        return pages.refresh(self, request, object_id)

    def disconnect_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then disconnect one user."""
        return pages.disconnect_one(self, request, object_id)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Disconnect: the signal is sent, and thanks.io is told."""
        return self.disconnect_view(request, object_id)
