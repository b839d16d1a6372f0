"""The fronts that a postcard can have: an SVG for the screen, a PNG of 1875 x 1275 pixels for thanks.io to print."""

from __future__ import annotations

from django.db import models
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _


class Design(models.TextChoices):
    HARBOUR = "harbour", _("Harbour at dusk")
    HILLS = "hills", _("Morning hills")
    LANTERN = "lantern", _("Street lantern")
    CITRUS = "citrus", _("Citrus")
    MEADOW = "meadow", _("Meadow")
    TERRAZZO = "terrazzo", _("Terrazzo")


def print_url(request: HttpRequest, design: str) -> str:
    """The absolute URL that thanks.io fetches the front from (thanks.io asks for exactly 1875 x 1275 pixels)."""
    return request.build_absolute_uri(static(f"product/designs/{design}.png"))
