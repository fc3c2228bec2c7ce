"""What the reports are asked, and what they answer."""

from contextlib import suppress
from datetime import date, datetime
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from store_modules.analytics.periods import GRANULARITIES
from storeplatform.kernel.serializers import Body, Choice, IntField, Money, TextField


@extend_schema_field({"type": "string", "examples": ["2026-05-01"]})
class DayOrInstant(serializers.Field[Any, Any, Any, Any]):
    """A date of the store's calendar, or an RFC 3339 instant; without an offset it is on the
    store's clock."""

    def to_internal_value(self, data: Any) -> date | datetime:
        found = None
        if isinstance(data, str):
            with suppress(ValueError):
                found = parse_date(data) or parse_datetime(data)
        if found is None or not 2000 <= found.year <= 2100:
            raise serializers.ValidationError(
                "A date or an instant, between 2000 and 2100.", code="invalid"
            )
        return found

    def to_representation(self, value: Any) -> Any:
        return value


class PeriodBody(Body):
    """`from` and `to` are dates, both included, or instants, the second left out."""

    granularity = Choice(choices=GRANULARITIES, required=False, allow_null=True, default=None)

    def get_fields(self) -> dict[str, Any]:
        return {"from": DayOrInstant(), "to": DayOrInstant(), **super().get_fields()}


class ProductsBody(PeriodBody):
    sort = Choice(choices=["net", "units", "profit", "returnRate"], default="net")


class Former(Body):
    """The same figures of the period right before."""

    to = TextField()

    def get_fields(self) -> dict[str, Any]:
        return {"from": TextField(), **super().get_fields(), "totals": serializers.DictField()}


class Bucket(Body):
    bucket_start = TextField()


class ReportAnswer(Body):
    """A report: its totals, and the same by bucket. Rates are from 0 to 1 with four places."""

    currency_code = TextField()
    timezone = TextField()
    granularity = Choice(choices=GRANULARITIES)
    generated_at = TextField()
    buckets = Bucket(many=True)
    previous_period = Former()

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": TextField(), "to": TextField(), **super().get_fields(),
            "totals": serializers.DictField(),
        }  # fmt: skip


class Part(Body):
    key = TextField(allow_null=True)
    orders_count = IntField()
    net_sales = Money()


class SalesAnswer(ReportAnswer):
    by_status = Part(many=True)
    by_channel = Part(many=True)
    by_province = Part(many=True)
    by_payment_method = Part(many=True)


class ProductPart(Body):
    """What goods cost is shown to those who may see it."""

    product_id = serializers.UUIDField(allow_null=True)
    sku = TextField()
    name = TextField()
    units = IntField()
    net = Money()
    cogs = Money(required=False)
    profit = Money(required=False)
    returns_units = IntField()
    returns_net = Money()
    return_rate = TextField(allow_null=True)
    cost_incomplete = serializers.BooleanField(required=False)
    share = TextField(allow_null=True)
    on_hand = IntField(allow_null=True)
    days_of_stock = TextField(allow_null=True)


class ProductsAnswer(ReportAnswer):
    sort = TextField()
    items = ProductPart(many=True)


class CustomerPart(Body):
    customer_id = serializers.UUIDField()
    name = TextField(allow_null=True)
    orders_count = IntField()
    net = Money()


class PlacePart(Body):
    key = TextField(allow_null=True)
    customers = IntField()
    orders_count = IntField()


class CustomersAnswer(ReportAnswer):
    top_customers = CustomerPart(many=True)
    by_province = PlacePart(many=True)


class CategoryPart(Body):
    key = TextField()
    total = Money()
    share = TextField(allow_null=True)


class ExpensesAnswer(ReportAnswer):
    by_category = CategoryPart(many=True)
