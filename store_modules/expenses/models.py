"""Money that the store spends (domain.md, section 10)."""

from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned

CATEGORIES = (
    "rent", "salaries", "utilities", "marketing", "delivery", "packaging", "supplies",
    "maintenance", "taxes", "fees", "other",
)  # fmt: skip


class PaymentMethod(models.TextChoices):
    CASH = "cash"
    BANK_TRANSFER = "bank_transfer"
    CARD = "card"
    WALLET = "wallet"
    OTHER = "other"


class Expense(StoreOwned):
    """One payment. `category` is one of ours or the store's own slug; `date` is the store's."""

    amount = MoneyField()
    category = models.CharField(max_length=40)
    date = models.DateField()
    description = models.TextField(max_length=2000, null=True)  # noqa: DJ001  # null is none
    payment_method = models.CharField(
        max_length=16, choices=PaymentMethod.choices, default=PaymentMethod.CASH
    )
    supplier = models.ForeignKey(
        "purchasing.Supplier", on_delete=models.PROTECT, null=True, related_name="+"
    )
    cashier_session = models.ForeignKey(
        "cashier.CashierSession", on_delete=models.PROTECT, null=True, related_name="+"
    )
    attachment = models.ForeignKey(  # the bill, kept with a purchase order
        "purchasing.Attachment", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    client_ref = models.CharField(max_length=100, null=True)  # noqa: DJ001
    currency_code = models.CharField(max_length=3)
    search_text = search_text("description", "category")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="expense_above_zero"),
            models.UniqueConstraint(
                fields=["store", "client_ref"],
                condition=Q(client_ref__isnull=False),
                name="expense_client_ref_taken",
                violation_error_code="duplicate_client_ref",
                violation_error_message="Another expense has this clientRef.",
            ),
        ]
        indexes = [
            models.Index(fields=["store", "-date", "-id"], name="expense_by_day"),
            search_index("expense_search"),
        ]

    def __str__(self) -> str:
        return f"{self.category} {self.amount}"
