"""API keys on the wire; never a secret or a hash of one."""

import ipaddress
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from integrations.api_keys.models import ApiKey
from integrations.api_keys.scopes import SCOPES
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    IntField,
    Moment,
    TextField,
    WireSerializer,
)

DEFAULT_LIFE = timedelta(days=365)
MAX_NETWORKS = 50


class Network(serializers.CharField):
    """An address or CIDR block, v4 or v6, in canonical form."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return str(ipaddress.ip_network(super().to_internal_value(data).strip(), strict=False))
        except ValueError:
            raise serializers.ValidationError("An IP address or CIDR block.") from None


class KeyBody(Body):
    name = TextField(max_length=80)
    scopes = serializers.ListField(child=Choice(choices=list(SCOPES)), min_length=1, max_length=6)
    allowed_ips = serializers.ListField(child=Network(), max_length=MAX_NETWORKS, required=False)
    expires_at = Moment(required=False, allow_null=True)

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        return [scope for scope in SCOPES if scope in scopes]

    def validate_expiresAt(self, at: Any) -> Any:  # noqa: N802  # DRF looks for the wire name
        if at is not None and at <= timezone.now():
            raise serializers.ValidationError("It must lie in the future.")
        return at


class NewKey(KeyBody):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs.setdefault("expires_at", timezone.now() + DEFAULT_LIFE)
        return attrs


class KeyChange(KeyBody):
    name = TextField(max_length=80, required=False)
    scopes = serializers.ListField(
        child=Choice(choices=list(SCOPES)), min_length=1, max_length=6, required=False
    )


class Rotation(Body):
    grace_period_hours = IntField(min_value=0, max_value=168, default=24)


class ApiKeySerializer(WireSerializer[ApiKey]):
    class Meta:
        model = ApiKey
        fields = [
            "id",
            "key_id",
            "name",
            "scopes",
            "secret_hint",
            "allowed_ips",
            "expires_at",
            "last_used_at",
            "last_used_ip",
            "last_used_user_agent",
            "previous_expires_at",
            "previous_last_used_at",
            "revoked_at",
            "revoked_reason",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields
