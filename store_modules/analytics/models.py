"""Figures by day, kept in the transaction of each order's change (domain.md, section 12).

Every order adds rows here and takes them out, negated, before it changes; a figure is a sum over
rows. A job sums a day's rows up now and then, which changes no figure.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.tenancy import StoreOwnedQuerySet

# Of a day's amounts, each of which may be the largest that there is.
SUM = {"max_digits": 30, "db_default": 0}


class Figure(models.Model):
    """What the tables have in common. `day` is the store's; `basis` says what happened on it:
    orders were placed, goods came back, goods were delivered, money moved."""

    class Basis(models.TextChoices):
        PLACED = "placed"
        RETURNED = "returned"
        DELIVERED = "delivered"
        PAID = "paid"

    id = models.BigAutoField(primary_key=True)
    store = models.ForeignKey(
        "stores.Store", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    day = models.DateField()
    is_sum = models.BooleanField(db_default=False)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        abstract = True


class DayFigure(Figure):
    """An order's part in a day."""

    basis = models.CharField(max_length=10, choices=Figure.Basis.choices)
    status = models.CharField(max_length=20, db_default="")
    channel = models.CharField(max_length=12, db_default="")
    province_code = models.CharField(max_length=10, db_default="")
    payment_method = models.CharField(max_length=16, db_default="")
    orders = models.IntegerField(db_default=0)
    cancelled = models.IntegerField(db_default=0)
    confirmed = models.IntegerField(db_default=0)
    delivered_orders = models.IntegerField(db_default=0)
    refused_orders = models.IntegerField(db_default=0)
    units = models.BigIntegerField(db_default=0)
    gross = MoneyField(**SUM)
    discounts = MoneyField(**SUM)
    returns = MoneyField(**SUM)
    returned_units = models.BigIntegerField(db_default=0)
    delivery = MoneyField(**SUM)
    delivery_cost = MoneyField(**SUM)
    tax = MoneyField(**SUM)
    rounding = MoneyField(**SUM)
    delivered_net = MoneyField(**SUM)
    cogs = MoneyField(**SUM)
    lines_without_cost = models.IntegerField(db_default=0)
    refunds = MoneyField(**SUM)
    cash_collected = MoneyField(**SUM)
    cash_remitted = MoneyField(**SUM)
    cash_with_courier = MoneyField(**SUM)

    class Meta:
        indexes = [
            models.Index(fields=["store", "day"], name="day_figures"),
            models.Index(
                fields=["store", "day"], condition=Q(is_sum=False), name="day_figures_fresh"
            ),
            models.Index(
                fields=["store", "day"],
                include=["cash_with_courier"],
                condition=Q(basis="paid"),
                name="day_figures_of_cash",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.basis}"


class ProductFigure(Figure):
    """A product's part in a day; products outside the catalogue go by their SKU."""

    product_id = models.UUIDField(null=True)
    sku = models.CharField(max_length=64)
    units = models.BigIntegerField(db_default=0)
    net = MoneyField(**SUM)
    cogs = MoneyField(**SUM)
    returned_units = models.BigIntegerField(db_default=0)
    returned_net = MoneyField(**SUM)
    lines_without_cost = models.IntegerField(db_default=0)

    class Meta:
        indexes = [
            models.Index(fields=["store", "day"], name="product_figures"),
            models.Index(
                fields=["store", "day"], condition=Q(is_sum=False), name="product_figures_fresh"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.sku}"


class CustomerFigure(Figure):
    """A customer's part in a day; `firsts` is 1 where the first order ever was placed."""

    customer_id = models.UUIDField()
    province_code = models.CharField(max_length=10, db_default="")
    orders = models.IntegerField(db_default=0)
    net = MoneyField(**SUM)
    firsts = models.IntegerField(db_default=0)

    class Meta:
        indexes = [
            models.Index(fields=["store", "day"], name="customer_figures"),
            models.Index(
                fields=["store", "day"], condition=Q(is_sum=False), name="customer_figures_fresh"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.customer_id}"
