"""Write, review, send; and what to do when nobody knows whether a postcard was sent."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from example_project.product import mailing
from example_project.product.designs import print_url
from example_project.product.failures import EXPECTED, Failure, explain
from example_project.product.forms import PostcardForm
from example_project.product.models import Postcard
from thanksio_connect.exceptions import InvalidRequest
from thanksio_connect.models import ThanksIOConnection


@require_http_methods(["GET", "POST"])
def compose(request: HttpRequest, reference: UUID | None = None) -> HttpResponse:
    """Write a postcard or change a draft; saving it leads on to the review."""
    postcard = _own(request, reference) if reference else Postcard(user=request.user)
    if not postcard.is_draft:
        return redirect(postcard)
    form = PostcardForm(request.POST or None, instance=postcard)
    if form.is_valid():
        return redirect("postcard-review", form.save().reference)
    return _compose_page(request, form, 422 if form.is_bound else 200)


@require_GET
def review(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Both sides of the card and what it costs. thanks.io checks the postcard here as it would on sending."""
    postcard = _own(request, reference)
    if not postcard.is_draft:
        return redirect(postcard)
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        estimate = mailing.estimate(connection, postcard, print_url(request, postcard.design))
    except InvalidRequest as error:
        return _refused_page(request, postcard, error)
    except EXPECTED as error:
        return _review_page(request, postcard, failure=explain(error))
    return _review_page(request, postcard, estimate=estimate)


@require_POST
def send(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Send the postcard, once; a failed send is never repeated by itself."""
    postcard = _own(request, reference)
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        mailing.send(connection, postcard, print_url(request, postcard.design))
    except mailing.AlreadySent:
        postcard.refresh_from_db()
        return redirect(postcard)
    except InvalidRequest as error:
        return _refused_page(request, postcard, error)
    except EXPECTED as error:
        if postcard.is_draft:
            return _review_page(request, postcard, failure=explain(error))
    if postcard.status == Postcard.Status.SENT:
        messages.success(
            request, _("thanks.io has your postcard to %(name)s, and reviews it.") % {"name": postcard.name}
        )
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
    """The page of a postcard whose send got no answer: look before you send again."""
    postcard = _own(request, reference)
    if not postcard.needs_a_look:
        return redirect(postcard)
    return _unknown_page(request, postcard)


@require_POST
def find(request: HttpRequest, reference: UUID) -> HttpResponse:
    """Look the postcard up in the order list at thanks.io."""
    postcard = _own(request, reference)
    if not postcard.needs_a_look:
        return redirect(postcard)
    try:
        connection = ThanksIOConnection.objects.for_user(request.user)
        found = mailing.find(connection, postcard)
    except EXPECTED as error:
        return _unknown_page(request, postcard, failure=explain(error))
    if found:
        messages.success(request, _("Found it: thanks.io has your postcard to %(name)s.") % {"name": postcard.name})
        return redirect(postcard)
    return _unknown_page(request, postcard, was_searched=True)


@require_POST
def release(request: HttpRequest, reference: UUID) -> HttpResponse:
    """The user has looked and says that it was not sent: a draft again, to be sent by hand."""
    postcard = _own(request, reference)
    if postcard.needs_a_look:
        postcard.status = Postcard.Status.DRAFT
        postcard.save()
    return redirect(postcard)


def _own(request: HttpRequest, reference: UUID) -> Postcard:
    return get_object_or_404(Postcard, user=request.user, reference=reference)


def _compose_page(request: HttpRequest, form: PostcardForm, status: int) -> HttpResponse:
    return render(request, "product/compose.html", {"form": form, "postcard": form.instance}, status=status)


def _refused_page(request: HttpRequest, postcard: Postcard, error: InvalidRequest) -> HttpResponse:
    return _compose_page(request, PostcardForm.for_refused(postcard, error.errors, error.message), 422)


def _review_page(
    request: HttpRequest,
    postcard: Postcard,
    *,
    estimate: mailing.Estimate | None = None,
    failure: Failure | None = None,
) -> HttpResponse:
    context = {"postcard": postcard, "estimate": estimate, "failure": failure}
    return render(request, "product/review.html", context, status=failure.status if failure else 200)


def _unknown_page(
    request: HttpRequest, postcard: Postcard, *, failure: Failure | None = None, was_searched: bool = False
) -> HttpResponse:
    context = {"postcard": postcard, "failure": failure, "was_searched": was_searched}
    return render(request, "product/unknown.html", context, status=failure.status if failure else 200)
