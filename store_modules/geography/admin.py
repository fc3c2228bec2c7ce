"""Operators' view of the address reference."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from store_modules.geography.models import Area, Province
from storeplatform.kernel.admin import ReadMostly


@admin.register(Province)
class ProvinceAdmin(ReadMostly, ModelAdmin):
    list_display = ["code", "name", "country_code", "is_group", "is_iso", "is_active"]
    list_filter = ["is_active", "is_iso"]
    search_fields = ["code", "name"]
    fields = ["code", "name", "names", "is_active"]
    readonly_fields = ["code"]
    editable = True


@admin.register(Area)
class AreaAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "province", "kind", "source", "is_active"]
    list_filter = ["kind", "source", "is_active"]
    list_select_related = ["province"]
    search_fields = ["search_text"]
    fields = ["id", "province", "name", "names", "kind", "source_key", "is_active"]
    readonly_fields = ["id", "province", "kind", "source_key"]
    editable = True
