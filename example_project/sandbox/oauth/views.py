"""``/oauth/authorize`` and ``/oauth/token``: django-oauth-toolkit's views, the sandbox's face and words."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from oauth2_provider.models import get_access_token_model
from oauth2_provider.views import AuthorizationView, TokenView

from example_project.sandbox.models import Answer
from example_project.sandbox.oauth import dialect


@method_decorator(never_cache, name="dispatch")
class ConsentView(AuthorizationView):
    """Says who wants what. A wrong client or redirect URI ends here, not at a stranger's address."""

    template_name = "sandbox/authorize.html"

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        if redirect_uri := context.get("redirect_uri"):
            context["destination"] = urlsplit(redirect_uri).netloc
        return context

    def form_valid(self, form):
        allowed = form.cleaned_data["allow"]
        Answer.objects.create(
            kind=Answer.Kind.CONSENT,
            status=200 if allowed else 403,
            error="" if allowed else "access_denied",
            client_id=form.cleaned_data["client_id"],
            user=self.request.user,
        )
        return super().form_valid(form)


@method_decorator(never_cache, name="dispatch")
class LeagueTokenView(TokenView):
    """One token request at a time (an IMMEDIATE transaction): of two with one refresh token, one loses."""

    def post(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        with transaction.atomic():
            given = super().post(request, *args, **kwargs)
            body = json.loads(given.content)
            if given.status_code == 200:
                status, answer = 200, dialect.success(body)
            else:
                status, answer = dialect.failure(request.POST, body.get("error", ""))
            _remember(request, status, answer)
        return JsonResponse(answer, status=status)


def _remember(request: HttpRequest, status: int, answer: dict[str, object]) -> None:
    kind = request.POST.get("grant_type", "")
    user_id = None
    if status == 200:
        user_id = get_access_token_model().objects.latest("pk").user_id
    Answer.objects.create(
        kind=kind if kind in dialect.REQUIRED else Answer.Kind.OTHER,
        status=status,
        error=str(answer.get("error", "")),
        client_id=request.POST.get("client_id", "")[:100],
        user_id=user_id,
    )
