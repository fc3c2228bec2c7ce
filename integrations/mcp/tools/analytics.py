"""Figures of the store over a period of at most 366 days."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Literal

from pydantic import ConfigDict, Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import MAYBE_TEXT, TEXT, TIME, UNTRUSTED, Input, Schema, array, obj
from integrations.mcp.tools.orders import sees_customers
from store_modules.analytics import customers, reports
from store_modules.analytics.views import COST, asked, without_costs
from storeplatform.kernel.errors import Refusal

MAX_DAYS = 366
Metric = Literal["sales", "products", "customers", "expenses", "revenue"]
MAKERS = {
    "sales": reports.sales,
    "products": reports.products,
    "customers": customers.customers,
    "expenses": reports.expenses,
    "revenue": reports.revenue,
}
FIGURES: Schema = {
    "type": "object",
    "description": "Counts, amounts in the answer's currency as texts, and rates from 0 to 1.",
    "properties": {"name": UNTRUSTED},
    "additionalProperties": {"type": ["string", "integer", "number", "boolean", "null", "object"]},
}
PERIOD: dict[str, Schema] = {
    "metric": TEXT, "currency": TEXT, "time_zone": TEXT, "from": TIME, "to": TIME,
}  # fmt: skip
FORMER = obj(**{"from": TIME, "to": TIME, "totals": FIGURES})


class Period(Input):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)

    metric: Metric = Field("sales", description="sales: what was ordered; revenue: what was "
                           "delivered; products, customers, expenses.")  # fmt: skip
    from_: date = Field(alias="from", description="First day, in the store's calendar.")
    to: date = Field(description="Last day, included.")


def report(
    principal: Principal, given: Period, grain: str | None, **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, and what all answers begin with. Costs are left out without the permission."""
    if given.to - given.from_ >= timedelta(days=MAX_DAYS):
        raise Refusal("validation_error", f"A period has at most {MAX_DAYS} days.")
    values = {"from": given.from_, "to": given.to, "granularity": grain}
    trade, scope, period = asked(principal.actor.store_id, values)
    body = MAKERS[given.metric](scope, period, **options)
    if not principal.actor.may(COST):
        body = without_costs(body)
    heading = {
        "metric": given.metric,
        "currency": trade.currency_code,
        "time_zone": trade.timezone,
        "from": period.shown(period.start),
        "to": period.shown(period.end),
    }
    return body, heading


def former(body: Mapping[str, Any]) -> dict[str, Any]:
    before = body["previousPeriod"]
    return {"from": before["from"], "to": before["to"], "totals": before["totals"]}


@tool(
    "Summary of a period",
    "Totals of a period and of the one right before it.",
    scopes="analytics:read",
    input=Period,
    output=obj(**PERIOD, totals=FIGURES, previous_period=FORMER),
)
def get_analytics_summary(principal: Principal, given: Period) -> dict[str, Any]:
    body, heading = report(principal, given, "month")
    return {**heading, "totals": body["totals"], "previous_period": former(body)}


class Series(Period):
    grain: Literal["hour", "day", "week", "month"] = "day"


@tool(
    "Figures over time",
    "The same figures for each hour, day, week or month of a period.",
    scopes="analytics:read",
    input=Series,
    output=obj(**PERIOD, buckets=array(FIGURES), previous_period=FORMER),
)
def get_analytics_timeseries(principal: Principal, given: Series) -> dict[str, Any]:
    body, heading = report(principal, given, given.grain)
    return {**heading, "buckets": body["buckets"], "previous_period": former(body)}


class Top(Period):
    metric: Literal["sales"] = "sales"
    dimension: Literal["product", "customer", "status", "channel", "province", "payment_method"]
    sort: Literal["net", "units"] = Field("net", description="For products.")
    limit: int = Field(10, ge=1, le=50)


PARTS = {"status": "byStatus", "channel": "byChannel", "province": "byProvince",
         "payment_method": "byPaymentMethod"}  # fmt: skip


@tool(
    "What sold best",
    "The largest parts of sales by product, customer, status, channel, province or payment "
    "method. Customers need customers:read.",
    scopes="analytics:read",
    input=Top,
    output=obj(**PERIOD, dimension=TEXT, items=array(FIGURES), note=MAYBE_TEXT),
)
def get_analytics_top(principal: Principal, given: Top) -> dict[str, Any]:
    note = None
    if given.dimension == "product":
        chosen = given.model_copy(update={"metric": "products"})
        body, heading = report(principal, chosen, "month", sort=given.sort)
        rows = body["items"]
    elif given.dimension == "customer":
        chosen = given.model_copy(update={"metric": "customers"})
        body, heading = report(principal, chosen, "month")
        rows = body["topCustomers"]
        if not sees_customers(principal):
            rows = [{**row, "customerId": None, "name": None} for row in rows]
            note = "Names need the scope customers:read, and a role that may see customers."
    else:
        body, heading = report(principal, given, "month")
        rows = body[PARTS[given.dimension]]
    return {**heading, "dimension": given.dimension, "items": rows[: given.limit], "note": note}
