"""Operators' view of discounts."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.discounts.models import DiscountCode, DiscountRule, Redemption
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


@admin.register(Redemption)
class RedemptionAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "rule", "code", "order_id", "phone", "amount", "store"]
    list_select_related = ["rule", "code", "store"]
    search_fields = ["code__search_text"]
    ordering = ["-id"]
