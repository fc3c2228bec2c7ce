"""Operators' view of orders, with their lines and history."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from store_modules.orders.models import (
    Channel,
    CheckIn,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    ReturnLine,
    ReturnRequest,
)
from storeplatform.kernel import metrics
from storeplatform.kernel.admin import ReadMostly
from storeplatform.kernel.desk import Card, card
from storeplatform.kernel.ids import first_of


class Lines(ReadMostly, TabularInline):
    model = OrderItem
    fields: Any = [
        "sku", "name", "quantity", "unit_price", "line_total", "quantity_reserved",
        "quantity_delivered", "quantity_returned",
    ]  # fmt: skip


class History(ReadMostly, TabularInline):
    model = OrderEvent
    fields: Any = ["created_at", "kind", "from_status", "to_status", "reason", "actor_label"]


class Payments(ReadMostly, TabularInline):
    model = OrderPayment
    fields: Any = ["at", "kind", "method", "amount", "reference"]


class CheckIns(ReadMostly, TabularInline):
    model = CheckIn
    fields: Any = ["at", "item", "restock", "damaged", "lost", "value", "from_customer"]


class ReturnLines(ReadMostly, TabularInline):
    model = ReturnLine
    fields: Any = ["item", "quantity", "received"]


@card
def orders_today() -> Card:
    """Ids are times, so the primary key finds today's."""
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    placed = Order.objects.exclude(channel=Channel.IMPORT)
    count = metrics.at_most(placed.filter(pk__gte=first_of(midnight)))
    before = metrics.at_most(
        placed.filter(
            pk__gte=first_of(midnight - timedelta(days=1)), pk__lt=first_of(now - timedelta(days=1))
        )
    )
    return Card(
        "Orders today",
        f"{count:,}",
        f"{before:,} yesterday by this time (UTC)",
        reverse("admin:orders_order_changelist"),
    )


@admin.register(Order)
class OrderAdmin(ReadMostly, ModelAdmin):
    list_display = [
        "number", "status", "customer_name", "total", "currency_code", "channel", "store",
        "created_at",
    ]  # fmt: skip
    list_filter = ["status", "channel", "payment_method"]
    list_select_related = ["store"]
    search_fields = ["search_text"]
    ordering = ["-id"]
    inlines = [Lines, Payments, CheckIns, History]


@admin.register(ReturnRequest)
class ReturnRequestAdmin(ReadMostly, ModelAdmin):
    list_display = ["number", "order", "status", "reason", "credit", "store", "created_at"]
    list_filter = ["status"]
    list_select_related = ["order", "store"]
    search_fields = ["order__search_text"]
    ordering = ["-id"]
    inlines = [ReturnLines]
