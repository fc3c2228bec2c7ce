"""Tickets of a store's support desk (platform.md, section 9; domain.md, section 13)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class Status(models.TextChoices):
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    WAITING_CUSTOMER = "waiting_customer"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Priority(models.TextChoices):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class Category(models.TextChoices):
    ORDERS = "orders"
    INVENTORY = "inventory"
    DELIVERY = "delivery"
    PAYMENT = "payment"
    BILLING = "billing"
    TECHNICAL = "technical"
    ACCOUNT = "account"
    OTHER = "other"


DONE = (Status.RESOLVED, Status.CLOSED)
# The clock stands while the customer is waited for, and ends with the work.
OVERDUE = Q(status__in=[Status.OPEN, Status.IN_PROGRESS], due_at__lt=Now()) | Q(
    status=Status.WAITING_CUSTOMER, due_at__lt=F("waiting_since")
)


class TicketQuerySet(StoreOwnedQuerySet[Any]):
    def live(self) -> "TicketQuerySet":
        return self.filter(deleted_at=None)

    def open(self) -> "TicketQuerySet":
        return self.live().exclude(status__in=DONE)


class Ticket(StoreOwned):
    """A matter to be looked after. `waiting_since` is when the clock of `due_at` was stopped;
    `severity` orders priorities as people do."""

    number = models.CharField(max_length=24)
    subject = models.CharField(max_length=200)
    description = models.TextField(max_length=20_000, null=True)  # noqa: DJ001  # null is none
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.OPEN)
    priority = models.CharField(max_length=8, choices=Priority.choices, default=Priority.MEDIUM)
    category = models.CharField(max_length=12, choices=Category.choices, default=Category.OTHER)
    assigned_user = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    order = models.ForeignKey(
        "orders.Order", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    customer = models.ForeignKey(
        "customers.Customer", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    conversation = models.ForeignKey(
        "chat.Conversation", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    due_at = models.DateTimeField(null=True)
    waiting_since = models.DateTimeField(null=True)
    tags = ArrayField(models.CharField(max_length=50), default=list)
    created_by_user = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    first_response_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    reopen_count = models.PositiveIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True)
    severity = models.GeneratedField(
        expression=Case(
            *(When(priority=word, then=Value(place)) for place, word in enumerate(Priority.values)),
            output_field=models.PositiveSmallIntegerField(),
        ),
        output_field=models.PositiveSmallIntegerField(),
        db_persist=True,
    )
    search_text = search_text("number", "subject", "description")

    objects: ClassVar[Any] = TicketQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store", "number"], name="ticket_number_once"),
            models.CheckConstraint(
                condition=Q(status=Status.WAITING_CUSTOMER, waiting_since__isnull=False)
                | (~Q(status=Status.WAITING_CUSTOMER) & Q(waiting_since=None)),
                name="ticket_clock_stands_while_waiting",
            ),
        ]
        indexes = [
            models.Index(
                fields=["store", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="ticket_newest",
            ),
            models.Index(
                fields=["store", "-severity", "-id"],
                condition=Q(deleted_at=None),
                name="ticket_by_severity",
            ),
            models.Index(
                fields=["store", "assigned_user"],
                condition=Q(deleted_at=None),
                name="ticket_of_assignee",
            ),
            search_index("ticket_search"),
        ]

    def __str__(self) -> str:
        return self.number


class TicketComment(models.Model):
    """What somebody says about a ticket. Internal ones are for colleagues."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="comments")
    body = models.TextField(max_length=20_000)
    is_internal = models.BooleanField(default=False)
    author_user = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    author_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["ticket", "created_at", "id"], name="comments_of_ticket")]

    def __str__(self) -> str:
        return self.body[:50]


class TicketEvent(models.Model):
    """One deed on a ticket; append-only. `changes` maps wire names to [before, after]."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="events")
    action = models.CharField(max_length=16)
    changes = models.JSONField(default=dict)
    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_name = models.CharField(max_length=200, blank=True)
    occurred_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["ticket", "occurred_at", "id"], name="events_of_ticket")]

    def __str__(self) -> str:
        return f"{self.action} {self.ticket_id}"
