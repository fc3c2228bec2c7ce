"""Operators' view of webhooks; secrets are nowhere."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from unfold.admin import ModelAdmin, TabularInline

from integrations.webhooks.disabling import disable
from integrations.webhooks.models import Attempt, Delivery, Endpoint
from integrations.webhooks.services import retry, standing
from storeplatform.kernel.admin import ReadMostly, operator_of
from storeplatform.kernel.audit import audit
from storeplatform.kernel.desk import Card, card


@card
def webhooks_failing() -> Card:
    facts = {name: int(value) for name, value in standing().items()}
    return Card(
        "Webhooks failing",
        f"{facts['failing']:,}",
        f"{facts['disabled']:,} switched off, {facts['pending']:,} deliveries waiting",
        f"{reverse('admin:webhooks_endpoint_changelist')}?failing_since__isempty=0",
        is_bad=facts["failing"] > 0,
    )


@admin.register(Endpoint)
class EndpointAdmin(ReadMostly, ModelAdmin):
    list_display = ["url", "store", "is_active", "failing_since", "disabled_at", "deleted_at"]
    list_select_related = ["store"]
    list_filter = ["is_active", ("failing_since", admin.EmptyFieldListFilter)]
    search_fields = ["store_id", "id"]
    exclude = ["secret", "previous_secret"]
    actions = ["switch_off"]
    ordering = ["-id"]

    @admin.action(description="Switch the chosen webhooks off")
    def switch_off(self, request: HttpRequest, queryset: Any) -> None:
        for endpoint in queryset:
            disable(endpoint.pk, f"Switched off by the operator {request.user}."[:200])
        self.message_user(request, "Switched off; their owners are told.")


class AttemptInline(TabularInline):
    model = Attempt
    fields = ["number", "at", "status_code", "latency_ms", "error", "response"]
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "event", "endpoint", "status", "last_status_code", "due_at"]
    list_select_related = ["endpoint"]
    list_filter = ["status"]
    search_fields = ["id", "endpoint_id"]
    inlines = [AttemptInline]
    actions = ["send_again"]
    ordering = ["-id"]

    @admin.action(description="Send the chosen deliveries again")
    def send_again(self, request: HttpRequest, queryset: Any) -> None:
        sent = []
        for delivery in queryset.select_related("endpoint"):
            if delivery.endpoint.is_active and delivery.event != "ping":
                retry(delivery)
                sent.append(str(delivery.pk))
        audit(
            "admin.delivery_sent_again",
            target=f"{len(sent)} rows",
            request=request,
            actor=operator_of(request),
            changes={"ids": sent[:100]},
        )
        self.message_user(request, f"{len(sent)} are sent again.")
