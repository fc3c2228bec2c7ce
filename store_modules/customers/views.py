"""Customers of a store."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.customers import services
from store_modules.customers.models import Customer
from store_modules.customers.serializers import CustomerSerializer, MergeBody
from storeplatform.kernel.filters import Flag, Least, Since, Texts, Until, WireFilterSet
from storeplatform.kernel.viewsets import StoreScopedViewSet


class Tags(Texts):
    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs.filter(tags__overlap=value) if value else qs


class Provinces(Texts):
    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        codes = [code.upper() for code in value]
        return qs.filter(addresses__area__province__in=codes).distinct() if value else qs


class HasReturns(Flag):
    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        return qs.filter(returned_count__gt=0) if value else qs.filter(returned_count=0)


class CustomerFilters(WireFilterSet):
    is_blocked = Flag()
    tag = Tags()
    province_code = Provinces()
    min_orders = Least("orders_count")
    has_returns = HasReturns()
    created_from = Since("created_at")
    created_to = Until("created_at")
    updated_since = Since("updated_at")


class CustomerViewSet(StoreScopedViewSet[Customer]):
    resource = "customers"
    permissions = {"destroy": "customers.delete", "merge": "customers.merge"}
    queryset = Customer.objects.live()
    serializer_class = CustomerSerializer
    filterset_class = CustomerFilters
    search_fields = ["name", "primary_phone", "secondary_phone", "email"]
    ordering_fields = {
        "name": "name",
        "createdAt": "created_at",
        "totalSpent": "total_spent",
        "ordersCount": "orders_count",
        "lastOrderAt": "last_order_at",
    }
    forms = {"merge": MergeBody}

    def perform_create(self, values: dict[str, Any]) -> Customer:
        facts = self.actor.store
        addresses = values.pop("addresses", None)
        customer = Customer(store_id=facts.id, currency_code=facts.currency_code)
        return services.save_customer(customer, values, addresses, facts)

    def perform_update(self, row: Customer, serializer: Any) -> Customer:
        values = dict(serializer.validated_data)
        addresses = values.pop("addresses", None)
        return services.save_customer(row, values, addresses, self.actor.store)

    def perform_destroy(self, instance: Customer) -> None:
        services.anonymise(instance, self.actor, request=self.request._request)

    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        into = self.body()["into_customer_id"]

        def effect() -> Response:
            source = self.locked_object()
            target = services.merge(source.pk, into, self.actor, request=request._request)
            return self.row_response(target.pk)

        return self.once(effect)
