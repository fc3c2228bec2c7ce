"""Orders, their lines, payments and history (domain.md, section 6)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from store_modules.orders.status import (
    FulfillmentStatus,
    PaymentStatus,
    RemittanceStatus,
    Status,
)
from store_modules.shipping.models import DeliveryMode
from storeplatform.kernel.fields import MoneyField, PhoneField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class PaymentMethod(models.TextChoices):
    COD = "cod"
    CASH = "cash"
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    WALLET = "wallet"
    PREPAID = "prepaid"


class BookedMethod(models.TextChoices):
    """How money is booked by hand; `prepaid` is booked by placing the order."""

    CASH = "cash"
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    WALLET = "wallet"
    COD = "cod"


class FulfillmentType(models.TextChoices):
    FROM_TO = "from_to"
    WAREHOUSE = "warehouse"


class Channel(models.TextChoices):
    API = "api"
    BULK = "bulk"
    STOREFRONT = "storefront"
    DASHBOARD = "dashboard"
    POS = "pos"
    CHAT = "chat"
    IMPORT = "import"


class Source(models.TextChoices):
    """Where a price or a fee came from."""

    SERVER = "server"
    CLIENT = "client"


OPEN_STATUSES = (Status.PENDING, Status.CONFIRMED, Status.PROCESSING)  # hold reservations


class OrderQuerySet(StoreOwnedQuerySet[Any]):
    def open(self) -> "OrderQuerySet":
        """Neither finished nor given up."""
        return self.exclude(
            status__in=[
                Status.DELIVERED,
                Status.PARTIALLY_DELIVERED,
                Status.RETURNED,
                Status.CANCELLED,
            ]
        )


class Order(StoreOwned):
    """A sale with its frozen prices. Totals are the server's, in `currency_code`."""

    number = models.CharField(max_length=24)
    public_id = models.CharField(max_length=22, unique=True)
    channel = models.CharField(max_length=12, choices=Channel.choices)
    status = models.CharField(max_length=20, choices=Status.choices)
    fulfillment_status = models.CharField(
        max_length=24, choices=FulfillmentStatus.choices, default=FulfillmentStatus.UNASSIGNED
    )
    payment_status = models.CharField(
        max_length=20, choices=PaymentStatus.choices, default=PaymentStatus.UNPAID
    )
    remittance_status = models.CharField(
        max_length=20, choices=RemittanceStatus.choices, default=RemittanceStatus.NOT_APPLICABLE
    )
    payment_method = models.CharField(max_length=16, choices=PaymentMethod.choices)
    fulfillment_type = models.CharField(
        max_length=12, choices=FulfillmentType.choices, default=FulfillmentType.FROM_TO
    )
    delivery_mode = models.CharField(
        max_length=10, choices=DeliveryMode.choices, default=DeliveryMode.STANDARD
    )

    customer = models.ForeignKey(
        "customers.Customer",
        on_delete=models.PROTECT,
        null=True,
        related_name="orders",
        db_index=False,  # order_of_customer begins with it
    )
    customer_name = models.CharField(max_length=200, blank=True)
    customer_phone = PhoneField(null=True)
    customer_secondary_phone = PhoneField(null=True)
    customer_email = models.EmailField(null=True)  # noqa: DJ001  # null is none
    area = models.ForeignKey(
        "geography.Area", on_delete=models.PROTECT, null=True, related_name="+"
    )
    province_code = models.CharField(max_length=10, blank=True)
    province_name = models.CharField(max_length=200, blank=True)
    area_name = models.CharField(max_length=200, blank=True)
    address = models.CharField(max_length=500, null=True)  # noqa: DJ001
    landmark = models.CharField(max_length=200, null=True)  # noqa: DJ001
    delivery_lat = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    delivery_lng = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    pickup = models.JSONField(null=True)

    notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    internal_notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    external_ref = models.CharField(max_length=100, null=True)  # noqa: DJ001
    scheduled_for = models.DateField(null=True)
    metadata = models.JSONField(default=dict)
    tracking_number = models.CharField(max_length=100, null=True)  # noqa: DJ001
    package_size = models.ForeignKey(
        "shipping.PackageSize", on_delete=models.PROTECT, null=True, related_name="+"
    )
    delivery_company_id = models.UUIDField(null=True)
    postponed_until = models.DateField(null=True)
    risk_flags = ArrayField(models.CharField(max_length=32), default=list)
    attempts = models.JSONField(default=list)
    otp_verified = models.BooleanField(default=False)
    otp_verified_at = models.DateTimeField(null=True)
    is_credit_only = models.BooleanField(default=False)

    items_count = models.PositiveSmallIntegerField(default=0)
    units_count = models.PositiveIntegerField(default=0)
    currency_code = models.CharField(max_length=3)
    discount_code = models.CharField(max_length=32, null=True)  # noqa: DJ001
    discounts = models.JSONField(default=list)
    order_discount = MoneyField(default=0)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2, default=0)
    prices_include_tax = models.BooleanField(default=True)
    subtotal = MoneyField(default=0)
    discount_total = MoneyField(default=0)
    delivery_fee = MoneyField(default=0)
    delivery_fee_source = models.CharField(
        max_length=8, choices=Source.choices, default=Source.SERVER
    )
    delivery_fee_payer = models.CharField(max_length=8, default="customer")
    delivery_discount = MoneyField(default=0)
    delivery_cost = MoneyField(default=0)
    tax_total = MoneyField(default=0)
    tax_included = MoneyField(default=0)
    rounding = MoneyField(default=0)
    total = MoneyField(default=0)
    returns_total = MoneyField(default=0)
    amount_paid = MoneyField(default=0)
    amount_refunded = MoneyField(default=0)

    placed_at = models.DateTimeField(db_default=models.functions.Now())
    confirmed_at = models.DateTimeField(null=True)
    processing_at = models.DateTimeField(null=True)
    shipped_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    returned_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    remitted_at = models.DateTimeField(null=True)
    cancel_reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    search_text = search_text(
        "number",
        "external_ref",
        "tracking_number",
        "customer_name",
        "customer_phone",
        "customer_secondary_phone",
    )

    objects: ClassVar[Any] = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store", "number"], name="order_number_once"),
            models.UniqueConstraint(
                fields=["store", "external_ref"],
                condition=Q(external_ref__isnull=False),
                name="order_external_ref_taken",
                violation_error_code="duplicate_external_ref",
                violation_error_message="Another order has this externalRef.",
            ),
            models.CheckConstraint(
                condition=Q(discount_total__gte=0) & Q(discount_total__lte=F("subtotal")),
                name="order_discount_within_subtotal",
            ),
            models.CheckConstraint(condition=Q(total__gte=0), name="order_total_not_negative"),
            models.CheckConstraint(
                condition=Q(amount_refunded__lte=F("amount_paid")),
                name="order_refunds_within_payments",
            ),
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="order_newest"),
            models.Index(fields=["store", "status", "-created_at", "-id"], name="order_by_status"),
            models.Index(fields=["store", "-updated_at", "-id"], name="order_changed"),
            models.Index(fields=["store", "placed_at"], name="order_placed"),
            models.Index(fields=["customer", "placed_at", "id"], name="order_of_customer"),
            models.Index(
                fields=["store", "remitted_at"],
                condition=Q(remitted_at__isnull=False),
                name="order_remitted",
            ),
            models.Index(
                fields=["store", "-delivered_at", "-id"],
                condition=Q(delivered_at__isnull=False),
                name="order_delivered",
            ),
            models.Index(fields=["store", "customer_phone"], name="order_by_phone"),
            search_index("order_search"),
        ]

    def __str__(self) -> str:
        return self.number


class OrderItem(models.Model):
    """A line: what was promised, at which price, and how far it has come.

    `line_total` = `line_subtotal` − `discount_amount`, the order discount's share included.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey(
        "stores.Store", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items")
    place = models.PositiveSmallIntegerField()
    product = models.ForeignKey(
        "catalog.Product", on_delete=models.PROTECT, null=True, related_name="+"
    )
    inventory_item = models.ForeignKey(
        "catalog.InventoryItem", on_delete=models.PROTECT, null=True, related_name="+"
    )
    sku = models.CharField(max_length=64)
    name = models.CharField(max_length=200)
    note = models.CharField(max_length=500, null=True)  # noqa: DJ001
    quantity = models.PositiveIntegerField()
    unit_price = MoneyField()
    price_source = models.CharField(max_length=8, choices=Source.choices, default=Source.SERVER)
    unit_cost = MoneyField(null=True)
    weight_grams = models.PositiveIntegerField(default=0)
    line_subtotal = MoneyField()
    discount_amount = MoneyField(default=0)
    line_total = MoneyField()
    quantity_reserved = models.PositiveIntegerField(default=0)
    quantity_delivered = models.PositiveIntegerField(default=0)
    quantity_returned = models.PositiveIntegerField(default=0)
    quantity_restocked = models.PositiveIntegerField(default=0)
    quantity_damaged = models.PositiveIntegerField(default=0)
    quantity_lost = models.PositiveIntegerField(default=0)
    quantity_credited = models.PositiveIntegerField(default=0)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["order", "place"], name="order_item_place"),
            models.CheckConstraint(
                condition=Q(quantity_delivered__lte=F("quantity"))
                & Q(quantity_returned__lte=F("quantity_delivered"))
                & Q(quantity_reserved__lte=F("quantity")),
                name="order_item_quantities",
            ),
            models.CheckConstraint(
                condition=Q(
                    quantity__gte=F("quantity_restocked")
                    + F("quantity_damaged")
                    + F("quantity_lost")
                    + F("quantity_delivered")
                    - F("quantity_returned")
                ),
                name="order_item_checked_in",
            ),
        ]
        indexes = [
            models.Index(
                fields=["inventory_item"],
                condition=Q(quantity_reserved__gt=0),
                name="order_item_reserving",
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"


class OrderEvent(models.Model):
    """Something that happened to an order; immutable."""

    class Kind(models.TextChoices):
        CREATED = "created"
        STATUS = "status"
        EDITED = "edited"
        PAYMENT = "payment"
        NOTE = "note"
        FULFILLMENT = "fulfillment"
        CHECK_IN = "check_in"
        RETURN = "return"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey(
        "stores.Store", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    from_status = models.CharField(max_length=24, blank=True)
    to_status = models.CharField(max_length=24, blank=True)
    reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    data = models.JSONField(default=dict)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    actor_label = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["order", "id"], name="order_event_of_order")]

    def __str__(self) -> str:
        return f"{self.kind} {self.to_status}"


class OrderPayment(models.Model):
    """Money that came in or went back; append-only."""

    class Kind(models.TextChoices):
        PAYMENT = "payment"
        REFUND = "refund"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="payments")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    method = models.CharField(max_length=16, choices=PaymentMethod.choices)
    amount = MoneyField()
    reference = models.CharField(max_length=100, null=True)  # noqa: DJ001
    reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="payment_above_zero")]
        indexes = [
            models.Index(fields=["order", "id"], name="payment_of_order"),
            models.Index(fields=["store", "at"], name="payment_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class CheckIn(models.Model):
    """Goods of a line that came back, or never will; append-only. `value` is their net worth;
    `from_customer` tells what a customer had from what was never delivered."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="check_ins")
    item = models.ForeignKey(OrderItem, on_delete=models.CASCADE, related_name="check_ins")
    restock = models.PositiveIntegerField(default=0)
    damaged = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)
    value = MoneyField()
    from_customer = models.BooleanField(default=False)
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["store", "at"], name="check_in_by_day"),
            models.Index(fields=["order"], name="check_in_of_order"),
        ]

    def __str__(self) -> str:
        return f"{self.item_id} {self.restock}/{self.damaged}/{self.lost}"


class ReturnRequest(StoreOwned):
    """A customer wants to give goods back; one open request an order."""

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        RECEIVED = "received"
        COMPLETED = "completed"
        REJECTED = "rejected"
        CANCELLED = "cancelled"

    number = models.CharField(max_length=24)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="return_requests")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(max_length=40, null=True)  # noqa: DJ001  # null is none
    note = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    credit = MoneyField(default=0)
    approved_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(status__in=["pending", "approved", "received"]),
                name="return_request_one_open",
                violation_error_code="return_request_open",
                violation_error_message="This order has an open return request.",
            )
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="return_request_newest")
        ]

    def __str__(self) -> str:
        return self.number


class ReturnLine(models.Model):
    """How many units of an order's line a request is about, and how many of them came back."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    request = models.ForeignKey(ReturnRequest, on_delete=models.CASCADE, related_name="lines")
    item = models.ForeignKey(OrderItem, on_delete=models.CASCADE, related_name="+")
    quantity = models.PositiveIntegerField()
    received = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "item"], name="return_line_once"),
            models.CheckConstraint(
                condition=Q(received__lte=F("quantity")), name="return_line_received"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.item_id}"
