"""The sandbox's pages load their own style sheet and pictures, and nothing else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# No form-action: the consent form's POST is answered with a redirect to the product, another origin,
# and browsers drop such a redirect when form-action does not list that origin.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware
