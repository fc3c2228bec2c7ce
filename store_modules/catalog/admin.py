"""Operators' view of products and stock."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.catalog.models import InventoryItem, Product, StockMovement
from storeplatform.kernel.admin import ReadMostly


@admin.register(Product)
class ProductAdmin(ReadMostly, ModelAdmin):
    list_display = ["sku", "name", "price", "currency_code", "is_active", "store", "created_at"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    readonly_fields = ["image_urls"]
    ordering = ["-id"]


@admin.register(InventoryItem)
class InventoryItemAdmin(ReadMostly, ModelAdmin):
    list_display = ["product", "location", "quantity_on_hand", "quantity_reserved", "store"]
    list_select_related = ["product", "store"]
    search_fields = ["product__search_text"]
    ordering = ["-id"]


@admin.register(StockMovement)
class StockMovementAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "product", "delta", "reason", "balance_after", "actor_id"]
    list_filter = ["reason"]
    list_select_related = ["product"]
    ordering = ["-id"]
