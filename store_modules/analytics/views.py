"""The reports; reading them changes nothing."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.analytics import customers, reports
from store_modules.analytics.models import DayFigure
from store_modules.analytics.periods import Period, PeriodError, read_period
from store_modules.analytics.reading import Scope
from store_modules.analytics.serializers import (
    CustomersAnswer,
    ExpensesAnswer,
    PeriodBody,
    ProductsAnswer,
    ProductsBody,
    ReportAnswer,
    SalesAnswer,
)
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.errors import Conflict, Denied, Refusal
from storeplatform.kernel.parsing import plain
from storeplatform.kernel.viewsets import StoreScoped

COST = "products.cost"
COST_MEMBERS = {"cogs", "profit", "grossProfit", "grossMargin", "netProfit", "costIncomplete"}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Analytics(StoreScoped[DayFigure]):
    """Five reports over a period of at most 731 days, in the store's time zone."""

    permissions = dict.fromkeys(
        ("sales", "products", "customers", "expenses", "revenue"), "analytics.read"
    )
    reading_actions = frozenset(permissions)
    queryset = DayFigure.objects.all()
    forms = {
        "sales": PeriodBody,
        "products": ProductsBody,
        "customers": PeriodBody,
        "expenses": PeriodBody,
        "revenue": PeriodBody,
    }
    answers = {
        "sales": SalesAnswer,
        "products": ProductsAnswer,
        "customers": CustomersAnswer,
        "expenses": ExpensesAnswer,
        "revenue": ReportAnswer,
    }

    def report(self, make: Callable[..., dict[str, Any]], **options: Any) -> Response:
        values = self.body()
        if "sort" in values:
            options["sort"] = self.allowed_sort(values["sort"])
        trade, scope, period = asked(self.actor.store_id, values)
        body = heading(trade, period) | make(scope, period, **options)
        return Response(body if self.actor.may(COST) else without_costs(body))

    def allowed_sort(self, sort: str) -> str:
        """The order by profit tells what goods cost."""
        if sort == "profit" and not self.actor.may(COST):
            raise Denied(
                "missing_permission",
                f"The order by profit needs {COST}.",
                details={"requiredPermission": COST},
            )
        return sort

    def sales(self, request: Request) -> Response:
        """Demand: what was ordered, by the time it was placed."""
        return self.report(reports.sales)

    def products(self, request: Request) -> Response:
        """The fifty best products, by `sort`."""
        return self.report(reports.products)

    def customers(self, request: Request) -> Response:
        """Who bought, who came back, who refused."""
        return self.report(customers.customers)

    def expenses(self, request: Request) -> Response:
        """What was spent, and on what."""
        return self.report(reports.expenses)

    def revenue(self, request: Request) -> Response:
        """Earnings, by the time goods were delivered, and where the cash is."""
        return self.report(reports.revenue)


def asked(store_id: UUID, values: Mapping[str, Any]) -> tuple[StoreSettings, Scope, Period]:
    """Whose report over which period a body asks for."""
    trade = StoreSettings.objects.filter(store_id=store_id).first()
    if trade is None:
        raise Conflict(
            "settings_not_initialized", "Set the store's currency first: POST /settings."
        )
    try:
        period = read_period(
            values["from"],
            values["to"],
            ZoneInfo(trade.timezone),
            values["granularity"],
            WEEKDAYS.index(trade.week_starts_on),
        )
    except PeriodError as error:
        raise Refusal(
            "validation_error", "There is no such period.", errors={error.field: [str(error)]}
        ) from None
    return trade, Scope(trade.store_id, trade.currency_code), period


def heading(trade: StoreSettings, period: Period) -> dict[str, Any]:
    return {
        "currencyCode": trade.currency_code,
        "timezone": trade.timezone,
        "from": period.shown(period.start),
        "to": period.shown(period.end),
        "granularity": period.granularity,
        "generatedAt": plain(timezone.now()),
    }


def without_costs(value: Any) -> Any:
    """The report for those who do not see what goods cost."""
    if isinstance(value, dict):
        return {k: without_costs(v) for k, v in value.items() if k not in COST_MEMBERS}
    if isinstance(value, list):
        return [without_costs(one) for one in value]
    return value
