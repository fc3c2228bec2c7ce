"""The envelope of Nawa's events."""

from rest_framework import serializers

from storeplatform.kernel.serializers import Body, Moment, TextField


class EventBody(Body):
    """What Nawa sends; `data` depends on the type (DOCS/03-integrations/nawa.md)."""

    snake_case = ("created_at",)
    example = {
        "id": "evt_test_1",
        "type": "shipment.status_changed",
        "created_at": "2026-01-01T00:00:00Z",
        "data": {"reference": "shp_0197a2c45e6f7b819c2d3e4f5a6b7c8d", "status": "delivered"},
    }

    id = TextField(max_length=128)
    type = TextField(max_length=64)
    created_at = Moment()
    data = serializers.DictField()  # type: ignore[assignment]  # hides what a body has no use for


class ReceivedAnswer(Body):
    received = serializers.BooleanField()
    duplicate = serializers.BooleanField(required=False)
