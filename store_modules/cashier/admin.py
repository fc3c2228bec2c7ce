"""Operators' view of tills."""

from typing import Any

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from store_modules.cashier.models import (
    CashierSession,
    CashierSettings,
    DrawerEntry,
    PinnedItem,
    Sale,
    SaleRefund,
)
from storeplatform.kernel.admin import ReadMostly


class Entries(ReadMostly, TabularInline):
    model = DrawerEntry
    fields: Any = ["created_at", "kind", "method", "amount", "reason"]


@admin.register(CashierSession)
class CashierSessionAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "register_code", "opened_at", "closed_at", "variance", "store"]
    list_select_related = ["store"]
    search_fields = ["store__search_text"]
    ordering = ["-id"]
    inlines = [Entries]


class Refunds(ReadMostly, TabularInline):
    model = SaleRefund
    fields: Any = ["created_at", "method", "amount", "restock", "lines"]


@admin.register(Sale)
class SaleAdmin(ReadMostly, ModelAdmin):
    list_display = ["order", "session", "change", "store"]
    list_select_related = ["order", "session", "store"]
    search_fields = ["order__search_text"]
    ordering = ["-order_id"]
    inlines = [Refunds]


@admin.register(CashierSettings)
class CashierSettingsAdmin(ReadMostly, ModelAdmin):
    list_display = ["store", "blind_close", "max_discount_percent", "variance_reason_above"]
    list_select_related = ["store"]
    search_fields = ["store__search_text"]


@admin.register(PinnedItem)
class PinnedItemAdmin(ReadMostly, ModelAdmin):
    list_display = ["store", "position", "product"]
    list_select_related = ["store", "product"]
    search_fields = ["store__search_text"]
    ordering = ["store_id", "position"]
