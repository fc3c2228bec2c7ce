"""Operators' view of suppliers and purchases."""

from typing import Any

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from store_modules.purchasing.models import (
    Attachment,
    PurchaseItem,
    PurchaseOrder,
    PurchaseReceipt,
    Supplier,
)
from storeplatform.kernel.admin import ReadMostly


@admin.register(Supplier)
class SupplierAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "phone", "is_active", "store", "created_at"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]


class Lines(ReadMostly, TabularInline):
    model = PurchaseItem
    fields: Any = ["product", "quantity", "received_quantity", "unit_cost", "line_total"]


class Receipts(ReadMostly, TabularInline):
    model = PurchaseReceipt
    fields: Any = ["received_at", "value", "lines"]


class Attachments(ReadMostly, TabularInline):
    model = Attachment
    fields: Any = ["file_name", "content_type", "size", "created_at"]


@admin.register(PurchaseOrder)
class PurchaseOrderAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "status", "supplier", "total_amount", "store", "created_at"]
    list_filter = ["status"]
    list_select_related = ["store", "supplier"]
    search_fields = ["search_text"]
    ordering = ["-id"]
    inlines = [Lines, Receipts, Attachments]
