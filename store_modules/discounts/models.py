"""Automatic discounts and discount codes (domain.md, section 8)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class Type(models.TextChoices):
    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixed_amount"
    FREE_SHIPPING = "free_shipping"


class Scope(models.TextChoices):
    ORDER = "order"
    PRODUCTS = "products"
    CATEGORIES = "categories"
    SHIPPING = "shipping"


class Eligibility(models.TextChoices):
    EVERYONE = "everyone"
    FIRST_ORDER = "first_order"
    TAG = "tag"


class OfferQuerySet(StoreOwnedQuerySet[Any]):
    def live(self) -> "OfferQuerySet":
        return self.filter(deleted_at=None)


class Offer(StoreOwned):
    """What rules and codes have in common. `value` is a percentage or an amount; `scope_ids` are
    products or categories."""

    name = models.CharField(max_length=200)
    type = models.CharField(max_length=16, choices=Type.choices)
    value = MoneyField(null=True)
    scope = models.CharField(max_length=12, choices=Scope.choices, default=Scope.ORDER)
    scope_ids = ArrayField(models.UUIDField(), default=list)
    min_order_value = MoneyField(null=True)
    min_quantity = models.PositiveIntegerField(null=True)
    max_discount_amount = MoneyField(null=True)
    starts_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    is_active = models.BooleanField(default=True)
    channels = ArrayField(models.CharField(max_length=12), default=list)
    customer_eligibility = models.CharField(
        max_length=12, choices=Eligibility.choices, default=Eligibility.EVERYONE
    )
    customer_tag = models.CharField(max_length=50, null=True)  # noqa: DJ001  # null is none
    usage_limit = models.PositiveIntegerField(null=True)
    usage_limit_per_customer = models.PositiveIntegerField(null=True)
    used_count = models.PositiveIntegerField(default=0)
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = OfferQuerySet.as_manager()

    class Meta:
        abstract = True


class DiscountRule(Offer):
    """Applies by itself wherever its conditions hold; the lowest `priority` first."""

    priority = models.IntegerField(default=100)
    stackable = models.BooleanField(default=False)
    combines_with_codes = models.BooleanField(default=True)
    search_text = search_text("name")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(usage_limit=None) | Q(used_count__lte=F("usage_limit")),
                name="discount_rule_within_limit",
            )
        ]
        indexes = [
            models.Index(
                fields=["store", "priority"],
                condition=Q(is_active=True, deleted_at=None),
                name="discount_rule_active",
            ),
            search_index("discount_rule_search"),
        ]

    def __str__(self) -> str:
        return self.name


class DiscountCode(Offer):
    """Applies where the customer names it."""

    code = models.CharField(max_length=32)
    search_text = search_text("name", "code")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "code"],
                condition=Q(deleted_at=None),
                name="discount_code_taken",
                violation_error_code="duplicate_code",
                violation_error_message="Another discount has this code.",
            ),
            models.CheckConstraint(
                condition=Q(usage_limit=None) | Q(used_count__lte=F("usage_limit")),
                name="discount_code_within_limit",
            ),
        ]
        indexes = [search_index("discount_code_search")]

    def __str__(self) -> str:
        return self.code


class Redemption(models.Model):
    """One use of a rule or code by an order."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    rule = models.ForeignKey(
        DiscountRule, on_delete=models.CASCADE, null=True, related_name="redemptions"
    )
    code = models.ForeignKey(
        DiscountCode, on_delete=models.CASCADE, null=True, related_name="redemptions"
    )
    order_id = models.UUIDField()
    phone = models.CharField(max_length=16, null=True)  # noqa: DJ001  # a till sale has none
    amount = MoneyField()
    created_at = models.DateTimeField(db_default=models.functions.Now())

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order_id", "rule"], condition=Q(rule__isnull=False), name="rule_once"
            ),
            models.UniqueConstraint(
                fields=["order_id", "code"], condition=Q(code__isnull=False), name="code_once"
            ),
            models.CheckConstraint(
                condition=Q(rule__isnull=True) ^ Q(code__isnull=True), name="redemption_of_one"
            ),
        ]
        indexes = [
            models.Index(fields=["rule", "phone"], name="redemption_of_rule"),
            models.Index(fields=["code", "phone"], name="redemption_of_code"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.amount}"
