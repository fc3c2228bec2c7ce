"""The till on the wire."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, F, OuterRef, Value, When
from rest_framework import serializers

from store_modules.cashier.models import (
    CashierSession,
    CashierSettings,
    DrawerEntry,
    PinnedItem,
    SaleRefund,
)
from store_modules.customers.models import Customer
from store_modules.orders.serializers import (
    MAX_ITEMS,
    MAX_QUANTITY,
    ItemBody,
    OrderDetailSerializer,
    above_nothing,
)
from storeplatform.kernel.money import minor_units
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
from storeplatform.kernel.sql import Instant, JSONObject, json_pairs, money_text
from storeplatform.kernel.tenancy import StoreFacts

METHODS = DrawerEntry.Method.choices


class Register(Body):
    code = serializers.RegexField(r"^[A-Za-z0-9_-]{1,32}$")
    name = TextField(max_length=100)


class CashierSettingsSerializer(WireSerializer[CashierSettings]):
    registers = Register(many=True, required=False, min_length=1, max_length=50)  # type: ignore[call-arg]  # of lists
    default_customer = StoreRelatedField(
        queryset=Customer.objects.live(), required=False, allow_null=True
    )
    max_discount_percent = DecimalField(
        max_digits=5, decimal_places=2, min_value=0, max_value=100, required=False
    )
    denominations = serializers.ListField(child=Money(), required=False, max_length=30)

    class Meta:
        model = CashierSettings
        fields = [
            "require_opening_float", "blind_close", "max_discount_percent",
            "allow_negative_margin", "receipt_template_id", "default_customer", "cash_rounding",
            "variance_reason_above", "registers", "denominations", "version", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]

    def validate_registers(self, registers: Any) -> Any:
        codes = [register["code"] for register in registers]
        if len(set(codes)) < len(codes):
            raise serializers.ValidationError("Each code once.", code="invalid")
        return [dict(register) for register in registers]


def session_status(_: StoreFacts) -> Any:
    return Case(When(closed_at=None, then=Value("open")), default=Value("closed"))


class SessionSerializer(WireSerializer[CashierSession]):
    status = Computed(session_status, Choice(choices=["open", "closed"]))
    opened_by = Computed(lambda _: F("opened_by_id"), serializers.UUIDField())
    closed_by = Computed(lambda _: F("closed_by_id"), serializers.UUIDField(allow_null=True))
    denominations = Computed(lambda _: F("denominations"), serializers.DictField(allow_null=True))

    class Meta:
        model = CashierSession
        fields = [
            "id", "number", "register_code", "status", "opened_by", "opened_at", "opening_float",
            "expected_opening", "closed_by", "closed_at", "counted_cash", "denominations",
            "left_in_drawer", "expected_cash", "variance", "variance_reason", "notes", "version",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class Opening(Body):
    opening_float = Money(required=False, allow_null=True, default=None)
    register_code = TextField(max_length=32, required=False, allow_null=True, default=None)
    notes = TextField(
        max_length=2000, multiline=True, required=False, allow_null=True, default=None
    )


class Closing(Body):
    counted_cash = Money()
    left_in_drawer = Money(required=False, allow_null=True, default=None)
    variance_reason = TextField(max_length=500, required=False, allow_null=True, default=None)
    denominations = serializers.DictField(
        child=IntField(min_value=0, max_value=1_000_000), required=False, allow_null=True,
        default=None,
    )  # fmt: skip


class CashMovement(Body):
    type = Choice(choices=[DrawerEntry.Kind.PAY_IN, DrawerEntry.Kind.PAY_OUT])
    amount = Money(validators=[above_nothing])
    reason = TextField(max_length=500)


class EntrySerializer(WireSerializer[DrawerEntry]):
    type = Computed(lambda _: F("kind"), Choice(choices=DrawerEntry.Kind.choices))

    class Meta:
        model = DrawerEntry
        fields = ["id", "type", "method", "amount", "reason", "order_id", "created_at"]
        read_only_fields = fields


class SalePayment(Body):
    method = Choice(choices=METHODS)
    amount = Money()
    tendered = Money(required=False, allow_null=True, default=None)
    reference = TextField(max_length=100, required=False, allow_null=True, default=None)


class LineDiscount(Body):
    sku = TextField(max_length=64, required=False, allow_null=True, default=None)
    product_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    percent = DecimalField(
        max_digits=5, decimal_places=2, min_value=0, max_value=100, required=False,
        allow_null=True, default=None,
    )  # fmt: skip
    amount = Money(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["percent"] is None) == (attrs["amount"] is None):
            raise serializers.ValidationError({"percent": ["Give percent or amount."]})
        return attrs


class SaleBody(Body):
    items = ItemBody(many=True, min_length=1, max_length=MAX_ITEMS)  # type: ignore[call-arg]  # of lists
    payments = SalePayment(many=True, max_length=10)  # type: ignore[call-arg]  # of lists
    client_sale_id = serializers.UUIDField()
    session_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    customer_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    discount_code = TextField(max_length=32, required=False, allow_null=True, default=None)
    line_discounts = LineDiscount(many=True, required=False, default=list)
    notes = TextField(
        max_length=2000, multiline=True, required=False, allow_null=True, default=None
    )


class ReturnedLine(Body):
    item_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    sku = TextField(max_length=64, required=False, allow_null=True, default=None)
    quantity = IntField(min_value=1, max_value=MAX_QUANTITY)


class SaleRefundBody(Body):
    lines = ReturnedLine(many=True, required=False, default=list)
    method = Choice(choices=METHODS)
    restock = serializers.BooleanField(default=True)
    reason = TextField(max_length=500, required=False, allow_null=True, default=None)


class ShownPayment(Body):
    method = TextField()
    amount = Money()
    tendered = Money()
    change = Money()
    reference = TextField(allow_null=True)


class ShownRefund(Body):
    id = serializers.UUIDField()
    session_id = serializers.UUIDField()
    method = TextField()
    amount = Money()
    restock = serializers.BooleanField()
    lines = ReturnedLine(many=True)


def refund_rows(facts: StoreFacts) -> Any:
    members = {
        "id": F("id"),
        "sessionId": F("session_id"),
        "method": F("method"),
        "amount": money_text(F("amount"), minor_units(facts.currency_code)),
        "restock": F("restock"),
        "lines": F("lines"),
        "createdAt": Instant(F("created_at")),
    }
    rows = SaleRefund.objects.filter(sale=OuterRef("pk")).order_by("id")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


def change(facts: StoreFacts) -> Any:
    return money_text(F("sale__change"), minor_units(facts.currency_code))


class SaleSerializer(OrderDetailSerializer):
    """A sale is its order, with how it was paid over the counter."""

    client_sale_id = Computed(lambda _: F("sale__client_sale_id"), serializers.UUIDField())
    session_id = Computed(lambda _: F("sale__session_id"), serializers.UUIDField())
    payments = Computed(lambda _: F("sale__payments"), ShownPayment(many=True))
    change = Computed(change, Money())
    refunds = Computed(refund_rows, ShownRefund(many=True))

    class Meta(OrderDetailSerializer.Meta):
        fields = [
            *OrderDetailSerializer.Meta.fields, "client_sale_id", "session_id", "payments",
            "change", "refunds",
        ]  # fmt: skip
        read_only_fields = fields


class PinBody(Body):
    aliases = {"storeProductId": "productId"}

    product_id = serializers.UUIDField()


class Reordering(Body):
    aliases = {"orderedProductIds": "productIds"}

    product_ids = serializers.ListField(child=serializers.UUIDField(), max_length=100)


def price_of(facts: StoreFacts) -> Any:
    return money_text(F("product__price"), minor_units(facts.currency_code))


def available(_: StoreFacts) -> Any:
    left = F("product__inventory__quantity_on_hand") - F("product__inventory__quantity_reserved")
    return Case(When(product__track_inventory=True, then=left), default=None)


class PinnedSerializer(WireSerializer[PinnedItem]):
    product_id = Computed(lambda _: F("product_id"), serializers.UUIDField())
    sku = Computed(lambda _: F("product__sku"), TextField())
    name = Computed(lambda _: F("product__name"), TextField())
    price = Computed(price_of, Money())
    available = Computed(available, IntField(allow_null=True))

    class Meta:
        model = PinnedItem
        fields = ["id", "product_id", "sku", "name", "price", "available", "position"]
        read_only_fields = fields


class MethodSums(Body):
    method = TextField()
    sales = Money()
    refunds = Money()


class Report(Body):
    """X while the session is open, Z when it is closed."""

    kind = Choice(choices=["X", "Z"])
    session = SessionSerializer(read_only=True)
    sales_count = IntField()
    sales_total = Money()
    discount_total = Money()
    tax_total = Money()
    refunds_count = IntField()
    refunds_total = Money()
    by_method = MethodSums(many=True)
    pay_in_total = Money()
    pay_out_total = Money()
    movements = EntrySerializer(many=True, read_only=True)
    opening_difference = Money(allow_null=True)
    expected_cash = Money(allow_null=True)
