"""Delivery companies, links, dispatches and settlements on the wire."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef
from rest_framework import serializers

from store_modules.delivery.models import (
    CompanyLink,
    DeliveryCompany,
    Dispatch,
    Settlement,
    SettlementLine,
    ShipmentEvent,
)
from store_modules.delivery.settlement_files import MAX_LINES
from storeplatform.kernel.money import minor_units
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    Computed,
    Money,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.sql import Instant, JSONObject, json_pairs, money_text
from storeplatform.kernel.tenancy import StoreFacts


class CompanySerializer(WireSerializer[DeliveryCompany]):
    class Meta:
        model = DeliveryCompany
        fields = ["id", "slug", "name", "names", "capabilities"]
        read_only_fields = fields


class LinkBody(Body):
    """An account with a delivery company, named by its slug or id."""

    example = {"deliveryCompanySlug": "boxy", "username": "my-shop", "password": "secret"}

    delivery_company_slug = TextField(max_length=40, required=False, allow_null=True, default=None)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    username = TextField(max_length=200)
    password = serializers.CharField(max_length=200, trim_whitespace=False)
    agreed_fee = Money(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["delivery_company_slug"]) == bool(attrs["delivery_company_id"]):
            message = "Name the company by deliveryCompanySlug or deliveryCompanyId."
            raise serializers.ValidationError({"deliveryCompanySlug": [message]})
        return attrs


class LinkSerializer(WireSerializer[CompanyLink]):
    delivery_company_id = Computed(lambda _: F("company_id"), serializers.UUIDField())
    delivery_company_slug = Computed(lambda _: F("company__slug"), TextField())

    class Meta:
        model = CompanyLink
        fields = [
            "id", "delivery_company_id", "delivery_company_slug", "username", "account",
            "agreed_fee", "checked_at", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class DispatchBody(Body):
    """An order for a delivery company; without one it goes to the order's own."""

    example = {
        "orderId": "0197a2c4-5e6f-7b81-9c2d-3e4f5a6b7c8d",
        "deliveryCompanySlug": "nawa",
    }

    order_id = serializers.UUIDField()
    delivery_company_slug = TextField(max_length=40, required=False, allow_null=True, default=None)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True, default=None)


def told(_: StoreFacts) -> Any:
    members = {
        "rawStatus": F("raw_status"),
        "status": F("parcel_status"),
        "reason": F("reason"),
        "occurredAt": Instant(F("occurred_at")),
        "receivedAt": Instant(F("received_at")),
        "outcome": F("outcome"),
        "detail": F("detail"),
    }
    rows = ShipmentEvent.objects.filter(dispatch=OuterRef("pk")).order_by("id")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


class ToldStatus(Body):
    raw_status = TextField()
    status = TextField()
    reason = TextField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    outcome = Choice(choices=ShipmentEvent.Outcome.choices)
    detail = TextField()


class DispatchSerializer(WireSerializer[Dispatch]):
    order_number = Computed(lambda _: F("order__number"), TextField())
    delivery_company_id = Computed(lambda _: F("company_id"), serializers.UUIDField())
    delivery_company_slug = Computed(lambda _: F("company__slug"), TextField())
    status = Computed(lambda _: F("parcel_status"), TextField())

    class Meta:
        model = Dispatch
        fields = [
            "id", "order", "order_number", "delivery_company_id", "delivery_company_slug", "state",
            "external_id", "tracking_number", "status", "raw_status", "status_at", "error",
            "last_sync_at", "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class DispatchDetail(DispatchSerializer):
    events = Computed(told, ToldStatus(many=True))

    class Meta(DispatchSerializer.Meta):
        fields = [*DispatchSerializer.Meta.fields, "events"]
        read_only_fields = fields


# Settlements


class SettlementLineBody(Body):
    """An order by id, number or tracking number, and what the company says of its cash."""

    aliases = {"orderId": "orderRef", "orderNumber": "orderRef"}

    order_ref = TextField(max_length=100, required=False, allow_null=True, default=None)
    tracking_number = TextField(max_length=100, required=False, allow_null=True, default=None)
    kind = Choice(choices=SettlementLine.Kind.choices, default=SettlementLine.Kind.DELIVERED)
    collected = Money()
    fee = Money(required=False, default=0)
    net = Money(required=False, allow_null=True, default=None, min_value=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["order_ref"] and not attrs["tracking_number"]:
            message = "Name the order by orderId, its number, or trackingNumber."
            raise serializers.ValidationError({"orderRef": [message]})
        return attrs


class SettlementHead(Body):
    """What a settlement is; in an upload these are form fields beside the `file`."""

    example = {
        "deliveryCompanySlug": "boxy", "reference": "ST-2026-11", "date": "2026-11-20",
        "declaredTotal": "42000",
    }  # fmt: skip

    delivery_company_slug = TextField(max_length=40, required=False, allow_null=True, default=None)
    delivery_company_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    reference = TextField(max_length=100)
    date = serializers.DateField()
    declared_total = Money(min_value=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs["delivery_company_slug"]) == bool(attrs["delivery_company_id"]):
            message = "Name the company by deliveryCompanySlug or deliveryCompanyId."
            raise serializers.ValidationError({"deliveryCompanySlug": [message]})
        return attrs


class SettlementBody(SettlementHead):
    example = {
        **SettlementHead.example,
        "lines": [{"trackingNumber": "NW-10021", "collected": "45000", "fee": "3000"}],
    }

    lines = SettlementLineBody(many=True, min_length=1, max_length=MAX_LINES)  # type: ignore[call-arg]  # of lists


class LinesBody(Body):
    lines = SettlementLineBody(many=True, min_length=1, max_length=MAX_LINES)  # type: ignore[call-arg]  # of lists


class SettlementAcceptance(Body):
    accept_differences = serializers.BooleanField(default=False)


class MissingOrder(Body):
    order_id = serializers.UUIDField()
    number = TextField()
    amount = Money()
    delivered_at = serializers.DateTimeField()


class SettlementSerializer(WireSerializer[Settlement]):
    delivery_company_id = Computed(lambda _: F("company_id"), serializers.UUIDField())
    delivery_company_slug = Computed(lambda _: F("company__slug"), TextField())

    class Meta:
        model = Settlement
        fields = [
            "id", "delivery_company_id", "delivery_company_slug", "reference", "date", "source",
            "state", "currency_code", "declared_total", "collected_total", "fee_total",
            "net_total", "differences_count", "accepted_at", "accepted_by", "version",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class SettledLine(Body):
    id = serializers.UUIDField()
    place = serializers.IntegerField()
    order_ref = TextField()
    tracking_number = TextField()
    kind = Choice(choices=SettlementLine.Kind.choices)
    collected = Money()
    fee = Money()
    net = Money()
    order_id = serializers.UUIDField(allow_null=True)
    expected = Money(allow_null=True)
    differences = serializers.ListField(child=TextField())
    is_accepted = serializers.BooleanField()


def lines_of(facts: StoreFacts) -> Any:
    digits = minor_units(facts.currency_code)
    members: dict[str, Any] = {
        "id": F("id"),
        "place": F("place"),
        "orderRef": F("order_ref"),
        "trackingNumber": F("tracking_number"),
        "kind": F("kind"),
        "collected": money_text(F("collected"), digits),
        "fee": money_text(F("fee"), digits),
        "net": money_text(F("net"), digits),
        "orderId": F("order_id"),
        "expected": money_text(F("expected"), digits),
        "differences": F("differences"),
        "isAccepted": F("is_accepted"),
    }
    rows = SettlementLine.objects.filter(settlement=OuterRef("pk")).order_by("place")
    return ArraySubquery(rows.values_list(JSONObject(*json_pairs(members))))


class SettlementDetail(SettlementSerializer):
    lines = Computed(lines_of, SettledLine(many=True))
    missing = Computed(lambda _: F("missing"), MissingOrder(many=True))

    class Meta(SettlementSerializer.Meta):
        fields = [*SettlementSerializer.Meta.fields, "lines", "missing"]
        read_only_fields = fields


class BalanceAnswer(Body):
    """A company's cash: `withCourier` is what it still has."""

    delivery_company_id = serializers.UUIDField()
    delivery_company_slug = TextField()
    collected = Money()
    remitted = Money()
    corrections = Money()
    with_courier = Money()
