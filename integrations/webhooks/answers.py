"""Shapes of answers about webhooks, for the API document."""

from rest_framework import serializers

from integrations.webhooks.serializers import (
    AttemptSerializer,
    DeliverySerializer,
    EndpointSerializer,
)
from storeplatform.kernel.serializers import Body


class EndpointWithSecretSerializer(EndpointSerializer):
    secret = serializers.CharField(read_only=True, help_text="whsec_…, shown once")

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class DeliveryDetailSerializer(DeliverySerializer):
    body = serializers.CharField(read_only=True, help_text="the bytes that are sent")
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "body", "attempts"]
        read_only_fields = fields


class Queued(Body):
    queued = serializers.IntegerField(help_text="how many events are sent again")


class EventTypeAnswer(Body):
    type = serializers.CharField()
    description = serializers.CharField()
    scope = serializers.CharField(allow_null=True, help_text="of the pull feed")
    schema = serializers.DictField(help_text="JSON Schema of `data`")
    sample = serializers.DictField()


class EventMessage(Body):
    id = serializers.CharField()
    type = serializers.CharField()
    timestamp = serializers.DateTimeField()
    store_id = serializers.UUIDField()
    api_version = serializers.CharField()
    sequence = serializers.IntegerField()
    data = serializers.DictField()  # type: ignore[assignment]  # a member of that name
