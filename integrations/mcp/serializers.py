"""Agents on the wire of the dashboard."""

from typing import Any

from django.db.models import F
from rest_framework import serializers

from integrations.mcp.models import AgentCall, AgentSettings, PendingAction
from integrations.mcp.oauth.models import Agent
from storeplatform.kernel.serializers import Body, Computed, TextField, WireSerializer


class AgentSerializer(WireSerializer[Agent]):
    client_id = Computed(lambda _: F("application__client_id"), TextField())
    client_name = Computed(lambda _: F("application__name"), TextField())
    user_id = Computed(lambda _: F("user_id"), serializers.UUIDField())
    member = Computed(lambda _: F("user__full_name"), TextField())

    class Meta:
        model = Agent
        fields = [
            "id", "client_id", "client_name", "user_id", "member", "scope", "created_at",
            "last_used_at",
        ]  # fmt: skip
        read_only_fields = fields


class AgentCallSerializer(WireSerializer[AgentCall]):
    class Meta:
        model = AgentCall
        fields = [
            "id", "agent_id", "user_id", "member", "client_id", "client_name", "request_id",
            "method", "tool", "arguments_digest", "changed", "outcome", "milliseconds", "ip",
            "occurred_at",
        ]  # fmt: skip
        read_only_fields = fields


class PendingActionSerializer(WireSerializer[PendingAction]):
    agent_id = Computed(lambda _: F("agent_id"), serializers.UUIDField())
    client_name = Computed(lambda _: F("agent__application__name"), TextField())
    member = Computed(lambda _: F("agent__user__full_name"), TextField())

    class Meta:
        model = PendingAction
        fields = [
            "id", "agent_id", "client_name", "member", "tool", "arguments", "status", "outcome",
            "decided_at", "version", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class AgentSettingsSerializer(WireSerializer[AgentSettings]):
    class Meta:
        model = AgentSettings
        fields = ["approve_destructive", "allow_refunds", "version"]
        read_only_fields = ["version"]


class RedirectUriBody(Body):
    """A client of this store and an address that it may come back to."""

    example = {"clientId": "acme-desk", "redirectUri": "https://acme.example/oauth/callback"}

    client_id = serializers.RegexField(r"^[A-Za-z0-9._~-]{3,100}$")
    redirect_uri = TextField(max_length=2000)
    name = TextField(max_length=100, required=False, default="", allow_blank=True)


class RedirectUriAnswer(Body):
    client_id = serializers.CharField()
    name = serializers.CharField()
    redirect_uri = serializers.CharField()
    created_at = serializers.DateTimeField()


def redirect_uri_rows(application: Any) -> list[dict[str, Any]]:
    return [
        {
            "clientId": application.client_id,
            "name": application.name,
            "redirectUri": uri,
            "createdAt": application.created,
        }
        for uri in application.redirect_uris.split()
    ]
