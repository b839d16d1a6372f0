"""The admin page of ``send_once()``: each key, and the order that it stands for. Nothing can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import SentOrder

if TYPE_CHECKING:
    OrderAdmin = admin.ModelAdmin[SentOrder]
else:
    OrderAdmin = admin.ModelAdmin


@admin.register(SentOrder)
class SentOrderAdmin(OrderAdmin):
    """Read-only: whoever removed an entry would have its letter sent again."""

    list_display = ("key", "account", "operation", "state", "order_id", "attempts", "attempted_at", "sent_at")
    list_filter = ("state", "operation")
    list_select_related = False
    search_fields = ("key__startswith", "order_id__exact", "id__exact")
    search_help_text = _("The key from its beginning, thanks.io's order, or the id in its metadata.")
    show_full_result_count = False
    ordering = ("-created_at",)
    fields = (
        "key",
        "account",
        "connection_id",
        "thanksio_user_id",
        "operation",
        "state",
        "order_id",
        "attempts",
        "created_at",
        "attempted_at",
        "sent_at",
        "id",
    )
    readonly_fields = fields

    @admin.display(description=_("user"), ordering="user_id")
    def account(self, obj: SentOrder) -> str:
        """By primary key: without a constraint in the database, the user may be gone."""
        return str(obj.user_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only ``send_once()`` adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not from here. An entry goes with its user: the page that deletes users asks, and may."""
        own_pages = f"{self.opts.app_label}_{self.opts.model_name}_"
        return not (request.resolver_match and str(request.resolver_match.url_name).startswith(own_pages))
