"""Suppliers and purchase orders on the wire."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, F, OuterRef, Subquery, Sum, Value
from django.db.models import DecimalField as ModelDecimal
from django.db.models import IntegerField as ModelInteger
from django.db.models.functions import Coalesce
from rest_framework import serializers

from store_modules.purchasing.models import (
    OPEN,
    Attachment,
    PurchaseItem,
    PurchaseOrder,
    PurchaseReceipt,
    Supplier,
)
from storeplatform.kernel.money import minor_units
from storeplatform.kernel.serializers import (
    Body,
    Computed,
    IntField,
    Moment,
    Money,
    PastMoment,
    StoreRelatedField,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.sql import Instant, JSONObject, json_pairs, money_text
from storeplatform.kernel.tenancy import StoreFacts

MAX_QUANTITY = 1_000_000
MAX_ITEMS = 500


def open_orders(_: StoreFacts) -> Any:
    rows = PurchaseOrder.objects.filter(supplier=OuterRef("pk"), status__in=OPEN).order_by()
    counted = rows.values("supplier").annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counted, output_field=ModelInteger()), 0)


def total_purchased(facts: StoreFacts) -> Any:
    rows = PurchaseOrder.objects.filter(supplier=OuterRef("pk")).order_by()
    value = rows.values("supplier").annotate(n=Sum("received_value")).values("n")
    nothing = Value(0, output_field=ModelDecimal())
    whole = Coalesce(Subquery(value, output_field=ModelDecimal()), nothing)
    return money_text(whole, minor_units(facts.currency_code))


class SupplierSerializer(WireSerializer[Supplier]):
    open_orders = Computed(open_orders, IntField())
    total_purchased = Computed(total_purchased, Money())

    class Meta:
        model = Supplier
        fields = [
            "id", "name", "phone", "email", "contact_name", "address", "tax_number", "notes",
            "is_active", "open_orders", "total_purchased", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]


class PurchaseItemBody(Body):
    aliases = {"storeProductId": "productId"}

    product_id = serializers.UUIDField()
    quantity = IntField(min_value=1, max_value=MAX_QUANTITY)
    unit_cost = Money()
    notes = TextField(max_length=500, required=False, allow_null=True, default=None)


class PurchaseBody(Body):
    """A purchase order as staff writes it; its total and status are the server's."""

    supplier_id = StoreRelatedField(queryset=Supplier.objects.all(), source="supplier")
    reference_number = TextField(max_length=100, required=False, allow_null=True)
    order_date = serializers.DateField(required=False)
    expected_delivery_date = serializers.DateField(required=False, allow_null=True)
    notes = TextField(max_length=2000, multiline=True, required=False, allow_null=True)
    additional_fees = Money(required=False)
    discount = Money(required=False)
    items = PurchaseItemBody(many=True, min_length=1, max_length=MAX_ITEMS)  # type: ignore[call-arg]  # of lists
    receive_now = serializers.BooleanField(default=False)

    def to_internal_value(self, data: Any) -> Any:
        if "status" in data:
            raise serializers.ValidationError(
                {"status": ["It moves by /order, /receive, /cancel and /close."]}
            )
        return super().to_internal_value(data)


class PurchaseChange(PurchaseBody):
    """What is present replaces; what is absent stays."""

    supplier_id = StoreRelatedField(
        queryset=Supplier.objects.all(), source="supplier", required=False
    )
    items = PurchaseItemBody(many=True, min_length=1, max_length=MAX_ITEMS, required=False)  # type: ignore[call-arg]  # of lists
    receive_now = None  # type: ignore[assignment]  # takes the field away


class ReceivedLine(Body):
    item_id = serializers.UUIDField()
    quantity = IntField(min_value=1, max_value=MAX_QUANTITY)


class Receiving(Body):
    items = ReceivedLine(many=True, min_length=1, max_length=MAX_ITEMS)  # type: ignore[call-arg]  # of lists
    received_at = PastMoment(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        ids = [line["item_id"] for line in attrs["items"]]
        if len(set(ids)) < len(ids):
            raise serializers.ValidationError({"items": ["A line stands twice."]})
        return attrs


class Cancelling(Body):
    reason = TextField(max_length=500, required=False, allow_null=True, default=None)


class UploadBody(Body):
    file = serializers.FileField()


def item_rows(facts: StoreFacts) -> Any:
    digits = minor_units(facts.currency_code)
    members = {
        "id": F("id"),
        "productId": F("product_id"),
        "sku": F("product__sku"),
        "name": F("product__name"),
        "quantity": F("quantity"),
        "receivedQuantity": F("received_quantity"),
        "unitCost": money_text(F("unit_cost"), digits),
        "lineTotal": money_text(F("line_total"), digits),
        "notes": F("notes"),
    }
    rows = PurchaseItem.objects.filter(purchase=OuterRef("pk")).order_by("place")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


ATTACHMENT = {
    "id": F("id"),
    "fileName": F("file_name"),
    "contentType": F("content_type"),
    "size": F("size"),
    "createdAt": Instant(F("created_at")),
}


def attachment_rows(_: StoreFacts) -> Any:
    rows = Attachment.objects.filter(purchase=OuterRef("pk")).order_by("id")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(ATTACHMENT))))


def receipt_rows(facts: StoreFacts) -> Any:
    members = {
        "id": F("id"),
        "receivedAt": Instant(F("received_at")),
        "value": money_text(F("value"), minor_units(facts.currency_code)),
        "lines": F("lines"),
    }
    rows = PurchaseReceipt.objects.filter(purchase=OuterRef("pk")).order_by("id")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


class AttachmentSerializer(WireSerializer[Attachment]):
    class Meta:
        model = Attachment
        fields = ["id", "file_name", "content_type", "size", "created_at"]
        read_only_fields = fields


class PurchaseItemShown(Body):
    id = serializers.UUIDField()
    product_id = serializers.UUIDField()
    sku = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    quantity = IntField()
    received_quantity = IntField()
    unit_cost = Money()
    line_total = Money()
    notes = serializers.CharField(allow_null=True)


class ReceiptShown(Body):
    id = serializers.UUIDField()
    received_at = Moment()
    value = Money()
    lines = ReceivedLine(many=True)


class PurchaseSerializer(WireSerializer[PurchaseOrder]):
    supplier_name = Computed(lambda _: F("supplier__name"), TextField())
    items = Computed(item_rows, PurchaseItemShown(many=True))
    attachments = Computed(attachment_rows, AttachmentSerializer(many=True))
    receipts = Computed(receipt_rows, ReceiptShown(many=True))

    class Meta:
        model = PurchaseOrder
        fields = [
            "id", "number", "supplier", "supplier_name", "reference_number", "status",
            "order_date", "expected_delivery_date", "notes", "currency_code", "additional_fees",
            "discount", "total_amount", "received_value", "items", "attachments", "receipts",
            "ordered_at", "received_at", "cancelled_at", "cancel_reason", "closed_at", "version",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields
