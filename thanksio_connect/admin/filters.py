"""The filters of the list. Each is one condition on rows that the list joins anyway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..fields import utc_now
from ..flows.census import NO_TOKENS, OVERDUE
from ..flows.diagnosis import diagnosis_of
from ..flows.standing import Standing, stands
from ..models import ThanksIOConnection
from ..refresh.token_row import Status
from .health import RENEWAL, STANDING, TROUBLE, census_of

if TYPE_CHECKING:
    Rows = QuerySet[ThanksIOConnection]


class StandingFilter(admin.SimpleListFilter):
    """Connected, failing, or in need of its owner."""

    title = _("state")
    parameter_name = STANDING

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """Every state there is."""
        return [(value, label) for value, label in Standing.choices]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The connections in that state; all for a state that is none."""
        value = self.value()
        return queryset.filter(stands(Standing(value))) if value in Standing.values else queryset


class TroubleFilter(admin.SimpleListFilter):
    """What failed last."""

    title = _("last failure")
    parameter_name = TROUBLE

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """The failures that there are now, and the one that is asked for."""
        codes = set(census_of(request).errors)
        if asked := self.used_parameters.get(TROUBLE):
            codes.add(asked)
        return sorted(((code, str(diagnosis_of(code).short)) for code in codes), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The connections whose last renewal failed so."""
        code = self.value()
        if not code:
            return queryset
        return queryset.filter(Q(tokens=None) if code == NO_TOKENS else Q(tokens__last_error_code=code))


class RenewalFilter(admin.SimpleListFilter):
    """What time has overtaken."""

    title = _("renewal")
    parameter_name = RENEWAL

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        """As the census counts them."""
        return [
            ("due", _("Due")),
            ("overdue", _("Overdue for more than an hour")),
            ("expired", _("Access token expired")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """The connections that still work otherwise."""
        now = utc_now()
        conditions = {
            "due": Q(tokens__next_refresh_at__lte=now),
            "overdue": Q(tokens__next_refresh_at__lte=now - OVERDUE),
            "expired": Q(tokens__expires_at__lte=now),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition, tokens__status=Status.CONNECTED)
