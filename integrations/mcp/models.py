"""What agents did, what they wait to be allowed, and how a store lets them work."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from integrations.mcp.oauth.models import Agent
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class AgentSettings(StoreOwned):
    """`approve_destructive` lets a person decide on each destructive call; without
    `allow_refunds` there is no refund tool."""

    store = models.OneToOneField("stores.Store", on_delete=models.CASCADE, related_name="+")
    approve_destructive = models.BooleanField(default=False)
    allow_refunds = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"agents of {self.store_id}"


class AgentCall(models.Model):
    """One request of an agent; append-only. Arguments are kept as a digest without personal
    data, the token by its row's id."""

    class Outcome(models.TextChoices):
        OK = "ok"
        TOOL_ERROR = "tool_error"
        PENDING = "pending_approval"
        DENIED = "insufficient_scope"
        LIMITED = "rate_limited"
        PROTOCOL_ERROR = "protocol_error"
        FAULT = "internal_error"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store_id = models.UUIDField()
    agent_id = models.UUIDField()
    user_id = models.UUIDField()
    member = models.CharField(max_length=200)
    client_id = models.CharField(max_length=255)
    client_name = models.CharField(max_length=255, blank=True)
    token_id = models.BigIntegerField()
    request_id = models.CharField(max_length=64)
    method = models.CharField(max_length=64)
    tool = models.CharField(max_length=200, blank=True)
    arguments_digest = models.CharField(max_length=64, blank=True)
    changed = ArrayField(models.CharField(max_length=64), default=list)
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    milliseconds = models.PositiveIntegerField()
    ip = models.GenericIPAddressField(null=True)
    occurred_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["store_id", "-occurred_at", "-id"], name="agent_call_of_store"),
            BrinIndex(fields=["occurred_at"], name="agent_call_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.tool} {self.outcome}"


class PendingAction(StoreOwned):
    """A destructive call that waits for a person of the store."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        REJECTED = "rejected"
        FAILED = "failed"

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+")
    tool = models.CharField(max_length=64)
    arguments = models.JSONField()
    scope = models.TextField()
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    decided_by = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=500, blank=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="pending_action_newest")
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.status}"
