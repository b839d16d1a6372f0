"""thanks.io's addresses (``/oauth/…``, ``/api/v2/…``), and the sandbox's own pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.views import serve
from django.urls import include, path

from example_project.sandbox import dashboard, inspection
from example_project.sandbox.oauth.views import ConsentView, LeagueTokenView

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("profile/api", dashboard.dashboard),  # where thanks.io has it
    path("revoke/<int:pk>/", dashboard.revoke, name="revoke"),
    path("move-on/<int:pk>/", dashboard.move_on, name="move-on"),
    path("login", LoginView.as_view(template_name="sandbox/login.html"), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("oauth/authorize", ConsentView.as_view(), name="authorize"),
    path("oauth/token", LeagueTokenView.as_view(), name="token"),
    path("api/v2/", include("example_project.sandbox.api.urls")),
    path("_sandbox/records", inspection.records),
    path("static/<path:path>", serve, {"insecure": True}),
]
