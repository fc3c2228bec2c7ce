"""Discount rules, codes, and whether a code would apply."""

from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.customers.models import Customer
from store_modules.discounts import pricing, services
from store_modules.discounts.models import DiscountCode, DiscountRule, Scope, Type
from store_modules.discounts.serializers import CodeSerializer, RuleSerializer, Validation
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.filters import Flag, Since, WireFilterSet, Words
from storeplatform.kernel.money import MoneyError, format_money, parse_money
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.viewsets import StoreScopedViewSet


class OfferFilters(WireFilterSet):
    is_active = Flag()
    type = Words(Type.values)
    scope = Words(Scope.values)
    updated_since = Since("updated_at")


class OfferViewSet(StoreScopedViewSet[Any]):
    resource = "discounts"
    filterset_class = OfferFilters
    search_fields = ["name"]

    def perform_create(self, values: dict[str, Any]) -> Any:
        offer = self.get_queryset().model(store_id=self.actor.store_id)
        return services.save_offer(self.actor, offer, values)

    def perform_update(self, row: Any, serializer: Any) -> Any:
        return services.save_offer(self.actor, row, serializer.validated_data)

    def perform_destroy(self, instance: Any) -> None:
        services.delete_offer(instance)


class RuleViewSet(OfferViewSet):
    queryset = DiscountRule.objects.live()
    serializer_class = RuleSerializer
    ordering_fields = {"priority": "priority", "name": "name", "createdAt": "created_at"}
    default_ordering = ["priority"]


class CodeViewSet(OfferViewSet):
    queryset = DiscountCode.objects.live()
    serializer_class = CodeSerializer
    ordering_fields = {"code": "code", "name": "name", "createdAt": "created_at"}
    asks = {
        "validate": {
            "code": {"type": "string", "minLength": 1, "maxLength": 64, "required": True},
            "orderValue": {"type": "string", "examples": ["25000"], "required": True},
            "phone": {"type": "string", "examples": ["+9647701234567"]},
        }
    }
    answers = {"validate": Validation}

    def perform_create(self, values: dict[str, Any]) -> Any:
        values.setdefault("name", values["code"])
        return super().perform_create(values)

    @action(detail=False, methods=["get"])
    def validate(self, request: Request) -> Response:
        """Whether a code would take something off an order of `orderValue`. Uses nothing up."""
        query = Query(request.query_params)
        code, value, phone = self.asked(query)
        offer = services.find_code(self.actor.store_id, code, phone=phone)
        reason: str | None = "not_found"
        amount, currency = Decimal(0), self.actor.store.currency_code
        if offer is not None:
            customer = buyer(self.actor.store_id, phone)
            reason = pricing.refusal_of(
                offer,
                now=timezone.now(),
                subtotal=value,
                quantity=None,
                customer=customer,
                channel=None,
            )
            if reason is None and not offer.is_for_delivery:
                amount = pricing.worth(offer, value, currency)
        return Response(
            {
                "valid": reason is None,
                "code": code.strip().upper(),
                "discountAmount": format_money(amount, currency),
                "type": offer.type if offer else None,
                "value": f"{offer.value.normalize():f}" if offer and offer.value else None,
                "reason": reason,
            }
        )

    def asked(self, query: Query) -> tuple[str, Decimal, str | None]:
        """The query's code, order value and phone."""
        facts = self.actor.store
        if not facts.currency_code:
            raise Conflict(
                "settings_not_initialized", "Set the store's currency first: POST /settings."
            )
        errors = {}
        code, phone = query.get("code").strip(), query.get("phone").strip() or None
        value = Decimal(0)
        if not code or len(code) > 64 or not code.isprintable():
            errors["code"] = ["The code to look at."]
        try:
            value = parse_money(query.get("orderValue"), facts.currency_code)
        except MoneyError as error:
            errors["orderValue"] = [error.message]
        if value < 0:
            errors["orderValue"] = ["Not below nothing."]
        try:
            phone = normalise_phone(phone, facts.country_code or "IQ") if phone else None
        except PhoneError as error:
            errors["phone"] = [str(error)]
        if errors:
            raise Refusal("validation_error", "The query is invalid.", errors=errors)
        return code, value, phone


def buyer(store_id: Any, phone: str | None) -> pricing.Customer:
    """The customer of a phone, as discounts see one."""
    if phone is None:
        return pricing.Customer()
    known = Customer.objects.live().filter(store_id=store_id, primary_phone=phone)
    row = known.values_list("orders_count", "tags").first()
    return pricing.Customer(row[0], frozenset(row[1])) if row else pricing.Customer()
