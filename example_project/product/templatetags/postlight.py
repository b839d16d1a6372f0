"""Money as people read it, and which tab a page belongs to."""

from django import template
from django.urls import ResolverMatch
from django.utils.formats import number_format

from example_project.product.tracking import state_of

register = template.Library()
_TABS = {"home": "home", "postcard": "write", "order": "orders", "orders": "orders", "thanksio_connect": "connection"}


@register.filter
def dollars(cents: int | None) -> str:
    """thanks.io counts US cents; an amount that is not known is a dash."""
    if cents is None:
        return "–"
    return f"${number_format(cents / 100, decimal_pos=2, force_grouping=True)}"


@register.inclusion_tag("product/_chip.html")
def order_chip(status: str) -> dict[str, str]:
    """Where an order is, as far as thanks.io has told."""
    label, tone = state_of(status)
    return {"label": label, "tone": tone}


@register.filter
def tab(match: ResolverMatch | None) -> str:
    """The tab of a page: by the app of its URL, or the first word of its name. A page that is missing has none."""
    if match is None:
        return ""
    return _TABS.get(match.app_name or (match.url_name or "").partition("-")[0], "")
