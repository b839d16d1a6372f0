"""Money as people read it."""

from django import template
from django.utils.formats import number_format

register = template.Library()


@register.filter
def dollars(cents: int | None) -> str:
    """thanks.io counts US cents; an amount that is not known is a dash."""
    if cents is None:
        return "–"
    return f"${number_format(cents / 100, decimal_pos=2, force_grouping=True)}"
