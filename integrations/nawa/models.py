"""What Nawa tells us, stored before it is answered, and the texts that we send by it."""

from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import PhoneField
from storeplatform.kernel.ids import uuid7


class InboundEvent(models.Model):
    """An event as its provider sent it, signature checked (platform.md, section 11). `attempts`
    counts the tries of the worker; one that failed ten times is dead until somebody runs it
    again."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        IGNORED = "ignored"  # of a type that we do not know
        UNMATCHED = "unmatched"  # it speaks of nothing of ours
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=24)
    event_id = models.CharField(max_length=128)
    type = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    store_id = models.UUIDField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    due_at = models.DateTimeField(db_default=models.functions.Now())
    created_at = models.DateTimeField()  # at the provider's
    received_at = models.DateTimeField(db_default=models.functions.Now())
    processed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="inbound_event_once")
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status="pending"), name="inbound_pending"),
            models.Index(fields=["received_at"], name="inbound_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class OutgoingMessage(models.Model):
    """A text to a person's phone; its status only rises."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        DELIVERED = "delivered"
        READ = "read"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    phone = PhoneField()
    channel = models.CharField(max_length=12)
    text = models.TextField(max_length=2000)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    provider_id = models.CharField(max_length=100, blank=True)
    chat_message_id = models.UUIDField(null=True, unique=True)  # what the team said in a chat
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())
    status_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="message_by_age")]

    def __str__(self) -> str:
        return f"{self.channel} {self.id}"


class ProviderAlert(models.Model):
    """Something an operator must see to, such as credits running out. While an alert of the kind
    `credits.exhausted` is open, no one-time codes are sent."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=24)
    kind = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    raised_at = models.DateTimeField(db_default=models.functions.Now())
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "kind"],
                condition=Q(resolved_at=None),
                name="provider_alert_open_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.kind}"
