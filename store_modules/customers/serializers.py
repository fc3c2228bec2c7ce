"""Customers on the wire."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, DecimalField, F, OuterRef, Value, When
from django.db.models import TextField as ModelText
from django.db.models.functions import Cast, Round
from rest_framework import serializers

from store_modules.customers.models import Customer, CustomerAddress
from storeplatform.kernel.serializers import (
    Body,
    Computed,
    Phone,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.serializers import DecimalField as WireDecimal
from storeplatform.kernel.sql import JSONObject, json_pairs
from storeplatform.kernel.tenancy import StoreFacts


class AddressBody(Body):
    snake_case = ("delivery_lat", "delivery_lng")
    aliases = {"deliveryLat": "delivery_lat", "deliveryLng": "delivery_lng"}

    label = TextField(  # type: ignore[assignment]  # a Field has a label of its own
        max_length=100, required=False, default="", allow_blank=True
    )
    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.UUIDField()
    address = TextField(max_length=500, required=False, allow_null=True, default=None)
    landmark = TextField(max_length=200, required=False, allow_null=True, default=None)
    delivery_lat = WireDecimal(
        max_digits=10, decimal_places=7, min_value=-90, max_value=90, required=False,
        allow_null=True, default=None,
    )  # fmt: skip
    delivery_lng = WireDecimal(
        max_digits=10, decimal_places=7, min_value=-180, max_value=180, required=False,
        allow_null=True, default=None,
    )  # fmt: skip
    is_default = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["delivery_lat"] is None) != (attrs["delivery_lng"] is None):
            raise serializers.ValidationError({"delivery_lat": ["Give both or neither."]})
        return attrs


def address_rows(_: StoreFacts) -> Any:
    members = {
        "id": F("id"),
        "label": F("label"),
        "addressProvinceCode": F("area__province_id"),
        "addressAreaId": F("area_id"),
        "areaName": F("area__name"),
        "address": F("address"),
        "landmark": F("landmark"),
        "delivery_lat": F("delivery_lat"),
        "delivery_lng": F("delivery_lng"),
        "isDefault": F("is_default"),
    }
    rows = CustomerAddress.objects.filter(customer=OuterRef("pk")).order_by("-is_default", "id")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


def refusal_rate(_: StoreFacts) -> Any:
    """Refused of all that had an outcome, four places; null before the first."""
    outcomes = F("delivered_count") + F("refused_count")
    rate = Round(
        Cast(F("refused_count"), DecimalField(max_digits=12, decimal_places=4))
        / Cast(outcomes, DecimalField(max_digits=12, decimal_places=4)),
        precision=4,
    )
    return Case(
        When(delivered_count=0, refused_count=0, then=Value(None)),
        default=Cast(rate, ModelText()),
        output_field=ModelText(),
    )


class CustomerSerializer(WireSerializer[Customer]):
    primary_phone = Phone(mobile=True)
    tags = serializers.ListField(child=TextField(max_length=50), required=False, max_length=20)
    addresses = AddressBody(many=True, required=False, write_only=True)
    refusal_rate = Computed(refusal_rate, serializers.CharField(allow_null=True))

    class Meta:
        model = Customer
        fields = [
            "id",
            "name",
            "primary_phone",
            "secondary_phone",
            "email",
            "addresses",
            "tags",
            "notes",
            "is_blocked",
            "blocked_reason",
            "currency_code",
            "orders_count",
            "delivered_count",
            "returned_count",
            "refusal_rate",
            "total_spent",
            "first_order_at",
            "last_order_at",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "currency_code",
            "orders_count",
            "delivered_count",
            "returned_count",
            "total_spent",
            "first_order_at",
            "last_order_at",
            "version",
        ]

    def wire_members(self) -> dict[str, Any]:
        return super().wire_members() | {"addresses": address_rows(self.context["store"])}


class MergeBody(Body):
    into_customer_id = serializers.UUIDField()
