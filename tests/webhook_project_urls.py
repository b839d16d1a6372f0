"""URLs of the test project, with the place where webhooks come in."""

from django.urls import include, path

from tests.urls import urlpatterns as pages

urlpatterns = [*pages, path("thanksio/webhooks/", include("thanksio_connect.webhook_urls"))]
