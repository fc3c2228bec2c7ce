"""Endpoints and deliveries on the wire."""

from typing import Any

from django.db.models import Case, F, Q, Value, When
from django.db.models import TextField as SqlText
from django.db.models.functions import Cast, Concat, Replace
from rest_framework import serializers

from integrations.webhooks.catalogue import EVENT_TYPES, EVERY, SUBSCRIBABLE
from integrations.webhooks.messages import PREFIX
from integrations.webhooks.models import Attempt, Delivery, Endpoint
from storeplatform.kernel.filters import Texts, WireFilterSet, Words
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    IntField,
    Moment,
    TextField,
    WireSerializer,
)


class EndpointForm(Body):
    example = {"url": "https://shop.example/hooks", "events": ["order.created", "inventory.out"]}

    url = TextField(max_length=2048)
    description = TextField(max_length=200, required=False, allow_blank=True)
    events = serializers.ListField(
        child=Choice(choices=SUBSCRIBABLE), min_length=1, max_length=len(SUBSCRIBABLE)
    )
    is_active = serializers.BooleanField(required=False)

    def validate_events(self, events: list[str]) -> list[str]:
        return [EVERY] if EVERY in events else sorted(set(events))


class EndpointChange(EndpointForm):
    url = TextField(max_length=2048, required=False)
    events = serializers.ListField(
        child=Choice(choices=SUBSCRIBABLE),
        min_length=1,
        max_length=len(SUBSCRIBABLE),
        required=False,
    )


class SecretRotation(Body):
    overlap_hours = IntField(min_value=0, max_value=168, default=24)


class Recovery(Body):
    example = {"since": "2026-01-15T09:00:00Z"}

    since = Moment()
    until = Moment(required=False, allow_null=True)


class EndpointSerializer(WireSerializer[Endpoint]):
    class Meta:
        model = Endpoint
        fields = [
            "id",
            "url",
            "description",
            "events",
            "is_active",
            "api_version",
            "previous_expires_at",
            "failing_since",
            "disabled_at",
            "disabled_reason",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


def evt(column: str) -> Any:
    """A message id as it is sent."""
    bare = Replace(
        Cast(F(column), SqlText()),
        Value("-", output_field=SqlText()),
        Value("", output_field=SqlText()),
    )
    return Case(
        When(Q(**{f"{column}__isnull": True}), then=Value(None)),
        default=Concat(Value(PREFIX, output_field=SqlText()), bare, output_field=SqlText()),
        output_field=SqlText(),
    )


class DeliverySerializer(WireSerializer[Delivery]):
    webhook_id = Computed(lambda _: evt("event_id"), TextField())
    previous_webhook_id = Computed(lambda _: evt("previous_event_id"), TextField(allow_null=True))
    next_attempt_at = Computed(
        lambda _: Case(When(leased_until=None, then=F("due_at"))), Moment(allow_null=True)
    )
    endpoint_id = serializers.UUIDField(read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "endpoint_id",
            "webhook_id",
            "event",
            "status",
            "sequence",
            "previous_webhook_id",
            "attempts_count",
            "last_status_code",
            "delivered_at",
            "next_attempt_at",
            "created_at",
        ]
        read_only_fields = fields


class AttemptSerializer(WireSerializer[Attempt]):
    class Meta:
        model = Attempt
        fields = ["number", "at", "status_code", "latency_ms", "error", "response"]
        read_only_fields = fields


class DeliveryFilters(WireFilterSet):
    event = Texts()
    status = Words(Delivery.Status.values)


class EventFilters(WireFilterSet):
    types = Words(list(EVENT_TYPES))
