"""Shapes of the answers about orders that are no row, for the API document."""

from rest_framework import serializers

from store_modules.orders.models import Source
from store_modules.orders.status import Status
from storeplatform.kernel.serializers import Body, Choice, Money


class QuoteLineAnswer(Body):
    sku = serializers.CharField()
    name = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = Money()
    line_subtotal = Money()
    discount_amount = Money()
    line_total = Money()


class QuoteAnswer(Body):
    currency_code = serializers.CharField()
    subtotal = Money()
    discount_total = Money()
    delivery_fee = Money()
    delivery_discount = Money()
    delivery_cost = Money()
    tax_total = Money()
    tax_included = Money()
    rounding = Money()
    total = Money()
    delivery_fee_source = Choice(choices=Source.choices)
    discount_code = serializers.CharField(allow_null=True)
    discounts = serializers.ListField(child=serializers.DictField())
    risk_flags = serializers.ListField(child=serializers.CharField())
    items = QuoteLineAnswer(many=True)


class StatusAnswer(Body):
    code = Choice(choices=Status.choices)
    labels = serializers.DictField(child=serializers.CharField())
    allowed_next = serializers.ListField(child=Choice(choices=Status.choices))
