"""What a store sells and how much of it there is (domain.md, sections 3 and 4)."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet

MAIN = "main"  # the one location of every store so far


class Category(StoreOwned):
    """A shelf; at most five deep. `path` holds the ids from the root to the row itself."""

    name = models.CharField(max_length=200)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    description = models.TextField(max_length=2000, null=True)  # noqa: DJ001  # null clears it
    image_url = models.URLField(max_length=500, null=True)  # noqa: DJ001
    sort_order = models.IntegerField(default=0)
    is_active = models.BooleanField(default=True)
    slug = models.SlugField(max_length=220, allow_unicode=True)
    depth = models.PositiveSmallIntegerField(default=1)
    path = ArrayField(models.UUIDField(), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Lower("name"),
                F("parent"),
                name="category_name_taken",
                nulls_distinct=False,
                violation_error_code="duplicate_name",
                violation_error_message="This shelf has a category of this name already.",
            ),
            models.CheckConstraint(condition=Q(depth__lte=5), name="category_depth"),
        ]
        indexes = [GinIndex(fields=["path"], name="category_path")]

    def __str__(self) -> str:
        return self.name


class ProductQuerySet(StoreOwnedQuerySet[Any]):
    def live(self) -> "ProductQuerySet":
        return self.filter(deleted_at=None)

    def sellable(self) -> "ProductQuerySet":
        return self.live().exclude(product_type=Product.Type.PARENT)

    def with_skus(self, skus: Iterable[str]) -> "ProductQuerySet":
        """Those that have one of the SKUs, in any letter case."""
        wanted = [sku.upper() for sku in skus]
        found: ProductQuerySet = self.alias(folded_sku=Upper("sku")).filter(folded_sku__in=wanted)
        return found


class Product(StoreOwned):
    """Something with a price. Only simple products and variants are sold and have stock."""

    class Type(models.TextChoices):
        SIMPLE = "simple"
        PARENT = "parent"
        VARIANT = "variant"

    product_type = models.CharField(max_length=8, choices=Type.choices, default=Type.SIMPLE)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="variants")
    options = models.JSONField(null=True)
    sku = models.CharField(max_length=64, null=True)  # noqa: DJ001  # a parent may have none
    name = models.CharField(max_length=200)
    names = models.JSONField(null=True)
    description = models.TextField(max_length=5000, null=True)  # noqa: DJ001  # null clears it
    barcode = models.CharField(max_length=64, null=True)  # noqa: DJ001
    category = models.ForeignKey(Category, on_delete=models.PROTECT, null=True, related_name="+")
    image_urls = ArrayField(models.URLField(max_length=500), default=list)
    tags = ArrayField(models.CharField(max_length=50), default=list)
    price = MoneyField(null=True)
    compare_at_price = MoneyField(null=True)
    cost_price = MoneyField(null=True)
    currency_code = models.CharField(max_length=3)
    weight_grams = models.PositiveIntegerField(default=0)
    track_inventory = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    deleted_at = models.DateTimeField(null=True)
    search_text = search_text("name", "sku", "barcode")

    objects: ClassVar[Any] = ProductQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Upper("sku"),
                condition=Q(deleted_at=None),
                name="product_sku_taken",
                violation_error_code="duplicate_sku",
                violation_error_message="Another product has this SKU.",
            ),
            models.UniqueConstraint(
                fields=["store", "barcode"],
                condition=Q(deleted_at=None, barcode__isnull=False),
                name="product_barcode_taken",
                violation_error_code="duplicate_barcode",
                violation_error_message="Another product has this barcode.",
            ),
            models.UniqueConstraint(
                fields=["parent", "options"],
                condition=Q(deleted_at=None, parent__isnull=False),
                name="product_options_taken",
                violation_error_code="duplicate_options",
                violation_error_message="The parent has a variant with these options.",
            ),
            models.CheckConstraint(
                condition=Q(sku__isnull=False) | Q(product_type="parent"), name="product_has_sku"
            ),
            models.CheckConstraint(
                condition=Q(price__isnull=True) | Q(price__gte=0), name="product_price"
            ),
            models.CheckConstraint(
                condition=Q(product_type="variant", parent__isnull=False)
                | ~Q(product_type="variant") & Q(parent__isnull=True),
                name="product_variant_has_parent",
            ),
        ]
        indexes = [
            models.Index(
                fields=["store", "-created_at", "-id"],
                condition=Q(deleted_at=None),
                name="product_newest",
            ),
            models.Index(
                fields=["store", "name", "id"], condition=Q(deleted_at=None), name="product_by_name"
            ),
            models.Index(fields=["store", "-updated_at"], name="product_changed"),
            search_index("product_search"),
        ]

    def __str__(self) -> str:
        return f"{self.sku or self.product_type} {self.name}"


class InventoryItem(StoreOwned):
    """How many pieces of a product stand at a location. One row per sellable product so far.

    Available = on hand − reserved; both stay at or above zero and reserved never exceeds on hand.
    """

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="inventory")
    location = models.CharField(max_length=32, default=MAIN)
    quantity_on_hand = models.PositiveIntegerField(default=0)
    quantity_reserved = models.PositiveIntegerField(default=0)
    reorder_point = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "location"], name="inventory_once"),
            models.CheckConstraint(
                condition=Q(quantity_reserved__lte=F("quantity_on_hand")),
                name="inventory_reserved_within_on_hand",
            ),
        ]
        indexes = [models.Index(fields=["store", "-created_at", "-id"], name="inventory_newest")]

    def __str__(self) -> str:
        return f"{self.product_id} {self.location}"


class StockMovement(models.Model):
    """A line of the stock ledger; append-only. On hand is the sum of the deltas."""

    class Reason(models.TextChoices):
        OPENING = "opening"
        PURCHASE_RECEIPT = "purchase_receipt"
        SALE = "sale"
        RETURN = "return"
        DAMAGE = "damage"
        LOSS = "loss"
        COUNT_CORRECTION = "count_correction"
        MANUAL = "manual"
        POS_SALE = "pos_sale"
        POS_REFUND = "pos_refund"
        TRANSFER_IN = "transfer_in"
        TRANSFER_OUT = "transfer_out"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    item = models.ForeignKey(InventoryItem, on_delete=models.CASCADE, related_name="movements")
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    delta = models.IntegerField()
    reason = models.CharField(max_length=20, choices=Reason.choices)
    balance_after = models.PositiveIntegerField()
    unit_cost = MoneyField(null=True)
    ref_type = models.CharField(max_length=32, blank=True)
    ref_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    note = models.CharField(max_length=500, null=True)  # noqa: DJ001
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(delta=0), name="movement_moves_something")
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="movement_newest"),
            models.Index(fields=["product", "-created_at"], name="movement_of_product"),
            models.Index(fields=["item"], name="movement_of_item"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.delta:+d}"
