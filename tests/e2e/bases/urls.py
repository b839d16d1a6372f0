"""A site with one page of its own and the app."""

from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", TemplateView.as_view(template_name="page.html")),
    path("thanksio/", include("thanksio_connect.urls")),
]
