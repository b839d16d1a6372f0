"""A host project in miniature: views that use the helper, for ATOMIC_REQUESTS and ASGI."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.urls import path

from thanksio_connect.models import ThanksIOConnection

from .pairs import HostError


def view(request: HttpRequest, pk: int, ending: str) -> HttpResponse:
    row = ThanksIOConnection.objects.get(pk=pk)
    Group.objects.create(name="before")
    token = row.get_access_token()
    Group.objects.create(name="after")
    if ending == "raise":
        raise HostError
    return HttpResponse(token)


async def async_view(request: HttpRequest, pk: int) -> HttpResponse:
    row = await ThanksIOConnection.objects.aget(pk=pk)
    return HttpResponse(await row.aget_access_token())


urlpatterns: list[Any] = [path("async/<int:pk>/", async_view), path("<int:pk>/<str:ending>/", view)]
