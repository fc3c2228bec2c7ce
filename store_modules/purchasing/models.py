"""Suppliers, what was ordered from them, and what arrived (domain.md, section 7)."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from storeplatform.kernel.fields import MoneyField, PhoneField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class Supplier(StoreOwned):
    """Whom the store buys from."""

    name = models.CharField(max_length=200)
    phone = PhoneField(null=True)
    email = models.EmailField(null=True)  # noqa: DJ001  # null is none
    contact_name = models.CharField(max_length=200, null=True)  # noqa: DJ001
    address = models.CharField(max_length=500, null=True)  # noqa: DJ001
    tax_number = models.CharField(max_length=50, null=True)  # noqa: DJ001
    notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    is_active = models.BooleanField(default=True)
    search_text = search_text("name", "phone", "email")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Lower("name"),
                name="supplier_name_taken",
                violation_error_code="duplicate_name",
                violation_error_message="Another supplier has this name.",
            )
        ]
        indexes = [
            models.Index(fields=["store", "name", "id"], name="supplier_by_name"),
            search_index("supplier_search"),
        ]

    def __str__(self) -> str:
        return self.name


class PurchaseOrder(StoreOwned):
    """Goods asked of a supplier. `total_amount` is Σ lines − discount + additional fees; what
    arrived so far is worth `received_value`, its share of discount and fees included."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        ORDERED = "ordered"
        PARTIALLY_RECEIVED = "partially_received"
        RECEIVED = "received"
        CANCELLED = "cancelled"
        CLOSED = "closed"

    number = models.CharField(max_length=24)
    supplier = models.ForeignKey(Supplier, on_delete=models.PROTECT, related_name="purchases")
    reference_number = models.CharField(max_length=100, null=True)  # noqa: DJ001
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DRAFT)
    order_date = models.DateField()
    expected_delivery_date = models.DateField(null=True)
    notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    currency_code = models.CharField(max_length=3)
    additional_fees = MoneyField(default=0)
    discount = MoneyField(default=0)
    total_amount = MoneyField(default=0)
    received_value = MoneyField(default=0)
    ordered_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    cancel_reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    closed_at = models.DateTimeField(null=True)
    search_text = search_text("number", "reference_number")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store", "number"], name="purchase_number_once"),
            models.UniqueConstraint(
                fields=["supplier", "reference_number"],
                condition=Q(reference_number__isnull=False),
                name="purchase_reference_taken",
                violation_error_code="duplicate_reference",
                violation_error_message="Another order to this supplier has this reference.",
            ),
            models.CheckConstraint(
                condition=Q(total_amount__gte=0), name="purchase_total_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="purchase_newest"),
            search_index("purchase_search"),
        ]

    def __str__(self) -> str:
        return self.number


OPEN = (
    PurchaseOrder.Status.DRAFT,
    PurchaseOrder.Status.ORDERED,
    PurchaseOrder.Status.PARTIALLY_RECEIVED,
)


class PurchaseItem(models.Model):
    """A line of a purchase order."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    purchase = models.ForeignKey(PurchaseOrder, on_delete=models.CASCADE, related_name="items")
    place = models.PositiveSmallIntegerField()
    product = models.ForeignKey("catalog.Product", on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField()
    received_quantity = models.PositiveIntegerField(default=0)
    unit_cost = MoneyField()
    line_total = MoneyField()
    notes = models.CharField(max_length=500, null=True)  # noqa: DJ001

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["purchase", "product"], name="purchase_product_once"),
            models.CheckConstraint(
                condition=Q(received_quantity__lte=F("quantity")), name="purchase_item_received"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"


class PurchaseReceipt(models.Model):
    """One arrival of goods; append-only. `value` is what they cost, landed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    purchase = models.ForeignKey(PurchaseOrder, on_delete=models.CASCADE, related_name="receipts")
    received_at = models.DateTimeField()
    value = MoneyField()
    lines = models.JSONField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["store", "received_at"], name="receipt_by_day")]

    def __str__(self) -> str:
        return f"{self.purchase_id} {self.value}"


class Attachment(models.Model):
    """A document of a purchase order; `file_name` is displayed, `stored_as` names the file."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    purchase = models.ForeignKey(
        PurchaseOrder, on_delete=models.CASCADE, related_name="attachments"
    )
    file_name = models.CharField(max_length=150)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField()
    stored_as = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["purchase"], name="attachment_of_purchase")]

    def __str__(self) -> str:
        return self.file_name
