"""Operators' view of discounts."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.discounts.models import DiscountCode, DiscountRule
from storeplatform.kernel.admin import ReadMostly


@admin.register(DiscountRule)
class DiscountRuleAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "type", "value", "scope", "used_count", "is_active", "store"]
    list_filter = ["type", "is_active"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]


@admin.register(DiscountCode)
class DiscountCodeAdmin(ReadMostly, ModelAdmin):
    list_display = ["code", "name", "type", "value", "used_count", "is_active", "store"]
    list_filter = ["type", "is_active"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
