"""Operators' view of print templates."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.printing.models import PrintTemplate
from storeplatform.kernel.admin import ReadMostly


@admin.register(PrintTemplate)
class PrintTemplateAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "type", "paper", "language", "is_default", "store"]
    list_filter = ["type"]
    list_select_related = ["store"]
    search_fields = ["store__search_text"]
    ordering = ["-id"]
