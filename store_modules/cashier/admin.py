"""Operators' view of tills."""

from typing import Any

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from store_modules.cashier.models import CashierSession, DrawerEntry
from storeplatform.kernel.admin import ReadMostly


class Entries(ReadMostly, TabularInline):
    model = DrawerEntry
    fields: Any = ["created_at", "kind", "method", "amount", "reason"]


@admin.register(CashierSession)
class CashierSessionAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "register_code", "opened_at", "closed_at", "variance", "store"]
    list_select_related = ["store"]
    ordering = ["-id"]
    inlines = [Entries]
