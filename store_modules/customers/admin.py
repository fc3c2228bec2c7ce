"""Operators' view of customers."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.customers.models import Customer
from storeplatform.kernel.admin import ReadMostly


@admin.register(Customer)
class CustomerAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "primary_phone", "orders_count", "is_blocked", "store", "created_at"]
    list_filter = ["is_blocked"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
