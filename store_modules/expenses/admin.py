"""Operators' view of expenses."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.expenses.models import Expense
from storeplatform.kernel.admin import ReadMostly


@admin.register(Expense)
class ExpenseAdmin(ReadMostly, ModelAdmin):
    list_display = ["date", "category", "amount", "payment_method", "store", "created_at"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
