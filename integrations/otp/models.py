"""One-time codes that prove a phone. No code and no hash of one is stored: it is derived again."""

from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import PhoneField
from storeplatform.kernel.ids import uuid7


class OtpChallenge(models.Model):
    """A code sent to a phone; at most one live per store, phone and purpose (platform.md, §12)."""

    class Purpose(models.TextChoices):
        STOREFRONT_ORDER = "storefront_order"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    phone = PhoneField(null=True)  # cleared after a day
    phone_hash = models.CharField(max_length=80)
    purpose = models.CharField(max_length=24, choices=Purpose.choices)
    key_version = models.PositiveSmallIntegerField()
    channel = models.CharField(max_length=12, blank=True)
    delivery_status = models.CharField(max_length=12, default="pending")
    customer_ip = models.GenericIPAddressField(null=True)
    key_id = models.CharField(max_length=24, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    consumed_at = models.DateTimeField(null=True)
    order_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "phone_hash", "purpose"],
                condition=Q(superseded_at=None, voided_at=None, consumed_at=None),
                name="otp_one_live_challenge",
            )
        ]
        indexes = [
            models.Index(fields=["phone_hash", "-created_at"], name="otp_of_phone"),
            models.Index(fields=["store", "-created_at"], name="otp_of_store"),
            models.Index(fields=["customer_ip", "-created_at"], name="otp_of_address"),
        ]

    def __str__(self) -> str:
        return str(self.id)
