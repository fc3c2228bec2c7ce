"""Operators' view of what agents did and what waits for a person."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from integrations.mcp.models import AgentCall, PendingAction
from storeplatform.kernel.admin import ReadMostly


@admin.register(AgentCall)
class AgentCallAdmin(ReadMostly, ModelAdmin):
    list_display = ["occurred_at", "client_name", "member", "method", "tool", "outcome"]
    search_fields = ["store_id"]
    ordering = ["-id"]  # ids are times


@admin.register(PendingAction)
class PendingActionAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "store", "tool", "status", "decided_at"]
    list_select_related = ["store"]
    search_fields = ["store_id"]
    exclude = ["arguments"]  # the store's own business
    ordering = ["-id"]
