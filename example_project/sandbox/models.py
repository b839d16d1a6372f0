"""What the sandbox remembers beside django-oauth-toolkit's tables: its answers, and the mail that arrived."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

OPENING_BALANCE_CENTS = 5000


class Answer(models.Model):
    """One answer that the OAuth server gave: to a token request, or a user's on the consent page."""

    class Kind(models.TextChoices):
        AUTHORIZATION_CODE = "authorization_code", _("authorization code")
        REFRESH_TOKEN = "refresh_token", _("refresh token")
        CONSENT = "consent", _("consent page")
        OTHER = "other", _("other")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    status = models.PositiveSmallIntegerField(_("HTTP status"))
    error = models.CharField(_("error"), max_length=60, blank=True)
    client_id = models.CharField(_("client id"), max_length=100, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("answer")
        verbose_name_plural = _("answers")

    def __str__(self) -> str:
        return f"{self.kind} {self.status} {self.error}".strip()


class MailingList(models.Model):
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        related_name="mailing_lists",
    )
    description = models.CharField(_("description"), max_length=255)
    qrcode_url = models.CharField(_("QR code URL"), max_length=500, blank=True)
    recipients = models.JSONField(_("recipients"), default=list)
    api_key = models.CharField(_("API key"), max_length=64)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("mailing list")
        verbose_name_plural = _("mailing lists")

    def __str__(self) -> str:
        return self.description


class Order(models.Model):
    """Postcards that somebody asked for. Nobody prints them."""

    class Status(models.TextChoices):
        REVIEWING = "reviewing", _("Reviewing")
        PROCESSING = "processing", _("Printing")
        SHIPPED = "shipped", _("Shipped")
        DELIVERED = "delivered", _("Delivered")
        CANCELLED = "cancelled", _("Cancelled")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="orders"
    )
    client_id = models.CharField(_("client id"), max_length=100)
    client_name = models.CharField(_("sent by"), max_length=255)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.REVIEWING)
    size = models.CharField(_("size"), max_length=4)
    front_image = models.CharField(_("front image"), max_length=2000)
    image_template_id = models.PositiveIntegerField(_("image template"), null=True)
    message = models.TextField(_("message"), blank=True)
    style = models.PositiveIntegerField(_("handwriting style"))
    total_cents = models.PositiveIntegerField(_("total in cents"))
    # What came in, for the fields that are only echoed: return address, QR code, colours, metadata.
    request = models.JSONField(_("request"), default=dict)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")

    def __str__(self) -> str:
        return f"#{self.pk}"


class OrderItem(models.Model):
    """One recipient's piece of an order."""

    order = models.ForeignKey(Order, verbose_name=_("order"), on_delete=models.CASCADE, related_name="items")
    recipient = models.JSONField(_("recipient"), default=dict)
    is_delivered = models.BooleanField(_("delivered"), default=False)

    class Meta:
        verbose_name = _("order item")
        verbose_name_plural = _("order items")

    def __str__(self) -> str:
        return f"{self.recipient.get('name') or self.recipient.get('address')}"


class Webhook(models.Model):
    """An address that is called when an order moves on."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE)
    url = models.CharField(_("URL"), max_length=500)
    type = models.CharField(_("type"), max_length=40)
    verb = models.CharField(_("verb"), max_length=10)
    description = models.CharField(_("description"), max_length=255, blank=True)
    invoke_count = models.PositiveIntegerField(_("calls"), default=0)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")

    def __str__(self) -> str:
        return self.type


def balance_cents(user: models.Model) -> int:
    """What is left of the account's credit."""
    spent = Order.objects.filter(user=user).exclude(status=Order.Status.CANCELLED)
    return OPENING_BALANCE_CENTS - (spent.aggregate(total=models.Sum("total_cents"))["total"] or 0)
