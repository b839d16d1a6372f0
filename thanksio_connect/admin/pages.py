"""The pages beside Django's own: refresh one connection, disconnect one user, the list as CSV."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..exceptions import ThanksIOConfigurationError, ThanksIOError
from ..flows.diagnosis import diagnosis_of_error
from ..flows.disconnect import disconnect, is_revoked_at_thanksio
from ..flows.status import name_of
from ..models import ThanksIOConnection
from .csv_list import async_chunks, csv_chunks

CONFIRMATION = "admin/thanksio_connect/disconnect_confirmation.html"


def url_name(modeladmin: Any, page: str) -> str:
    """Return the name under which a page of this admin is known."""
    return f"{modeladmin.opts.app_label}_{modeladmin.opts.model_name}_{page}"


def url(modeladmin: Any, page: str, *args: Any) -> str:
    """Return a page's address, by the URLconf: the request's own may be one that an unanchored pattern let in."""
    return reverse(f"admin:{url_name(modeladmin, page)}", args=args, current_app=modeladmin.admin_site.name)


def _kept(modeladmin: Any, request: HttpRequest, address: str) -> str:
    """Return the address with the filter of the list that this person came from."""
    filters = modeladmin.get_preserved_filters(request)
    return str(add_preserved_filters({"preserved_filters": filters, "opts": modeladmin.opts}, address))


def list_url(modeladmin: Any, request: HttpRequest) -> str:
    """Return the list's address, with the filters of this request."""
    filters = request.GET.urlencode()
    return url(modeladmin, "changelist") + (f"?{filters}" if filters else "")


def csv_url(modeladmin: Any, request: HttpRequest) -> str:
    """Return the address of the same list as CSV."""
    filters = request.GET.urlencode()
    return url(modeladmin, "csv") + (f"?{filters}" if filters else "")


def one_connection(modeladmin: Any, request: HttpRequest, connection: ThanksIOConnection) -> dict[str, Any]:
    """Return where the buttons of a connection's page lead, each only for whoever may press it."""
    key = quote(connection.pk)
    may = modeladmin.has_refresh_permission(request), modeladmin.has_disconnect_permission(request)
    return {
        "refresh_url": _kept(modeladmin, request, url(modeladmin, "refresh", key)) if may[0] else "",
        "disconnect_url": _kept(modeladmin, request, url(modeladmin, "disconnect", key)) if may[1] else "",
        "user_url": _user_url(modeladmin.admin_site, request, connection.user),
    }


def _user_url(site: admin.AdminSite, request: HttpRequest, user: Any) -> str:
    model = get_user_model()
    if not site.is_registered(model) or not site._registry[model].has_view_or_change_permission(request, user):
        return ""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    try:
        return reverse(name, args=[quote(user.pk)], current_app=site.name)
    except NoReverseMatch:
        return ""


def confirmation(modeladmin: Any, request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    """The page that asks before users are disconnected."""
    request.current_app = modeladmin.admin_site.name
    usual = modeladmin.admin_site.each_context(request) | {"opts": modeladmin.opts, "media": modeladmin.media}
    return TemplateResponse(request, CONFIRMATION, usual | context)


def refresh(modeladmin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Refresh now, although a wait or a verdict stands: one request to thanks.io."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not modeladmin.has_refresh_permission(request):
        raise PermissionDenied
    connection = modeladmin.get_object(request, unquote(object_id))
    if connection is None:
        return _gone(modeladmin, request)
    name = name_of(connection.user)
    try:
        connection.refresh(force=True)
    except (ThanksIOError, ThanksIOConfigurationError) as error:
        diagnosis = diagnosis_of_error(error)
        text = _("%(name)s was not refreshed. %(what)s %(cure)s")
        values = {"name": name, "what": diagnosis.what, "cure": diagnosis.cure}
        modeladmin.message_user(request, (text % values).rstrip(), messages.ERROR)
    else:
        modeladmin.log_change(request, connection, _("Refreshed."))
        modeladmin.message_user(request, _("%(name)s was refreshed.") % {"name": name}, messages.SUCCESS)
    if not ThanksIOConnection._base_manager.filter(pk=connection.pk).exists():
        return _to_the_list(modeladmin, request)
    return HttpResponseRedirect(_kept(modeladmin, request, url(modeladmin, "change", quote(connection.pk))))


def disconnect_one(modeladmin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Ask on a GET, disconnect on a POST."""
    if not modeladmin.has_disconnect_permission(request):
        raise PermissionDenied
    connection = modeladmin.get_object(request, unquote(object_id))
    if connection is None:
        return _gone(modeladmin, request)
    name = name_of(connection.user)
    if request.method != "POST":
        context = {
            "title": _("Disconnect %(name)s?") % {"name": name},
            "names": [name],
            "count": 1,
            "is_revoked": is_revoked_at_thanksio(),
            "back_url": _kept(modeladmin, request, url(modeladmin, "change", quote(connection.pk))),
            "connection": connection,
        }
        return confirmation(modeladmin, request, context)
    disconnect(connection)
    modeladmin.log_deletions(request, [connection])
    modeladmin.message_user(request, _("%(name)s was disconnected.") % {"name": name}, messages.SUCCESS)
    return _to_the_list(modeladmin, request)


def _to_the_list(modeladmin: Any, request: HttpRequest) -> HttpResponseRedirect:
    return HttpResponseRedirect(_kept(modeladmin, request, url(modeladmin, "changelist")))


def _gone(modeladmin: Any, request: HttpRequest) -> HttpResponse:
    modeladmin.message_user(request, _("This connection is gone: it was disconnected meanwhile."), messages.WARNING)
    return _to_the_list(modeladmin, request)


def csv_list(modeladmin: Any, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The list of the request's filter, streamed: flat memory at any number of rows."""
    if not modeladmin.has_view_permission(request):
        raise PermissionDenied
    try:
        connections = modeladmin.get_changelist_instance(request).get_queryset(request)
    except IncorrectLookupParameters:
        return HttpResponseRedirect(url(modeladmin, "changelist"))
    chunks = csv_chunks(connections, get_language())
    response = StreamingHttpResponse(
        async_chunks(chunks) if isinstance(request, ASGIRequest) else chunks, content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = 'attachment; filename="thanksio-connections.csv"'
    response["Cache-Control"] = "no-store"
    return response
