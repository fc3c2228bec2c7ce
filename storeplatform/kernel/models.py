"""Rows of the kernel: idempotency records, the outbox, background tasks, the audit log and number
counters."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from storeplatform.kernel.ids import uuid7


class IdempotencyKey(models.Model):
    """The remembered answer to a request (platform.md, section 7). `id` hashes the namespace:
    store, principal, method, path and key; `body` is encrypted, and absent for secrets."""

    id = models.BinaryField(primary_key=True, max_length=32)
    store_id = models.UUIDField()
    fingerprint = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [BrinIndex(fields=["created_at"], name="idempotency_by_age")]

    def __str__(self) -> str:
        return bytes(self.id).hex()


class OutboxEvent(models.Model):
    """Something that happened, stored with the change itself and told to others after it.

    `sequence` rises per subject, so a receiver can drop what is older than what it knows.
    `position` is given by the worker after the commit: who reads a store's events by it misses
    none, while ids are made before the commit and may appear in another order."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store_id = models.UUIDField()
    type = models.CharField(max_length=64)
    subject_id = models.UUIDField()
    sequence = models.PositiveBigIntegerField(default=1)
    position = models.PositiveBigIntegerField(null=True)
    data = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    attempts = models.PositiveSmallIntegerField(db_default=0)
    last_error = models.CharField(max_length=500, blank=True, db_default="")
    due_at = models.DateTimeField(db_default=models.functions.Now())
    done_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(done_at=None), name="outbox_undone"),
            models.Index(
                fields=["subject_id", "id"], condition=Q(done_at=None), name="outbox_undone_of"
            ),
            models.Index(
                fields=["store_id", "position"],
                condition=Q(position__isnull=False),
                name="outbox_feed",
            ),
            BrinIndex(fields=["created_at"], name="outbox_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class BackgroundTask(models.Model):
    """A call of a `background` function, stored with the change that asks for it. The engine that
    runs it knows only its id; tries, pauses and the end of trying are counted here."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    arguments = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    due_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], condition=Q(done_at=None), name="task_undone"),
            BrinIndex(fields=["created_at"], name="task_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class AuditEvent(models.Model):
    """Who did what; append-only, a database trigger refuses changes (platform.md, section 13)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store_id = models.UUIDField(null=True)
    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=200, blank=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    changes = models.JSONField(default=dict)
    occurred_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [
            models.Index(fields=["store_id", "-occurred_at", "-id"], name="audit_of_store"),
            models.Index(fields=["-occurred_at"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class Counter(models.Model):
    """The last human number given out, per store and kind of thing."""

    store_id = models.UUIDField()
    name = models.CharField(max_length=32)
    value = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store_id", "name"], name="counter_once_per_store")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.value}"
