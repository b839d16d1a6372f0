"""Where thanks.io's webhooks come in: ``path("thanksio/webhooks/", include("thanksio_connect.webhook_urls"))``."""

from django.urls import path

from . import views

app_name = "thanksio_webhooks"

urlpatterns = [
    path("<slug:token>/", views.receive_webhook, name="receive"),
]
