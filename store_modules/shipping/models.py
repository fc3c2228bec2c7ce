"""What delivery costs, and the parcels it goes in (domain.md, section 9)."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class DeliveryMode(models.TextChoices):
    STANDARD = "standard"
    EXPRESS = "express"


class PackageSizeQuerySet(StoreOwnedQuerySet[Any]):
    def live(self) -> "PackageSizeQuerySet":
        return self.filter(deleted_at=None)


class PackageSize(StoreOwned):
    """A box. Its dimensions give the volumetric weight; `extra_fee` is added to the delivery."""

    name = models.CharField(max_length=100)
    length_cm = models.DecimalField(max_digits=7, decimal_places=2, null=True)
    width_cm = models.DecimalField(max_digits=7, decimal_places=2, null=True)
    height_cm = models.DecimalField(max_digits=7, decimal_places=2, null=True)
    max_weight_grams = models.PositiveIntegerField(null=True)
    extra_fee = MoneyField(default=0)
    is_active = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = PackageSizeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                Lower("name"),
                condition=Q(deleted_at=None),
                name="package_size_name_taken",
                violation_error_code="duplicate_name",
                violation_error_message="Another package size has this name.",
            ),
            models.UniqueConstraint(
                fields=["store"],
                condition=Q(is_default=True, deleted_at=None),
                name="package_size_one_default",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ShippingRule(StoreOwned):
    """A delivery fee with the conditions under which it holds; an empty condition always holds.
    Ranges include their lower end and leave out the upper one."""

    name = models.CharField(max_length=100)
    province = models.ForeignKey(
        "geography.Province", on_delete=models.PROTECT, null=True, related_name="+"
    )
    area = models.ForeignKey(
        "geography.Area", on_delete=models.PROTECT, null=True, related_name="+"
    )
    min_weight_grams = models.PositiveIntegerField(null=True)
    max_weight_grams = models.PositiveIntegerField(null=True)
    min_order_value = MoneyField(null=True)
    max_order_value = MoneyField(null=True)
    delivery_company_id = models.UUIDField(null=True)
    delivery_mode = models.CharField(  # noqa: DJ001  # null is any
        max_length=10, choices=DeliveryMode.choices, null=True
    )
    package_size = models.ForeignKey(
        PackageSize, on_delete=models.PROTECT, null=True, related_name="+"
    )
    base_fee = MoneyField()
    included_weight_grams = models.PositiveIntegerField(default=0)
    fee_per_extra_kg = MoneyField(default=0)
    free_above_order_value = MoneyField(null=True)
    estimated_days_min = models.PositiveSmallIntegerField(null=True)
    estimated_days_max = models.PositiveSmallIntegerField(null=True)
    priority = models.IntegerField(default=100)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                F("province"),
                F("area"),
                F("min_weight_grams"),
                F("max_weight_grams"),
                F("min_order_value"),
                F("max_order_value"),
                F("delivery_company_id"),
                F("delivery_mode"),
                F("package_size"),
                name="shipping_rule_twice",
                nulls_distinct=False,
                violation_error_code="duplicate_rule",
                violation_error_message="Another rule has exactly these conditions.",
            ),
        ]
        indexes = [models.Index(fields=["store", "priority", "id"], name="shipping_by_priority")]

    def __str__(self) -> str:
        return self.name


CONDITIONS = (
    "province", "area", "min_weight_grams", "max_weight_grams", "min_order_value",
    "max_order_value", "delivery_company_id", "delivery_mode", "package_size",
)  # fmt: skip
