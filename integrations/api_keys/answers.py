"""Shapes of the answers about keys, for the API document."""

from rest_framework import serializers

from integrations.api_keys.serializers import ApiKeySerializer
from storeplatform.kernel.serializers import Body


class IssuedKeySerializer(ApiKeySerializer):
    api_key = serializers.CharField(read_only=True, help_text="keyId.secret, shown once")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "api_key"]
        read_only_fields = fields


class WhoAmIAnswer(Body):
    key_id = serializers.CharField()
    name = serializers.CharField()
    store_id = serializers.UUIDField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)
    rate_limit = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField())
    )
