"""Orders on the wire (domain.md, 6.1)."""

import re
from collections.abc import Mapping
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, F, Func, OuterRef, Value, When
from django.db.models import DecimalField as ModelDecimal
from django.db.models import JSONField as ModelJSON
from django.db.models.functions import Greatest
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from store_modules.catalog.skus import repeated_skus
from store_modules.orders.models import (
    BookedMethod,
    FulfillmentType,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
    ReturnLine,
    ReturnRequest,
)
from store_modules.orders.status import FulfillmentStatus, Reason, Status
from store_modules.shipping.models import DeliveryMode
from store_modules.stores.models import FeePayer
from storeplatform.kernel.money import minor_units
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    DecimalField,
    IntField,
    Moment,
    Money,
    PastMoment,
    Phone,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.sql import JSONObject, json_pairs, money_text
from storeplatform.kernel.tenancy import StoreFacts

MAX_ITEMS = 100
MAX_QUANTITY = 10_000
LETTERS_ONLY = re.compile(r"[^a-z]")


class PaymentMethodField(Choice):
    """`cod`, also as `cash_on_delivery` or `CashOnDelivery`, and the others in any letter case."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and LETTERS_ONLY.sub("", data.lower()) == "cashondelivery":
            return PaymentMethod.COD
        return super().to_internal_value(data)


class CustomerBody(Body):
    name = TextField(max_length=200)
    primary_phone = Phone(mobile=True)
    secondary_phone = Phone(required=False, allow_null=True, default=None)
    email = serializers.EmailField(max_length=254, required=False, allow_null=True, default=None)


class CustomerShown(Body):
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    primary_phone = Phone(allow_null=True)
    secondary_phone = Phone(allow_null=True)
    email = serializers.CharField(allow_null=True)


class ItemBody(Body):
    example = {"sku": "SHIRT-M", "quantity": 2}

    aliases = {"storeProductId": "productId"}

    sku = TextField(max_length=64, required=False, allow_null=True, default=None)
    product_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    quantity = IntField(min_value=1, max_value=MAX_QUANTITY)
    unit_price = Money(required=False, allow_null=True, default=None)
    name = TextField(max_length=200, required=False, allow_null=True, default=None)
    note = TextField(max_length=500, required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["sku"] is None) == (attrs["product_id"] is None):
            raise serializers.ValidationError({"sku": ["Name the product by sku or productId."]})
        return attrs


class PickupBody(Body):
    name = TextField(max_length=200)
    phone = serializers.CharField(max_length=40)
    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.CharField(max_length=36)
    address = TextField(max_length=500, required=False, allow_null=True)


def coordinate(limit: int) -> DecimalField:
    return DecimalField(
        max_digits=10, decimal_places=7, min_value=-limit, max_value=limit,
        required=False, allow_null=True, default=None,
    )  # fmt: skip


COORDINATE = serializers.FloatField(allow_null=True)


class Metadata(serializers.DictField):
    """At most twenty pairs of short texts."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if len(values) > 20 or any(len(str(name)) > 64 for name in values):
            raise serializers.ValidationError("At most 20 members with names up to 64 characters.")
        return values


ORDER_ALIASES = {
    "paymentMethod": "payment_method",
    "deliveryLat": "delivery_lat",
    "deliveryLng": "delivery_lng",
    "customerName": "customer.name",
    "customerPhone": "customer.primaryPhone",
    "customerAddress": "address",
}


class OneLineAnSku:
    """Mixed into bodies with `items`: repeated SKUs are told with whatever else is wrong."""

    def to_internal_value(self, data: Any) -> Any:
        repeated = repeated_in(data)
        try:
            values = super().to_internal_value(data)  # type: ignore[misc]  # of the serializer
        except serializers.ValidationError as error:
            if repeated and isinstance(error.detail, dict):
                error.detail["skus"] = [ErrorDetail(sku, code="duplicate_skus") for sku in repeated]
            raise
        if repeated:
            raise serializers.ValidationError({"skus": repeated}, code="duplicate_skus")
        return values


def repeated_in(data: Any) -> list[str]:
    """The SKUs that stand in several lines of a body, as they came."""
    items = data.get("items") if isinstance(data, Mapping) else None
    rows = items if isinstance(items, list) else []
    skus = [row.get("sku") for row in rows if isinstance(row, Mapping)]
    return repeated_skus(sku for sku in skus if isinstance(sku, str))


AN_ORDER = {
    "payment_method": "cod",
    "customer": {"name": "Sara Ahmed", "primaryPhone": "07701234567"},
    "items": [{"sku": "SHIRT-M", "quantity": 2}],
    "addressProvinceCode": "IQ-BG",
    "addressAreaId": "0b0a2936-83b8-5759-a1cb-e49dd48a6db1",
    "address": "14 Ramadan St., house 2",
    "delivery_lat": 33.3152,
    "delivery_lng": 44.3661,
    "externalRef": "WEB-2041",
}


class OrderBody(OneLineAnSku, Body):
    """An order as a store's own program or its staff writes it."""

    example = AN_ORDER

    aliases = ORDER_ALIASES
    snake_case = ("payment_method", "delivery_lat", "delivery_lng")

    payment_method = PaymentMethodField(choices=PaymentMethod.choices)
    customer = CustomerBody(required=False)
    customer_id = serializers.UUIDField(required=False, default=None)
    items = ItemBody(many=True, min_length=1, max_length=MAX_ITEMS)  # type: ignore[call-arg]  # of lists
    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.UUIDField()
    address = TextField(max_length=500, required=False, allow_null=True, default=None)
    landmark = TextField(max_length=200, required=False, allow_null=True, default=None)
    delivery_lat = coordinate(90)
    delivery_lng = coordinate(180)
    fulfillment_type = Choice(choices=FulfillmentType.choices, default=FulfillmentType.FROM_TO)
    delivery_mode = Choice(choices=DeliveryMode.choices, default=DeliveryMode.STANDARD)
    notes = TextField(
        max_length=2000, multiline=True, required=False, allow_null=True, default=None
    )
    internal_notes = TextField(
        max_length=2000, multiline=True, required=False, allow_null=True, default=None
    )
    discount_code = TextField(max_length=32, required=False, allow_null=True, default=None)
    external_ref = TextField(max_length=100, required=False, allow_null=True, default=None)
    delivery_fee = Money(required=False, allow_null=True, default=None)
    delivery_fee_payer = Choice(choices=FeePayer.choices, required=False, default=None)
    scheduled_for = serializers.DateField(required=False, allow_null=True, default=None)
    metadata = Metadata(child=TextField(max_length=500), required=False, default=dict)
    pickup = PickupBody(required=False, allow_null=True, default=None)
    package_size_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    is_draft = serializers.BooleanField(default=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and "items" not in data and "orderValue" in data:
            data = with_one_amount(data)
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        errors: dict[str, list[str]] = {}
        if bool(attrs.get("customer")) == bool(attrs.get("customer_id")):
            errors["customer"] = ["Give the customer, or the id of one; not both."]
        if (attrs["delivery_lat"] is None) != (attrs["delivery_lng"] is None):
            errors["delivery_lat"] = ["Give delivery_lat and delivery_lng together or neither."]
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


def with_one_amount(data: Mapping[str, Any]) -> dict[str, Any]:
    """An old client's order without lines: one ad-hoc line of `orderValue`, for from_to only."""
    if str(data.get("fulfillmentType") or "from_to").lower() != FulfillmentType.FROM_TO:
        return dict(data)
    line = {"sku": "ORDER-VALUE", "name": "Order", "quantity": 1, "unitPrice": data["orderValue"]}
    return {**data, "items": [line]}


class KeyOrderBody(OrderBody):
    """An order as a store's own program writes it: it names its customer in full."""

    customer_id = is_draft = None  # type: ignore[assignment]  # takes the fields away


class StorefrontBody(KeyOrderBody):
    """An order as a customer's browser hands it over: prices and fees are the server's."""

    otp_code = serializers.CharField(max_length=12, required=False, allow_null=True, default=None)
    expected_total = Money(required=False, allow_null=True, default=None)


class EditBody(Body):
    """What may be replaced in an order; present fields replace, absent ones stay."""

    example = {"address": "7 Kindi St.", "landmark": "Opposite the school"}

    aliases = ORDER_ALIASES
    snake_case = OrderBody.snake_case

    payment_method = PaymentMethodField(choices=PaymentMethod.choices, required=False)
    customer = CustomerBody(required=False)
    customer_id = serializers.UUIDField(required=False)
    items = ItemBody(many=True, min_length=1, max_length=MAX_ITEMS, required=False)  # type: ignore[call-arg]  # of lists
    address_province_code = serializers.CharField(max_length=10, required=False)
    address_area_id = serializers.UUIDField(required=False)
    address = TextField(max_length=500, required=False, allow_null=True)
    landmark = TextField(max_length=200, required=False, allow_null=True)
    delivery_lat = DecimalField(
        max_digits=10, decimal_places=7, min_value=-90, max_value=90, required=False,
        allow_null=True,
    )  # fmt: skip
    delivery_lng = DecimalField(
        max_digits=10, decimal_places=7, min_value=-180, max_value=180, required=False,
        allow_null=True,
    )  # fmt: skip
    fulfillment_type = Choice(choices=FulfillmentType.choices, required=False)
    delivery_mode = Choice(choices=DeliveryMode.choices, required=False)
    notes = TextField(max_length=2000, multiline=True, required=False, allow_null=True)
    internal_notes = TextField(max_length=2000, multiline=True, required=False, allow_null=True)
    external_ref = TextField(max_length=100, required=False, allow_null=True)
    delivery_fee = Money(required=False)
    delivery_fee_payer = Choice(choices=FeePayer.choices, required=False)
    scheduled_for = serializers.DateField(required=False, allow_null=True)
    metadata = Metadata(child=TextField(max_length=500), required=False)
    pickup = PickupBody(required=False, allow_null=True)
    discount_code = TextField(max_length=32, required=False, allow_null=True)
    package_size_id = serializers.UUIDField(required=False, allow_null=True)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "customer" in attrs and "customer_id" in attrs:
            message = "Give the customer, or the id of one; not both."
            raise serializers.ValidationError({"customer": [message]})
        return attrs


class Cancellation(Body):
    reason = TextField(max_length=500, required=False, allow_null=True, default=None)


class DeliveredLine(Body):
    item_id = serializers.UUIDField()
    quantity = IntField(min_value=0, max_value=MAX_QUANTITY)


class Transition(Body):
    to = Choice(choices=Status.choices)
    reason = TextField(max_length=500, required=False, allow_null=True, default=None)
    lines = DeliveredLine(many=True, required=False)


class CheckedInLine(Body):
    item_id = serializers.UUIDField()
    restock = IntField(min_value=0, max_value=MAX_QUANTITY, default=0)
    damaged = IntField(min_value=0, max_value=MAX_QUANTITY, default=0)
    lost = IntField(min_value=0, max_value=MAX_QUANTITY, default=0)


class CheckingIn(Body):
    lines = CheckedInLine(many=True, min_length=1, max_length=1000)  # type: ignore[call-arg]  # of lists
    waive_delivery_fee = serializers.BooleanField(default=False)


class Advance(Body):
    """Where the parcel is now."""

    status = Choice(choices=FulfillmentStatus.choices)
    reason = Choice(choices=Reason.choices, required=False, allow_null=True, default=None)
    postponed_until = serializers.DateField(required=False, allow_null=True, default=None)


def above_nothing(amount: Any) -> Any:
    if amount <= 0:
        raise serializers.ValidationError("More than nothing.", code="min_value")
    return amount


class PaymentBody(Body):
    amount = Money(validators=[above_nothing])
    method = Choice(choices=BookedMethod.choices)
    reference = TextField(max_length=100, required=False, allow_null=True, default=None)
    at = PastMoment(required=False, allow_null=True, default=None)


class RefundBody(Body):
    """Money that goes back; `lines` only tell for which units."""

    amount = Money(validators=[above_nothing])
    method = Choice(choices=BookedMethod.choices)
    reason = TextField(max_length=500)
    reference = TextField(max_length=100, required=False, allow_null=True, default=None)
    lines = DeliveredLine(many=True, required=False, default=list)


class PaymentSerializer(WireSerializer[OrderPayment]):
    order = serializers.PrimaryKeyRelatedField(read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = OrderPayment
        fields = [
            "id", "order", "kind", "method", "amount", "reference", "reason", "at", "actor_kind",
            "actor_id",
        ]  # fmt: skip
        read_only_fields = fields


class RiskClearing(Body):
    """Flags that somebody looked into; without any all of them."""

    flags = serializers.ListField(child=TextField(max_length=32), required=False, default=list)


class ReturnedUnits(Body):
    item_id = serializers.UUIDField()
    quantity = IntField(min_value=1, max_value=MAX_QUANTITY)


class ReturnBody(Body):
    """What a customer wants to give back; without lines everything."""

    example = {"reason": "changed_mind"}

    lines = ReturnedUnits(many=True, required=False)
    reason = Choice(choices=Reason.choices, required=False, allow_null=True, default=None)
    note = TextField(max_length=2000, multiline=True, required=False, allow_null=True, default=None)


class ReturnRequestBody(ReturnBody):
    example = {"orderId": "0197a2c4-5e6f-7b81-9c2d-3e4f5a6b7c8d", "reason": "changed_mind"}

    order_id = serializers.UUIDField()


class ReceivedReturn(Body):
    lines = CheckedInLine(many=True, required=False)


class OrdersQuery(Body):
    example = {"externalRefs": ["WEB-2041", "WEB-2042"]}

    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=100)
    external_refs = serializers.ListField(
        child=TextField(max_length=100), required=False, max_length=100
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("ids")) == bool(attrs.get("external_refs")):
            raise serializers.ValidationError({"ids": ["Give ids or externalRefs."]})
        return attrs


class ImportItem(Body):
    sku = TextField(max_length=64)
    name = TextField(max_length=200, required=False, default="", allow_blank=True)
    quantity = IntField(min_value=1, max_value=10_000_000)
    unit_price = Money(required=False, default=None)
    line_total = Money(required=False, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["unit_price"] is None) == (attrs["line_total"] is None):
            raise serializers.ValidationError({"unitPrice": ["Give unitPrice or lineTotal."]})
        return attrs


class ImportBody(OneLineAnSku, Body):
    """An order of the past, from another system."""

    aliases = ORDER_ALIASES
    snake_case = OrderBody.snake_case

    payment_method = PaymentMethodField(choices=PaymentMethod.choices)
    customer = CustomerBody()
    items = ImportItem(many=True, min_length=1, max_length=1000)  # type: ignore[call-arg]  # of lists
    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.UUIDField()
    address = TextField(max_length=500, required=False, allow_null=True, default=None)
    landmark = TextField(max_length=200, required=False, allow_null=True, default=None)
    delivery_lat = coordinate(90)
    delivery_lng = coordinate(180)
    fulfillment_type = Choice(choices=FulfillmentType.choices, default=FulfillmentType.WAREHOUSE)
    external_ref = TextField(max_length=100, required=False, allow_null=True, default=None)
    delivery_fee = Money(required=False, default=0)
    notes = TextField(
        max_length=2000, multiline=True, required=False, allow_null=True, default=None
    )
    placed_at = Moment()
    status = Choice(choices=[Status.DELIVERED, Status.CANCELLED, Status.RETURNED])
    credit_only = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["credit_only"] and attrs["status"] != Status.RETURNED:
            raise serializers.ValidationError({"creditOnly": ["Only of a returned order."]})
        return attrs


# Output


def item_rows(facts: StoreFacts) -> Any:
    digits = minor_units(facts.currency_code)
    members: dict[str, Any] = {
        "id": F("id"),
        "productId": F("product_id"),
        "sku": F("sku"),
        "name": F("name"),
        "note": F("note"),
        "quantity": F("quantity"),
        "unitPrice": money_text(F("unit_price"), digits),
        "priceSource": F("price_source"),
        "weightGrams": F("weight_grams"),
        "lineSubtotal": money_text(F("line_subtotal"), digits),
        "discountAmount": money_text(F("discount_amount"), digits),
        "lineTotal": money_text(F("line_total"), digits),
        "quantityReserved": F("quantity_reserved"),
        "quantityDelivered": F("quantity_delivered"),
        "quantityReturned": F("quantity_returned"),
        "quantityCheckedIn": F("quantity_restocked") + F("quantity_damaged") + F("quantity_lost"),
    }
    rows = OrderItem.objects.filter(order=OuterRef("pk")).order_by("place")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


def customer_object(_: StoreFacts) -> Any:
    return JSONObject(
        *json_pairs(
            {
                "id": F("customer_id"),
                "name": F("customer_name"),
                "primaryPhone": F("customer_phone"),
                "secondaryPhone": F("customer_secondary_phone"),
                "email": F("customer_email"),
            }
        )
    )


class ItemShown(Body):
    """A line of an order, in its place."""

    id = serializers.UUIDField()
    product_id = serializers.UUIDField(allow_null=True)
    sku = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    note = serializers.CharField(allow_null=True)
    quantity = IntField()
    unit_price = Money(min_value=None)
    price_source = serializers.CharField()
    weight_grams = IntField(allow_null=True)
    line_subtotal = Money(min_value=None)
    discount_amount = Money(min_value=None)
    line_total = Money(min_value=None)
    quantity_reserved = IntField()
    quantity_delivered = IntField()
    quantity_returned = IntField()
    quantity_checked_in = IntField()


NOTHING = Value(0, output_field=ModelDecimal())


def due() -> Any:
    return F("total") - F("returns_total") - F("amount_paid") + F("amount_refunded")


def amount_due(facts: StoreFacts) -> Any:
    return money_text(due(), minor_units(facts.currency_code))


def amount_to_collect(facts: StoreFacts) -> Any:
    to_collect = Case(
        When(payment_method=PaymentMethod.COD, then=Greatest(due(), NOTHING)), default=NOTHING
    )
    return money_text(to_collect, minor_units(facts.currency_code))


def current_total(facts: StoreFacts) -> Any:
    return money_text(F("total") - F("returns_total"), minor_units(facts.currency_code))


def number_of(path: str) -> Any:
    """A JSON number without trailing zeros."""
    return lambda _: Func(F(path), function="trim_scale", output_field=ModelJSON())


class OrderSerializer(WireSerializer[Order]):
    """An order in a list; `OrderDetailSerializer` adds its lines."""

    customer = Computed(customer_object, CustomerShown())
    address_province_code = Computed(lambda _: F("province_code"), TextField(allow_null=True))
    address_area_id = Computed(lambda _: F("area_id"), serializers.UUIDField(allow_null=True))
    delivery_lat = Computed(number_of("delivery_lat"), COORDINATE)
    delivery_lng = Computed(number_of("delivery_lng"), COORDINATE)
    current_total = Computed(current_total, Money())
    amount_due = Computed(amount_due, Money())
    amount_to_collect = Computed(amount_to_collect, Money())

    class Meta:
        model = Order
        snake_case = ["payment_method", "delivery_lat", "delivery_lng"]
        fields = [
            "id",
            "number",
            "public_id",
            "external_ref",
            "channel",
            "status",
            "fulfillment_status",
            "payment_status",
            "remittance_status",
            "payment_method",
            "fulfillment_type",
            "delivery_mode",
            "customer",
            "address_province_code",
            "address_area_id",
            "province_name",
            "area_name",
            "address",
            "landmark",
            "delivery_lat",
            "delivery_lng",
            "items_count",
            "units_count",
            "currency_code",
            "subtotal",
            "discount_total",
            "delivery_fee",
            "delivery_fee_source",
            "delivery_fee_payer",
            "delivery_discount",
            "delivery_cost",
            "tax_total",
            "tax_included",
            "rounding",
            "total",
            "returns_total",
            "current_total",
            "amount_paid",
            "amount_refunded",
            "amount_due",
            "amount_to_collect",
            "otp_verified",
            "otp_verified_at",
            "risk_flags",
            "tracking_number",
            "delivery_company_id",
            "package_size",
            "discount_code",
            "postponed_until",
            "notes",
            "internal_notes",
            "scheduled_for",
            "metadata",
            "placed_at",
            "confirmed_at",
            "processing_at",
            "shipped_at",
            "delivered_at",
            "returned_at",
            "cancelled_at",
            "remitted_at",
            "cancel_reason",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class OrderDetailSerializer(OrderSerializer):
    items = Computed(item_rows, ItemShown(many=True))

    class Meta(OrderSerializer.Meta):
        fields = [
            *OrderSerializer.Meta.fields, "items", "discounts", "attempts", "pickup",
            "is_credit_only",
        ]  # fmt: skip
        read_only_fields = fields


class OrderEventSerializer(WireSerializer[OrderEvent]):
    class Meta:
        model = OrderEvent
        fields = [
            "id",
            "kind",
            "from_status",
            "to_status",
            "reason",
            "data",
            "actor_kind",
            "actor_id",
            "actor_label",
            "created_at",
        ]
        read_only_fields = fields


def return_lines(_: StoreFacts) -> Any:
    members = {
        "itemId": F("item_id"),
        "sku": F("item__sku"),
        "name": F("item__name"),
        "quantity": F("quantity"),
        "received": F("received"),
    }
    rows = ReturnLine.objects.filter(request=OuterRef("pk")).order_by("item__place")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


class ReturnRequestSerializer(WireSerializer[ReturnRequest]):
    order_number = Computed(lambda _: F("order__number"), TextField())
    lines = Computed(return_lines, ReturnedUnits(many=True))

    class Meta:
        model = ReturnRequest
        fields = [
            "id", "number", "order", "order_number", "status", "reason", "note", "lines",
            "credit", "approved_at", "received_at", "completed_at", "closed_at", "version",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields
