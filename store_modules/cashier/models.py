"""The till: drawers and their sessions, sales, pinned products (domain.md, section 11)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet

MAIN = "main"


def main_register() -> list[dict[str, str]]:
    return [{"code": MAIN, "name": "Main"}]


class CashierSettings(StoreOwned):
    """How a store's tills work; one row a store, made when it is first asked for."""

    require_opening_float = models.BooleanField(default=True)
    blind_close = models.BooleanField(default=False)
    max_discount_percent = models.DecimalField(max_digits=5, decimal_places=2, default=100)
    allow_negative_margin = models.BooleanField(default=True)
    receipt_template_id = models.UUIDField(null=True)
    default_customer = models.ForeignKey(
        "customers.Customer", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    cash_rounding = MoneyField(null=True)  # none: the store's
    variance_reason_above = MoneyField(null=True)
    registers = models.JSONField(default=main_register)
    denominations = ArrayField(MoneyField(), default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store"], name="cashier_settings_once")]

    def __str__(self) -> str:
        return f"till of {self.store_id}"


class CashierSession(StoreOwned):
    """One drawer, from the cash put in to the cash counted out; amounts in the store's currency."""

    number = models.CharField(max_length=24)
    register_code = models.CharField(max_length=32, default=MAIN)
    opened_by = models.ForeignKey("stores.User", on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    opening_float = MoneyField()
    expected_opening = MoneyField(null=True)
    closed_by = models.ForeignKey(
        "stores.User", on_delete=models.PROTECT, null=True, related_name="+"
    )
    closed_at = models.DateTimeField(null=True)
    counted_cash = MoneyField(null=True)
    denominations = models.JSONField(null=True)
    left_in_drawer = MoneyField(null=True)
    # Sales are not held to what an amount may be, so together they may be more.
    expected_cash = MoneyField(null=True, max_digits=30)
    variance = MoneyField(null=True, max_digits=30)
    variance_reason = models.CharField(max_length=500, null=True)  # noqa: DJ001  # null is none
    notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "register_code"],
                condition=Q(closed_at=None),
                name="cashier_one_session_a_register",
                violation_error_code="session_already_open",
                violation_error_message="This register has an open session already.",
            ),
            models.UniqueConstraint(
                fields=["store", "opened_by"],
                condition=Q(closed_at=None),
                name="cashier_one_session_a_person",
                violation_error_code="session_already_open",
                violation_error_message="You have an open session already.",
            ),
        ]
        indexes = [models.Index(fields=["store", "-opened_at", "-id"], name="session_newest")]

    def __str__(self) -> str:
        return self.number


class DrawerEntry(models.Model):
    """Money that moved in a session; append-only, never negative. Only cash is in the drawer."""

    class Kind(models.TextChoices):
        SALE = "sale"
        REFUND = "refund"
        PAY_IN = "pay_in"
        PAY_OUT = "pay_out"

    class Method(models.TextChoices):
        CASH = "cash"
        CARD = "card"
        BANK_TRANSFER = "bank_transfer"
        WALLET = "wallet"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(CashierSession, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    method = models.CharField(max_length=16, choices=Method.choices, default=Method.CASH)
    amount = MoneyField()
    reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    order_id = models.UUIDField(null=True)
    expense_id = models.UUIDField(null=True)
    actor_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="drawer_entry_above_zero")
        ]
        indexes = [models.Index(fields=["session", "id"], name="drawer_of_session")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class Sale(models.Model):
    """What makes an order a sale of the till. `client_sale_id` is the device's own."""

    order = models.OneToOneField(
        "orders.Order", on_delete=models.CASCADE, primary_key=True, related_name="sale"
    )
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(CashierSession, on_delete=models.PROTECT, related_name="sales")
    client_sale_id = models.UUIDField()
    payments = models.JSONField()
    change = MoneyField(default=0)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["store", "client_sale_id"], name="sale_once")
        ]
        indexes = [models.Index(fields=["session"], name="sale_of_session")]

    def __str__(self) -> str:
        return str(self.client_sale_id)


class SaleRefund(models.Model):
    """Goods and money that went back over the counter; append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    sale = models.ForeignKey(Sale, on_delete=models.CASCADE, related_name="refunds")
    session = models.ForeignKey(CashierSession, on_delete=models.PROTECT, related_name="refunds")
    method = models.CharField(max_length=16)
    amount = MoneyField()
    restock = models.BooleanField()
    lines = models.JSONField()
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["sale"], name="refund_of_sale"),
            models.Index(fields=["session"], name="refund_of_session"),
        ]

    def __str__(self) -> str:
        return f"{self.sale_id} {self.amount}"


class PinnedItem(models.Model):
    """A product on the till's first screen; positions run from 0."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    product = models.ForeignKey("catalog.Product", on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["store", "product"],
                name="pinned_once",
                violation_error_code="already_pinned",
                violation_error_message="This product is pinned already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.product_id}"
