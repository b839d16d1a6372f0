"""What a site's settings say to a client that is made without them. They are put in from above; no Django here."""

from __future__ import annotations

from typing import Protocol

from .tokens import Secret
from .transport import TransportConfig


class Site(Protocol):
    """The settings, looked up at every access. Each raises ThanksIOConfigurationError if it is malformed."""

    @property
    def api_url(self) -> str:
        """The API's base."""

    @property
    def bearer_token(self) -> Secret:
        """Of the site's own account at thanks.io; empty: it has none."""

    @property
    def transport(self) -> TransportConfig:
        """Time limits, and the product's name."""


_site: Site | None = None


def provide(site: Site) -> None:
    """Have these settings asked; :mod:`thanksio_connect.conf` does this."""
    global _site
    _site = site


def current_site() -> Site | None:
    """Return the site's settings; None where no Django project is."""
    return _site
