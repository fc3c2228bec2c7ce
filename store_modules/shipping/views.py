"""Shipping rules, package sizes, and what a delivery would cost."""

from decimal import Decimal
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.geography.services import find_address
from store_modules.shipping import services
from store_modules.shipping.choosing import Parcel, choose, fee_of, specificity
from store_modules.shipping.models import DeliveryMode, PackageSize, ShippingRule
from store_modules.shipping.serializers import (
    DeliveryQuote,
    DeliveryQuoteBody,
    PackageSizeSerializer,
    SavedRule,
    ShippingRuleSerializer,
)
from store_modules.stores.trading import lock_store, settings_of
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.filters import Flag, Ids, Since, Texts, WireFilterSet, Words
from storeplatform.kernel.money import format_money, round_money
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.viewsets import StoreScopedViewSet


class PackageSizeFilters(WireFilterSet):
    is_active = Flag()
    updated_since = Since("updated_at")


class PackageSizeViewSet(StoreScopedViewSet[PackageSize]):
    resource = "package_sizes"
    queryset = PackageSize.objects.live()
    serializer_class = PackageSizeSerializer
    filterset_class = PackageSizeFilters
    ordering_fields = {"name": "name", "createdAt": "created_at"}
    default_ordering = ["name"]

    def locked_object(self) -> Any:
        lock_store(self.actor.store_id)  # first, so that no two changes wait for each other
        return super().locked_object()

    def perform_create(self, values: dict[str, Any]) -> PackageSize:
        return services.save_package(PackageSize(store_id=self.actor.store_id), values)

    def perform_update(self, row: PackageSize, serializer: Any) -> PackageSize:
        return services.save_package(row, serializer.validated_data)

    def perform_destroy(self, instance: PackageSize) -> None:
        services.delete_package(instance)


class ShippingRuleFilters(WireFilterSet):
    is_active = Flag()
    province_code = Texts("province_id")
    area_id = Ids("area_id")
    delivery_mode = Words(DeliveryMode.values)
    updated_since = Since("updated_at")


class ShippingRuleViewSet(StoreScopedViewSet[ShippingRule]):
    resource = "shipping"
    reading_actions = frozenset({"quote"})
    queryset = ShippingRule.objects.all()
    serializer_class = ShippingRuleSerializer
    filterset_class = ShippingRuleFilters
    ordering_fields = {"priority": "priority", "name": "name", "createdAt": "created_at"}
    default_ordering = ["priority"]
    forms = {"quote": DeliveryQuoteBody}
    answers = {
        "quote": DeliveryQuote,
        "create": SavedRule,
        "update": SavedRule,
        "partial_update": SavedRule,
    }

    def perform_create(self, values: dict[str, Any]) -> ShippingRule:
        rule = ShippingRule(store_id=self.actor.store_id)
        return services.save_rule(self.actor, rule, values)

    def perform_update(self, row: ShippingRule, serializer: Any) -> ShippingRule:
        return services.save_rule(self.actor, row, dict(serializer.validated_data))

    def row_response(self, pk: Any, status: int = 200) -> Response:
        """A saved rule comes with the others that it overlaps with."""
        response = super().row_response(pk, status)
        if self.action != "retrieve":
            others = services.overlapping(ShippingRule.objects.get(pk=pk))
            response.data = as_members(response.data) | {
                "warnings": [
                    {"ruleId": other.pk, "message": f"It overlaps with “{other.name}”."}
                    for other in others
                ]
            }
        return response

    @action(detail=False, methods=["post"])
    def quote(self, request: Request) -> Response:
        """What a delivery costs, which rule says so, and why the others do not."""
        values = self.body()
        facts = self.actor.store
        area = find_address(
            facts.country_code, values["address_province_code"], values["address_area_id"]
        )
        box = services.box_for(facts.id, values["package_size_id"])
        parcel = Parcel(
            province_code=area.province_id,
            area_id=area.pk,
            weight=values["weight_grams"],
            value=values["order_value"],
            mode=values["delivery_mode"],
            company_id=values["delivery_company_id"],
            box=box,
        )
        currency = facts.currency_code
        choice = choose(services.rules_for(facts.id), parcel, currency)
        fee = choice.fee if choice.rule else settings_of(facts.id).default_delivery_fee
        if fee is None:
            raise Refusal("no_shipping_rule", "No delivery fee is set for this place.")
        fee = round_money(fee, currency)
        extra = round_money(box.extra_fee, currency) if box else Decimal(0)
        rule = choice.rule
        return Response(
            {
                "fee": format_money(fee + extra, currency),
                "baseFee": format_money(fee, currency),
                "packageFee": format_money(extra, currency),
                "source": "rule" if rule else "default",
                "ruleId": rule.id if rule else None,
                "chargeableWeightGrams": parcel.chargeable,
                "estimatedDaysMin": rule.days_min if rule else None,
                "estimatedDaysMax": rule.days_max if rule else None,
                "matched": [
                    {
                        "id": one.id,
                        "name": one.name,
                        "specificity": specificity(one),
                        "priority": one.priority,
                        "fee": format_money(fee_of(one, parcel, currency), currency),
                    }
                    for one in choice.matched
                ],
                "rejected": [
                    {"id": one.id, "name": one.name, "reason": reason}
                    for one, reason in choice.rejected
                ],
            }
        )
