"""How people are searched for: as in their own admin."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest

_PREFIXES = ("^", "=", "@")


def search_fields_of_users(site: admin.AdminSite, request: HttpRequest) -> tuple[str, ...]:
    """Return the search fields of the users' admin on this site, seen from a connection.

    Where users have no admin, or one without a search: what they sign in with, and their e-mail address.
    """
    model = get_user_model()
    fields = site._registry[model].get_search_fields(request) if site.is_registered(model) else ()
    return tuple(_of_the_user(name) for name in fields or _usual(model))


def _of_the_user(name: str) -> str:
    return f"{name[0]}user__{name[1:]}" if name.startswith(_PREFIXES) else f"user__{name}"


def _usual(model: type) -> tuple[str, ...]:
    names = {field.name for field in model._meta.get_fields()}  # type: ignore[attr-defined]
    wanted = (getattr(model, "USERNAME_FIELD", ""), getattr(model, "EMAIL_FIELD", ""))
    return tuple(dict.fromkeys(name for name in wanted if name in names))
