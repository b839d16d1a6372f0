"""Postcards in the admin: to look at, not to send."""

from django.contrib import admin

from example_project.product.models import Postcard


@admin.register(Postcard)
class PostcardAdmin(admin.ModelAdmin):
    list_display = ["name", "city", "user", "status", "order_id", "cost_cents", "created_at"]
    list_filter = ["status", "design"]
    search_fields = ["name", "city", "=order_id", "=reference"]
    readonly_fields = ["reference", "status", "order_id", "cost_cents", "sent_at", "created_at", "updated_at"]
    list_select_related = ["user"]
