"""Shipping rules and package sizes on the wire."""

from decimal import Decimal
from typing import Any

from django.db.models import F
from rest_framework import serializers

from store_modules.shipping.models import DeliveryMode, PackageSize, ShippingRule
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    DecimalField,
    IntField,
    Money,
    StoreRelatedField,
    TextField,
    WireSerializer,
)


def centimetres() -> DecimalField:
    return DecimalField(
        max_digits=7, decimal_places=2, min_value=Decimal("0.01"), required=False, allow_null=True
    )


class PackageSizeSerializer(WireSerializer[PackageSize]):
    length_cm = centimetres()
    width_cm = centimetres()
    height_cm = centimetres()

    class Meta:
        model = PackageSize
        fields = [
            "id", "name", "length_cm", "width_cm", "height_cm", "max_weight_grams", "extra_fee",
            "is_active", "is_default", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]


class ShippingRuleSerializer(WireSerializer[ShippingRule]):
    province_code = serializers.CharField(
        max_length=10, write_only=True, required=False, allow_null=True
    )
    area_id = serializers.UUIDField(write_only=True, required=False, allow_null=True)
    package_size = StoreRelatedField(
        queryset=PackageSize.objects.live(), required=False, allow_null=True
    )
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True)

    class Meta:
        model = ShippingRule
        fields = [
            "id", "name", "province_code", "area_id", "min_weight_grams", "max_weight_grams",
            "min_order_value", "max_order_value", "delivery_company_id", "delivery_mode",
            "package_size", "base_fee", "included_weight_grams", "fee_per_extra_kg",
            "free_above_order_value", "estimated_days_min", "estimated_days_max", "priority",
            "is_active", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]

    def wire_members(self) -> dict[str, Any]:
        members = super().wire_members()
        return {
            "id": members.pop("id"),
            "name": members.pop("name"),
            "provinceCode": F("province_id"),
            "areaId": F("area_id"),
            **members,
        }


class Overlap(Body):
    rule_id = serializers.UUIDField()
    message = TextField()


class SavedRule(ShippingRuleSerializer):
    """A saved rule tells which others overlap with it."""

    warnings = Computed(lambda _: F("id"), Overlap(many=True))

    class Meta(ShippingRuleSerializer.Meta):
        fields = [*ShippingRuleSerializer.Meta.fields, "warnings"]


class DeliveryQuoteBody(Body):
    """A delivery to price."""

    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.UUIDField()
    weight_grams = IntField(min_value=0, max_value=10_000_000, default=0)
    order_value = Money(required=False, default=0)
    delivery_mode = Choice(choices=DeliveryMode.choices, default=DeliveryMode.STANDARD)
    package_size_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True, default=None)


class MatchedRule(Body):
    id = serializers.UUIDField()
    name = TextField()
    specificity = IntField()
    priority = IntField()
    fee = Money()


class RejectedRule(Body):
    id = serializers.UUIDField()
    name = TextField()
    reason = TextField()


class DeliveryQuote(Body):
    fee = Money()
    base_fee = Money()
    package_fee = Money()
    source = Choice(choices=["rule", "default"])  # type: ignore[assignment]  # a Field has a source
    rule_id = serializers.UUIDField(allow_null=True)
    chargeable_weight_grams = IntField()
    estimated_days_min = IntField(allow_null=True)
    estimated_days_max = IntField(allow_null=True)
    matched = MatchedRule(many=True)
    rejected = RejectedRule(many=True)
