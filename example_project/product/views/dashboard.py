"""The first page after signing in. It asks thanks.io nothing, so it is there whatever happens to thanks.io."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from example_project.product.models import Postcard

RECENT = 6


def home(request: HttpRequest) -> HttpResponse:
    """The connection's state, what needs a look, and the newest postcards."""
    postcards = Postcard.objects.filter(user=request.user)
    context = {
        "recent": postcards[:RECENT],
        "uncertain": postcards.filter(status=Postcard.Status.UNKNOWN),
        "sent_count": postcards.filter(status=Postcard.Status.SENT).count(),
        "draft_count": postcards.filter(status=Postcard.Status.DRAFT).count(),
    }
    return render(request, "product/home.html", context)
