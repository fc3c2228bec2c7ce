"""Categories, products and stock on the wire."""

import re
from typing import Any

from django.db.models import Case, Count, F, IntegerField, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from rest_framework import serializers

from store_modules.catalog.models import Category, InventoryItem, Product, StockMovement
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    IntField,
    StoreRelatedField,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.tenancy import StoreFacts

SKU = re.compile(r"[A-Za-z0-9._/-]{1,64}")
MAX_QUANTITY = 2**31 - 1
COST_GRANTS = frozenset({"products.cost", "catalog:write"})


class Sku(serializers.CharField):
    """1 to 64 of letters, digits and `._/-`."""

    def to_internal_value(self, data: Any) -> str:
        written = super().to_internal_value(data)
        if not SKU.fullmatch(written):
            raise serializers.ValidationError("1 to 64 letters, digits or . _ / -", code="invalid")
        return written


def count_of(rows: Any) -> Any:
    """How many rows, as a subquery."""
    counted = rows.order_by().values("store").annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


class CategorySerializer(WireSerializer[Category]):
    product_count = Computed(
        lambda _: count_of(Product.objects.live().filter(category=OuterRef("pk"))), IntField()
    )
    child_count = Computed(
        lambda _: count_of(Category.objects.filter(parent=OuterRef("pk"))), IntField()
    )

    class Meta:
        model = Category
        fields = [
            "id",
            "name",
            "parent",
            "description",
            "image_url",
            "sort_order",
            "is_active",
            "slug",
            "depth",
            "path",
            "product_count",
            "child_count",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["slug", "depth", "path", "version"]


def product_status(_: StoreFacts) -> Any:
    """active, inactive or out_of_stock."""
    return Case(
        When(is_active=False, then=Value("inactive")),
        When(
            track_inventory=True,
            inventory__quantity_on_hand__lte=F("inventory__quantity_reserved"),
            then=Value("out_of_stock"),
        ),
        default=Value("active"),
    )


class ProductSerializer(WireSerializer[Product]):
    example = {
        "sku": "SHIRT-M",
        "name": "White cotton shirt",
        "price": "25000",
        "quantityOnHand": 40,
    }

    sku = Sku(required=False, allow_null=True)
    parent = StoreRelatedField(  # type: ignore[assignment]  # a Field has a parent of its own
        queryset=Product.objects.live(), required=False, allow_null=True
    )
    options = serializers.DictField(
        child=TextField(max_length=100), required=False, allow_null=True, allow_empty=False
    )
    names = serializers.DictField(child=TextField(max_length=200), required=False, allow_null=True)
    image_urls = serializers.ListField(
        child=serializers.URLField(max_length=500), required=False, max_length=10
    )
    tags = serializers.ListField(child=TextField(max_length=50), required=False, max_length=20)
    quantity_on_hand = IntField(
        min_value=0, max_value=MAX_QUANTITY, write_only=True, required=False
    )
    status = Computed(product_status, Choice(choices=["active", "inactive", "out_of_stock"]))
    inventory_item_id = Computed(
        lambda _: F("inventory__id"), serializers.UUIDField(allow_null=True)
    )
    quantity_reserved = Computed(
        lambda _: F("inventory__quantity_reserved"), IntField(allow_null=True)
    )
    quantity_available = Computed(
        lambda _: F("inventory__quantity_on_hand") - F("inventory__quantity_reserved"),
        IntField(allow_null=True),
    )

    class Meta:
        model = Product
        fields = [
            "id",
            "product_type",
            "parent",
            "options",
            "sku",
            "name",
            "names",
            "description",
            "barcode",
            "category",
            "image_urls",
            "tags",
            "price",
            "compare_at_price",
            "cost_price",
            "currency_code",
            "weight_grams",
            "track_inventory",
            "is_active",
            "status",
            "inventory_item_id",
            "quantity_on_hand",
            "quantity_reserved",
            "quantity_available",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["currency_code", "version"]
        shown_with = {"costPrice": COST_GRANTS}
        extra_kwargs = {
            "weight_grams": {"max_value": 10_000_000},
            "track_inventory": {"required": False},
        }

    def wire_members(self) -> dict[str, Any]:
        members = super().wire_members()
        members["quantityOnHand"] = F("inventory__quantity_on_hand")
        return members


class InventorySerializer(WireSerializer[InventoryItem]):
    product_id = Computed(lambda _: F("product_id"), serializers.UUIDField())
    sku = Computed(lambda _: F("product__sku"), TextField())
    name = Computed(lambda _: F("product__name"), TextField())
    track_inventory = Computed(lambda _: F("product__track_inventory"), serializers.BooleanField())
    quantity_available = Computed(
        lambda _: F("quantity_on_hand") - F("quantity_reserved"), IntField()
    )

    class Meta:
        model = InventoryItem
        fields = [
            "id",
            "product_id",
            "sku",
            "name",
            "location",
            "track_inventory",
            "quantity_on_hand",
            "quantity_reserved",
            "quantity_available",
            "reorder_point",
            "version",
            "updated_at",
        ]
        read_only_fields = fields


class MovementSerializer(WireSerializer[StockMovement]):
    inventory_item_id = Computed(lambda _: F("item_id"), serializers.UUIDField())
    product_id = Computed(lambda _: F("product_id"), serializers.UUIDField())
    sku = Computed(lambda _: F("product__sku"), TextField())

    class Meta:
        model = StockMovement
        fields = [
            "id",
            "inventory_item_id",
            "product_id",
            "sku",
            "delta",
            "reason",
            "balance_after",
            "unit_cost",
            "ref_type",
            "ref_id",
            "actor_kind",
            "actor_id",
            "note",
            "created_at",
        ]
        read_only_fields = fields
        shown_with = {"unitCost": COST_GRANTS}


class StockCount(Body):
    """An absolute figure."""

    quantity_on_hand = IntField(min_value=0, max_value=MAX_QUANTITY)
    reorder_point = IntField(min_value=0, max_value=MAX_QUANTITY, required=False, allow_null=True)
    note = TextField(max_length=500, required=False, allow_null=True, default=None)


MANUAL_REASONS = ["opening", "return", "damage", "loss", "count_correction", "manual"]


class StockAdjustment(Body):
    """A relative figure for a product named by SKU or id."""

    example = {"sku": "SHIRT-M", "delta": -2, "reason": "damage"}

    aliases = {"storeProductId": "productId"}

    sku = TextField(max_length=64, required=False, default="", allow_blank=True)
    product_id = serializers.UUIDField(required=False, default=None)
    delta = IntField(min_value=-MAX_QUANTITY, max_value=MAX_QUANTITY)
    reason = Choice(choices=MANUAL_REASONS)
    note = TextField(max_length=500, required=False, allow_null=True, default=None)

    def validate_delta(self, delta: int) -> int:
        if not delta:
            raise serializers.ValidationError("It moves nothing.", code="invalid")
        return delta

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["sku"]) == bool(attrs["product_id"]):
            raise serializers.ValidationError({"sku": ["Name the product by sku or productId."]})
        return attrs


class BulkStockRow(Body):
    sku = TextField(max_length=64)
    quantity = IntField(min_value=-MAX_QUANTITY, max_value=MAX_QUANTITY)
    note = TextField(max_length=500, required=False, allow_null=True, default=None)


class BulkStock(Body):
    mode = Choice(choices=["set", "adjust"])
