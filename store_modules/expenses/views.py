"""Expenses with the total of what the filter leaves."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.expenses import services
from store_modules.expenses.models import Expense, PaymentMethod
from store_modules.expenses.serializers import ExpenseSerializer
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.filters import (
    FirstDay,
    Ids,
    LastDay,
    Least,
    Most,
    Since,
    Texts,
    WireFilterSet,
    Words,
)
from storeplatform.kernel.money import format_money
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.viewsets import StoreScopedViewSet


class Categories(Texts):
    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return super().filter(qs, [word.lower() for word in value])


class ExpenseFilters(WireFilterSet):
    from_ = FirstDay("date")
    to = LastDay("date")
    category = Categories()
    payment_method = Words(PaymentMethod.values)
    supplier_id = Ids("supplier_id")
    cashier_session_id = Ids("cashier_session_id")
    min_amount = Least("amount")
    max_amount = Most("amount")
    updated_since = Since("updated_at")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (self.form.cleaned_data.get(name) for name in ("from_", "to"))
        if first and last and first > last:
            raise Refusal("validation_error", "A filter is invalid.", to=["Not before from."])
        narrowed: QuerySet[Any] = super().filter_queryset(queryset)
        return narrowed


class ExpenseViewSet(StoreScopedViewSet[Expense]):
    resource = "expenses"
    queryset = Expense.objects.all()
    serializer_class = ExpenseSerializer
    filterset_class = ExpenseFilters
    search_fields = ["description"]
    ordering_fields = {"date": "date", "amount": "amount", "createdAt": "created_at"}
    default_ordering = ["-date"]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page, and `totalAmount` of all rows that the filter leaves."""
        rows = self.get_queryset()
        page = self.list_page(rows)
        whole = self.narrowed(rows, Query(request.query_params)).aggregate(total=Sum("amount"))
        currency = self.actor.store.currency_code
        return Response(
            page | {"totalAmount": format_money(whole["total"] or Decimal(0), currency)}
        )

    def perform_create(self, values: dict[str, Any]) -> Expense:
        facts = self.actor.store
        expense = Expense(store_id=facts.id, currency_code=facts.currency_code)
        return services.save_expense(self.actor, expense, values)

    def perform_update(self, row: Expense, serializer: Any) -> Expense:
        return services.save_expense(self.actor, row, serializer.validated_data)

    def perform_destroy(self, instance: Expense) -> None:
        services.delete_expense(self.actor, instance)
