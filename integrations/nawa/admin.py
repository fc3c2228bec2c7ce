"""Operators' view of what providers told us; what failed is run again from here."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from integrations.nawa.models import InboundEvent, OutgoingMessage, ProviderAlert
from integrations.nawa.webhooks import run_again
from storeplatform.kernel.admin import ReadMostly, operator_of
from storeplatform.kernel.audit import audit


@admin.register(InboundEvent)
class InboundEventAdmin(ReadMostly, ModelAdmin):
    list_display = [
        "received_at", "provider", "type", "event_id", "status", "attempts", "last_error",
    ]  # fmt: skip
    list_filter = ["status", "type"]
    search_fields = ["event_id"]
    ordering = ["-id"]
    actions = ["run_again"]

    def get_search_results(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """Event ids are unique within their provider, and so are they found."""
        return (queryset.filter(provider="nawa", event_id=term) if term else queryset), False

    @admin.action(description="Run the chosen events again")
    def run_again(self, request: HttpRequest, queryset: Any) -> None:
        count = run_again(queryset)
        actor = operator_of(request)
        audit("inbound_event.rerun", request=request, actor=actor, changes={"count": count})
        self.message_user(request, f"{count} events wait for the worker.", messages.SUCCESS)


@admin.register(OutgoingMessage)
class OutgoingMessageAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "channel", "status", "store", "error"]
    list_filter = ["status", "channel"]
    list_select_related = ["store"]
    ordering = ["-id"]
    exclude = ["text"]


@admin.register(ProviderAlert)
class ProviderAlertAdmin(ReadMostly, ModelAdmin):
    list_display = ["raised_at", "provider", "kind", "resolved_at"]
    list_filter = [("resolved_at", admin.EmptyFieldListFilter)]
    ordering = ["-id"]
    actions = ["resolve"]

    @admin.action(description="Mark as seen to")
    def resolve(self, request: HttpRequest, queryset: Any) -> None:
        count = queryset.filter(resolved_at=None).update(resolved_at=timezone.now())
        actor = operator_of(request)
        audit("provider_alert.resolved", request=request, actor=actor, changes={"count": count})
        self.message_user(request, f"{count} alerts are closed.", messages.SUCCESS)
