"""Where a store wants its events sent, each event on its way there, and every attempt."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class EndpointQuerySet(StoreOwnedQuerySet["Endpoint"]):
    def live(self) -> "EndpointQuerySet":
        return self.filter(deleted_at=None)


class Endpoint(StoreOwned):
    """A receiver (platform.md, section 10). Its secret is encrypted under its id; after a rotation
    the former one signs too until `previous_expires_at`."""

    url = models.CharField(max_length=2048)
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=64))
    is_active = models.BooleanField(default=True)
    secret = models.BinaryField()
    previous_secret = models.BinaryField(null=True)
    previous_expires_at = models.DateTimeField(null=True)
    api_version = models.CharField(max_length=10)
    last_sequence = models.PositiveBigIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)  # nothing has succeeded since
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = EndpointQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="endpoint_newest"),
            models.Index(fields=["store"], condition=Q(is_active=True), name="endpoint_active"),
        ]

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """An event on its way to an endpoint, with the very bytes that are sent. `tries` counts along
    the schedule and begins anew with a replay; `sequence` is the endpoint's own 1, 2, 3 …"""

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.UUIDField()
    event = models.CharField(max_length=64)
    body = models.TextField()
    sequence = models.PositiveBigIntegerField(null=True)
    previous_event_id = models.UUIDField(null=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    attempts_count = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    last_status_code = models.PositiveSmallIntegerField(null=True)
    delivered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event_id"], name="delivery_once"),
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "due_at", "id"],
                condition=Q(status="pending"),
                name="delivery_pending",
            ),
            models.Index(
                fields=["endpoint"],
                condition=Q(leased_until__isnull=False),
                name="delivery_in_flight",
            ),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_newest"),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


class Attempt(models.Model):
    """One request to a receiver. `error` is a word of ours where there was no answer to judge."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.PositiveIntegerField()
    error = models.CharField(max_length=24, blank=True)
    response = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number}"
