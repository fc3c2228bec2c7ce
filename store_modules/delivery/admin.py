"""Operators' desk of deliveries: the list of companies and their words are theirs to keep."""

from typing import Any

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from store_modules.delivery.models import (
    CashEntry,
    CompanyLink,
    CourierAreaMap,
    CourierStatus,
    DeliveryCompany,
    Dispatch,
    Settlement,
    SettlementLine,
    ShipmentEvent,
)
from storeplatform.kernel.admin import ReadMostly


class Statuses(TabularInline):
    model = CourierStatus
    extra = 0


@admin.register(DeliveryCompany)
class DeliveryCompanyAdmin(ReadMostly, ModelAdmin):
    editable = True
    list_display = ["name", "slug", "provider", "uses_our_areas", "is_active"]
    ordering = ["name"]
    inlines = [Statuses]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)


@admin.register(CourierAreaMap)
class CourierAreaMapAdmin(ReadMostly, ModelAdmin):
    editable = True
    list_display = ["company", "area", "external_province", "external_area"]
    list_filter = ["company"]
    list_select_related = ["company", "area"]
    autocomplete_fields: Any = []
    raw_id_fields = ["area"]
    search_fields = ["external_area"]
    ordering = ["company", "external_province", "external_area"]

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)


@admin.register(CompanyLink)
class CompanyLinkAdmin(ReadMostly, ModelAdmin):
    list_display = ["store", "company", "username", "account", "checked_at"]
    list_filter = ["company"]
    list_select_related = ["store", "company"]
    exclude = ["credentials"]
    ordering = ["-id"]


class Told(ReadMostly, TabularInline):
    model = ShipmentEvent
    fields: Any = [
        "occurred_at", "raw_status", "parcel_status", "reason", "outcome", "detail", "received_at",
    ]  # fmt: skip


@admin.register(Dispatch)
class DispatchAdmin(ReadMostly, ModelAdmin):
    list_display = [
        "created_at", "order", "company", "state", "tracking_number", "parcel_status",
        "raw_status", "error",
    ]  # fmt: skip
    list_filter = ["state", "company"]
    list_select_related = ["order", "company"]
    search_fields = ["order__search_text"]
    ordering = ["-id"]
    inlines = [Told]


class Lines(ReadMostly, TabularInline):
    model = SettlementLine
    fields: Any = [
        "place", "order", "tracking_number", "kind", "collected", "expected", "fee", "net",
        "differences", "is_accepted",
    ]  # fmt: skip


@admin.register(Settlement)
class SettlementAdmin(ReadMostly, ModelAdmin):
    list_display = [
        "reference", "company", "store", "date", "state", "net_total", "declared_total",
        "differences_count",
    ]  # fmt: skip
    list_filter = ["state", "company"]
    list_select_related = ["company", "store"]
    search_fields = ["store_id"]
    ordering = ["-id"]
    inlines = [Lines]


@admin.register(CashEntry)
class CashEntryAdmin(ReadMostly, ModelAdmin):
    list_display = ["at", "company", "order", "kind", "amount", "store"]
    list_filter = ["kind", "company"]
    list_select_related = ["company", "order", "store"]
    ordering = ["-id"]
