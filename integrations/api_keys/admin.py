"""Operators' view of API keys; secrets and hashes are nowhere."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from integrations.api_keys.models import ApiKey
from integrations.api_keys.services import revoke_key
from storeplatform.kernel.admin import ReadMostly, operator_of


@admin.register(ApiKey)
class ApiKeyAdmin(ReadMostly, ModelAdmin):
    list_display = ["key_id", "name", "store", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["store"]
    search_fields = ["key_id"]
    exclude = ["secret_hash", "previous_secret_hash", "hash_version", "previous_hash_version"]
    actions = ["revoke"]
    ordering = ["-id"]

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        for key in queryset:
            actor = operator_of(request, key.store_id)
            revoke_key(key, actor, reason=actor.label, request=request)
        self.message_user(request, "Revoked.")
