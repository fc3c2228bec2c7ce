"""Operators' view of website chat; what was said stays between the store and its visitors."""

from django.contrib import admin
from django.urls import reverse
from unfold.admin import ModelAdmin

from chat.models import CannedReply, Channel, Conversation, Visitor
from storeplatform.kernel import metrics
from storeplatform.kernel.admin import ReadMostly
from storeplatform.kernel.desk import Card, card


@card
def hub_connections() -> Card:
    return Card(
        "Hub connections",
        f"{int(metrics.live('hub_connections')):,}",
        "on this machine: dashboards, programs and visitors",
        reverse("admin:chat_conversation_changelist"),
    )


@admin.register(Channel)
class ChannelAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "public_key", "is_enabled", "require_identity", "store", "created_at"]
    list_select_related = ["store"]
    search_fields = ["public_key"]
    exclude = ["identity_secret"]
    ordering = ["-id"]


@admin.register(Visitor)
class VisitorAdmin(ReadMostly, ModelAdmin):
    list_display = ["id", "name", "verified", "store", "last_seen_at", "blocked_at"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]


@admin.register(Conversation)
class ConversationAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "status", "store", "last_seq", "waiting_since", "created_at"]
    list_filter = ["status"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    exclude = ["last_message_preview"]
    ordering = ["-id"]


@admin.register(CannedReply)
class CannedReplyAdmin(ReadMostly, ModelAdmin):
    list_display = ["shortcode", "title", "store", "created_at"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
