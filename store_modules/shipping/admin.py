"""Operators' view of delivery fees."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.shipping.models import PackageSize, ShippingRule
from storeplatform.kernel.admin import ReadMostly


@admin.register(ShippingRule)
class ShippingRuleAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "province", "area", "base_fee", "priority", "is_active", "store"]
    list_filter = ["is_active"]
    list_select_related = ["store", "province", "area"]
    search_fields = ["store__search_text"]
    ordering = ["-id"]


@admin.register(PackageSize)
class PackageSizeAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "extra_fee", "is_default", "is_active", "store"]
    list_select_related = ["store"]
    search_fields = ["store__search_text"]
    ordering = ["-id"]
