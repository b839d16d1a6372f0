"""Both spellings, with and without the last slash, answer at thanks.io; so they do here."""

from django.urls import re_path

from example_project.sandbox.api import views, webhooks

app_name = "api"
urlpatterns = [
    re_path(r"^ping/?$", views.ping),
    re_path(r"^mailing-lists/?$", views.mailing_lists),
    re_path(r"^(?P<kind>estimate|send)/postcard/?$", views.postcard),
    re_path(r"^orders/list/?$", views.order_list),
    re_path(r"^orders/(?P<pk>[0-9]{1,18})/track/?$", views.order_track),
    re_path(r"^orders/(?P<pk>[0-9]{1,18})/items/?$", views.order_items),
    re_path(r"^orders/(?P<pk>[0-9]{1,18})/cancel/?$", views.order_cancel),
    re_path(r"^handwriting-styles/?$", views.handwriting_styles),
    re_path(r"^image-templates/?$", views.image_templates),
    re_path(r"^webhooks/?$", webhooks.webhooks),
    re_path(r"^webhooks/(?P<pk>[0-9]{1,18})/?$", webhooks.webhook),
    re_path(r"", views.not_found),
]
