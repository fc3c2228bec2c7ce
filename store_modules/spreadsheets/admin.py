"""Operators' view of imports."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.spreadsheets.models import ImportJob
from storeplatform.kernel.admin import ReadMostly


@admin.register(ImportJob)
class ImportJobAdmin(ReadMostly, ModelAdmin):
    list_display = [
        "created_at", "kind", "file_name", "status", "dry_run", "done", "total", "failed", "store",
    ]  # fmt: skip
    list_filter = ["status", "kind"]
    list_select_related = ["store"]
    ordering = ["-id"]
