"""Tickets on the wire. Owner fields are shown and never read."""

from typing import Any

from django.db.models import BooleanField, Case, F, TextField, Value, When
from django.db.models.functions import Cast
from rest_framework import serializers

from storeplatform.kernel import serializers as kernel
from storeplatform.kernel.serializers import Body, Choice, Computed, WireSerializer
from tickets.models import OVERDUE, Category, Priority, Status, Ticket, TicketComment, TicketEvent


def fold_word(word: str) -> str:
    """`InProgress`, `in-progress` and `IN PROGRESS` are one word."""
    return "".join(letter for letter in word.lower() if letter not in " -_")


class LooseChoice(Choice):
    """One of the contract's words, however it is cased and joined; no number."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            for word in self.choices:
                if fold_word(str(word)) == fold_word(data):
                    return word
        return super().to_internal_value(data)


class TicketSerializer(WireSerializer[Ticket]):
    example = {
        "subject": "Stock mismatch for order ORD-123",
        "status": "open",
        "priority": "high",
        "category": "inventory",
        "assignedUserId": "00000000-0000-0000-0000-000000000000",
    }

    status = LooseChoice(choices=Status.choices, required=False)
    priority = LooseChoice(choices=Priority.choices, required=False)
    category = LooseChoice(choices=Category.choices, required=False)
    assigned_user_id = serializers.UUIDField(required=False, allow_null=True)
    tags = serializers.ListField(
        child=kernel.TextField(max_length=50), max_length=20, required=False
    )
    owner_type = Computed(lambda _: Cast(Value("Store"), TextField()), kernel.TextField())
    owner_id = Computed(lambda _: Cast(F("store_id"), TextField()), serializers.UUIDField())
    created_by_user_id = serializers.UUIDField(read_only=True, allow_null=True)
    overdue = Computed(
        lambda _: Case(
            When(OVERDUE, then=Value(True)), default=Value(False), output_field=BooleanField()
        ),
        serializers.BooleanField(),
    )

    class Meta:
        model = Ticket
        fields = [
            "id", "number", "subject", "description", "status", "priority", "category",
            "assigned_user_id", "order", "customer", "conversation", "due_at", "tags", "owner_type",
            "owner_id",
            "created_by_user_id", "first_response_at", "resolved_at", "closed_at", "reopen_count",
            "overdue", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = [
            "number", "first_response_at", "resolved_at", "closed_at", "reopen_count", "version",
        ]  # fmt: skip


class CommentSerializer(WireSerializer[TicketComment]):
    author_user_id = serializers.UUIDField(read_only=True, allow_null=True)

    class Meta:
        model = TicketComment
        fields = ["id", "body", "is_internal", "author_user_id", "author_name", "created_at"]
        read_only_fields = fields


class CommentBody(Body):
    body = kernel.TextField(max_length=20_000, multiline=True)
    is_internal = serializers.BooleanField(default=False)


class TicketEventSerializer(WireSerializer[TicketEvent]):
    class Meta:
        model = TicketEvent
        fields = [
            "id", "action", "changes", "actor_type", "actor_id", "actor_name", "occurred_at",
        ]  # fmt: skip
        read_only_fields = fields
