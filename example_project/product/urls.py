"""The product's pages."""

from django.urls import path

from example_project.product.views import dashboard, orders, postcards

urlpatterns = [
    path("", dashboard.home, name="home"),
    path("postcards/new/", postcards.compose, name="postcard-new"),
    path("postcards/new/list/", postcards.compose_to_list, name="postcard-new-list"),
    path("postcards/<uuid:reference>/edit/list/", postcards.compose_to_list, name="postcard-edit-list"),
    path("postcards/<uuid:reference>/edit/", postcards.compose, name="postcard-edit"),
    path("postcards/<uuid:reference>/review/", postcards.review, name="postcard-review"),
    path("postcards/<uuid:reference>/send/", postcards.send, name="postcard-send"),
    path("postcards/<uuid:reference>/discard/", postcards.discard, name="postcard-discard"),
    path("postcards/<uuid:reference>/outcome/", postcards.unknown, name="postcard-unknown"),
    path("orders/", orders.order_list, name="orders"),
    path("orders/<int:order_id>/", orders.order_detail, name="order"),
    path("orders/<int:order_id>/version/", orders.order_version, name="order-version"),
    path("orders/<int:order_id>/cancel/", orders.cancel, name="order-cancel"),
]
