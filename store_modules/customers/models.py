"""The people who buy from a store (domain.md, section 5)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import MoneyField, PhoneField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class CustomerQuerySet(StoreOwnedQuerySet[Any]):
    def live(self) -> "CustomerQuerySet":
        return self.filter(deleted_at=None)


class Customer(StoreOwned):
    """A person who buys. The counters follow the orders; money is delivered net."""

    name = models.CharField(max_length=200)
    primary_phone = PhoneField(mobile=True, null=True)  # null once anonymised
    secondary_phone = PhoneField(null=True)
    email = models.EmailField(null=True)  # noqa: DJ001  # null clears it
    tags = ArrayField(models.CharField(max_length=50), default=list)
    notes = models.TextField(max_length=2000, null=True)  # noqa: DJ001
    is_blocked = models.BooleanField(default=False)
    blocked_reason = models.CharField(max_length=500, null=True)  # noqa: DJ001
    currency_code = models.CharField(max_length=3)
    orders_count = models.PositiveIntegerField(default=0)
    delivered_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)
    returned_count = models.PositiveIntegerField(default=0)
    total_spent = MoneyField(default=0)
    first_order_at = models.DateTimeField(null=True)
    last_order_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    search_text = search_text("name", "primary_phone", "secondary_phone", "email")

    objects: ClassVar[Any] = CustomerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "primary_phone"],
                condition=Q(deleted_at=None),
                name="customer_phone_taken",
                violation_error_code="duplicate_phone",
                violation_error_message="Another customer has this phone.",
            )
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="customer_newest"),
            models.Index(fields=["store", "name", "id"], name="customer_by_name"),
            models.Index(fields=["store", "-last_order_at", "-id"], name="customer_last_order"),
            GinIndex(fields=["tags"], name="customer_tags"),
            search_index("customer_search"),
        ]

    def __str__(self) -> str:
        return self.name


class CustomerAddress(models.Model):
    """Where a customer takes parcels; at most one is the default."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="addresses")
    label = models.CharField(max_length=100, blank=True)
    area = models.ForeignKey("geography.Area", on_delete=models.PROTECT, related_name="+")
    address = models.CharField(max_length=500, null=True)  # noqa: DJ001
    landmark = models.CharField(max_length=200, null=True)  # noqa: DJ001
    delivery_lat = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    delivery_lng = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    is_default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"],
                condition=Q(is_default=True),
                name="customer_one_default_address",
                violation_error_code="two_default_addresses",
                violation_error_message="One address is the default.",
            )
        ]

    def __str__(self) -> str:
        return self.label or str(self.id)
