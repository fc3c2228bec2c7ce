"""Operators' view of clients and agents; codes and tokens are nowhere."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from oauth2_provider.models import get_device_grant_model
from unfold.admin import ModelAdmin

from integrations.mcp.oauth.agents import revoke_as_operator
from integrations.mcp.oauth.models import (
    AccessToken,
    Agent,
    Application,
    Grant,
    IDToken,
    RefreshToken,
)
from storeplatform.kernel.admin import ReadMostly

for toolkits_own in (
    Application, Grant, AccessToken, RefreshToken, IDToken, get_device_grant_model(),
):  # fmt: skip
    if admin.site.is_registered(toolkits_own):
        admin.site.unregister(toolkits_own)


@admin.register(Application)
class ApplicationAdmin(ReadMostly, ModelAdmin):
    list_display = ["client_id", "name", "registration_source", "store", "created"]
    list_select_related = ["store"]
    search_fields = ["client_id"]
    exclude = ["client_secret", "hash_client_secret"]
    ordering = ["-id"]


@admin.register(Agent)
class AgentAdmin(ReadMostly, ModelAdmin):
    list_display = ["application", "store", "user", "created_at", "last_used_at", "revoked_at"]
    list_select_related = ["application", "store", "user"]
    search_fields = ["application__client_id"]
    actions = ["revoke"]
    ordering = ["-id"]

    @admin.action(description="Disconnect the chosen agents")
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        for agent in queryset.select_related("application"):
            revoke_as_operator(agent, request)
        self.message_user(request, "Disconnected.")
