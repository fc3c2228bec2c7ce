"""Discount rules and codes on the wire."""

import re
from typing import Any

from django.db.models import F, Func
from django.db.models import TextField as ModelText
from django.db.models.functions import Cast
from rest_framework import serializers

from store_modules.discounts.models import DiscountCode, DiscountRule
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    DecimalField,
    IntField,
    Money,
    TextField,
    WireSerializer,
)

CODE = re.compile(r"[A-Z0-9_-]{3,32}")
CHANNELS = ("api", "bulk", "storefront", "dashboard", "pos", "chat")
MAX_SCOPE = 500


class Code(serializers.CharField):
    """3 to 32 of letters, digits, `_` and `-`, upper-cased."""

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data).strip().upper()
        if not CODE.fullmatch(code):
            raise serializers.ValidationError("3 to 32 letters, digits, _ or -.", code="invalid")
        return code


OFFER_ALIASES = {
    "discountType": "type",
    "discountValue": "value",
    "maxUses": "usageLimit",
    "perUserLimit": "usageLimitPerCustomer",
}
OFFER_FIELDS = [
    "name", "type", "value", "scope", "scope_ids", "min_order_value", "min_quantity",
    "max_discount_amount", "starts_at", "expires_at", "is_active", "channels",
    "customer_eligibility", "customer_tag", "usage_limit", "usage_limit_per_customer",
    "used_count",
]  # fmt: skip
READ_ONLY = ["used_count", "version"]


class OfferSerializer(WireSerializer[Any]):
    aliases = OFFER_ALIASES

    value = DecimalField(  # a percentage or an amount, as the type says
        max_digits=18, decimal_places=4, required=False, allow_null=True
    )
    scope_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=MAX_SCOPE
    )
    channels = serializers.ListField(
        child=Choice(choices=CHANNELS), required=False, max_length=len(CHANNELS)
    )
    usage_limit = IntField(min_value=1, max_value=2**31 - 1, required=False, allow_null=True)
    usage_limit_per_customer = IntField(
        min_value=1, max_value=2**31 - 1, required=False, allow_null=True
    )

    def wire_members(self) -> dict[str, Any]:
        members = super().wire_members()
        members["value"] = trimmed("value")
        return members


def trimmed(path: str) -> Any:
    """A decimal as text without trailing zeros: 12.5, 5000."""
    return Cast(Func(F(path), function="trim_scale"), ModelText())


class RuleSerializer(OfferSerializer):
    class Meta:
        model = DiscountRule
        fields = [
            "id", *OFFER_FIELDS, "priority", "stackable", "combines_with_codes", "version",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = READ_ONLY


class CodeSerializer(OfferSerializer):
    code = Code()
    name = TextField(max_length=200, required=False)

    class Meta:
        model = DiscountCode
        fields = ["id", "code", *OFFER_FIELDS, "version", "created_at", "updated_at"]
        read_only_fields = READ_ONLY


class Validation(Body):
    """Whether a code would apply to an order of a value, and what it would take off."""

    valid = serializers.BooleanField()
    code = TextField()
    discount_amount = Money()
    type = TextField(allow_null=True)
    value = TextField(allow_null=True)
    reason = TextField(allow_null=True)
