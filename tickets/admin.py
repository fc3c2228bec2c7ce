"""Operators' view of tickets."""

from typing import Any

from django.contrib import admin
from unfold.admin import ModelAdmin, TabularInline

from storeplatform.kernel.admin import ReadMostly
from tickets.models import Ticket, TicketComment, TicketEvent


class CommentLines(ReadMostly, TabularInline):
    model = TicketComment
    fields: Any = ["author_name", "is_internal", "body", "created_at"]
    readonly_fields = fields


class EventLines(ReadMostly, TabularInline):
    model = TicketEvent
    fields: Any = ["action", "actor_name", "changes", "occurred_at"]
    readonly_fields = fields


@admin.register(Ticket)
class TicketAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "subject", "status", "priority", "store", "created_at", "deleted_at"]
    list_filter = ["status", "priority", "category"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
    inlines = [CommentLines, EventLines]
