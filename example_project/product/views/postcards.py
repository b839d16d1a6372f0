"""Write, review, send; and what to do when nobody knows whether a postcard was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from example_project.product import mailing
from example_project.product.designs import print_url
from example_project.product.failures import EXPECTED, Failure, explain, no_lists
from example_project.product.forms import ListForm, PostcardForm
from example_project.product.models import Postcard
from thanksio_connect.exceptions import InvalidRequest, OutcomeUnknown
from thanksio_connect.models import ThanksIOConnection


@require_http_methods(["GET", "POST"])
def compose(request: HttpRequest, reference: UUID | None = None) -> HttpResponse:
    """Write a postcard or change a draft; saving it leads on to the review."""
    postcard = _own(request, reference) if reference else Postcard(user=request.user)
    if not postcard.is_draft or postcard.mailing_list_id:
        return redirect(postcard)
    form = PostcardForm(request.POST or None, instance=postcard)
    if form.is_valid():
        return redirect("postcard-review", form.save().reference)
    return _compose_page(request, form, 422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
def compose_to_list(request: HttpRequest, reference: UUID | None = None) -> HttpResponse:
    """The same, to everybody on one of the account's mailing lists. thanks.io is asked for the lists."""
    postcard = _own(request, reference) if reference else Postcard(user=request.user)
    if not postcard.is_draft:
        return redirect(postcard)
    lists, failure = {}, no_lists()
    try:
        lists = mailing.mailing_lists(ThanksIOConnection.objects.for_user(request.user))
    except EXPECTED as error:
        failure = explain(error)
    if not lists:
        return render(request, "product/compose.html", {"failure": failure, "to_list": True}, status=failure.status)
    form = ListForm(request.POST or None, instance=postcard, lists=lists)
    if form.is_valid():
        return redirect("postcard-review", form.save().reference)
    return _compose_page(request, form, 422 if form.is_bound else 200)


@require_GET
def review(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Both sides of the card and what it costs. thanks.io checks the postcard here as it would on sending."""
    postcard = _own(request, reference)
    if not postcard.is_draft:
        return redirect(postcard)
    postcard.front_image_url = print_url(request, postcard.design)
    postcard.save(update_fields=["front_image_url"])
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        estimate = mailing.estimate(connection, postcard)
    except InvalidRequest as error:
        return _refused_page(request, postcard, error)
    except EXPECTED as error:
        return _review_page(request, postcard, failure=explain(error))
    return _review_page(request, postcard, estimate=estimate)


@require_POST
def send(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Send the postcard, or find out what became of it. Pressed twice, there is still one order."""
    postcard = _own(request, reference)
    if not (postcard.is_draft or postcard.needs_a_look):
        return redirect(postcard)
    was_tried = postcard.needs_a_look
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        mailing.send(connection, postcard)
    except InvalidRequest as error:
        return _refused_page(request, postcard, error)
    except EXPECTED as error:
        postcard.refresh_from_db()
        if postcard.is_draft:
            return _review_page(request, postcard, failure=explain(error))
        return _unknown_page(request, postcard, error) if was_tried else redirect(postcard)
    messages.success(request, _("thanks.io has your postcard to %(name)s, and reviews it.") % {"name": postcard.name})
    return redirect(postcard)


@require_POST
def discard(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Throw a draft away."""
    postcard = _own(request, reference)
    if postcard.is_draft:
        postcard.delete()
        messages.success(request, _("The draft is gone."))
    return redirect("home")


@require_GET
def unknown(request: HttpRequest, reference: UUID) -> HttpResponse:
    """The page of a postcard whose send got no answer."""
    postcard = _own(request, reference)
    if not postcard.needs_a_look:
        return redirect(postcard)
    return _unknown_page(request, postcard)


def _own(request: HttpRequest, reference: UUID) -> Postcard:
    return get_object_or_404(Postcard, user=request.user, reference=reference)


def _compose_page(request: HttpRequest, form: PostcardForm, status: int) -> HttpResponse:
    context = {"form": form, "postcard": form.instance, "to_list": isinstance(form, ListForm)}
    return render(request, "product/compose.html", context, status=status)


def _refused_page(request: HttpRequest, postcard: Postcard, error: InvalidRequest) -> HttpResponse:
    if postcard.mailing_list_id:
        return _review_page(request, postcard, failure=explain(error))
    return _compose_page(request, PostcardForm.for_refused(postcard, error.errors, error.message), 422)


def _review_page(
    request: HttpRequest,
    postcard: Postcard,
    *,
    estimate: dict[str, Any] | None = None,
    failure: Failure | None = None,
) -> HttpResponse:
    context = {"postcard": postcard, "estimate": estimate, "failure": failure}
    return render(request, "product/review.html", context, status=failure.status if failure else 200)


def _unknown_page(request: HttpRequest, postcard: Postcard, error: Exception | None = None) -> HttpResponse:
    """``error`` is what the look-up ended with. That it is not settled yet is what this page is about."""
    is_unsettled = isinstance(error, OutcomeUnknown) and error.retryable
    failure = explain(error) if error and not is_unsettled else None
    context = {"postcard": postcard, "failure": failure, "was_searched": is_unsettled}
    return render(request, "product/unknown.html", context, status=failure.status if failure else 200)
