"""The account's orders at thanks.io: list, tracking, cancelling."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from example_project.product import mailing
from example_project.product.failures import EXPECTED, explain
from example_project.product.models import Postcard
from example_project.product.tracking import describe, milestones, progress
from thanksio_connect.exceptions import OutcomeUnknown, ServerError
from thanksio_connect.models import ThanksIOConnection


@require_GET
def order_list(request: HttpRequest) -> HttpResponse:
    """All orders of the connected account, also those made elsewhere; ours with their front."""
    number = request.GET.get("page", "1")
    number = int(number) if number.isascii() and number.isdigit() and 0 < len(number) < 6 else 1
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        page = mailing.orders(connection, max(number, 1))
    except EXPECTED as error:
        failure = explain(error)
        return render(request, "product/orders.html", {"failure": failure}, status=failure.status)
    listed = [{**order} for order in page.rows if isinstance(order, dict)]
    ids = [order.get("id") for order in listed if isinstance(order.get("id"), int)]
    postcards = Postcard.objects.filter(user=request.user, order_id__in=ids)
    ours = {postcard.order_id: postcard for postcard in postcards}
    rows = [describe(order, ours.get(order.get("id"))) for order in listed]
    return render(request, "product/orders.html", {"rows": rows, "page": page})


@require_GET
def order_detail(request: HttpRequest, order_id: int) -> HttpResponse:
    """One order with its way through printing and the post."""
    postcard = Postcard.objects.filter(user=request.user, order_id=order_id).first()
    context: dict[str, object] = {"order_id": order_id, "postcard": postcard}
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        order, stats = mailing.track(connection, order_id)
    except EXPECTED as error:
        failure = explain(error)
        return render(request, "product/order.html", context | {"failure": failure}, status=failure.status)
    row = describe(order, postcard)
    if postcard and postcard.order_status != row.status:
        mailing.note_status(postcard, row.status)
    context |= {"row": row, "milestones": milestones(row, stats), "progress": progress(row, stats)}
    return render(request, "product/order.html", context)


@require_GET
def order_version(request: HttpRequest, order_id: int) -> HttpResponse:
    """Changes when a webhook has told something new. The order's page asks this often, so thanks.io is not asked."""
    postcard = get_object_or_404(Postcard, user=request.user, order_id=order_id)
    return HttpResponse(postcard.updated_at.isoformat(), content_type="text/plain")


@require_POST
def cancel(request: HttpRequest, order_id: int) -> HttpResponse:
    """Cancel an order while thanks.io still allows it."""
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        is_cancelled = mailing.cancel(connection, order_id)
    except (OutcomeUnknown, ServerError):
        messages.warning(request, _("thanks.io did not answer. Look at the order's state below before you try again."))
    except EXPECTED as error:
        failure = explain(error)
        messages.error(request, f"{failure.title}. {failure.text}")
    else:
        if is_cancelled:
            messages.success(request, _("The order is cancelled, and thanks.io refunds it to your balance."))
        else:
            messages.error(request, _("It is too late: thanks.io has begun to print this order."))
    return redirect("order", order_id)
