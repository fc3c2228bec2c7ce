"""The reports on sales, revenue, products and expenses (domain.md, section 12)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from store_modules.analytics.contributions import ORDERS, PRODUCTS
from store_modules.analytics.periods import Period, midnight
from store_modules.analytics.reading import (
    ZERO,
    Figures,
    Scope,
    Sums,
    added,
    combined,
    filled,
    former,
    rate,
)

TOP = 50
ONE_PLACE = Decimal("0.1")

# Sales

SALES = ("placed", "returned")
SALES_MEASURES = (
    "orders", "cancelled", "confirmed", "units", "gross", "discounts", "returns", "delivery", "tax",
    "rounding",
)  # fmt: skip
BREAKDOWNS = {
    "byStatus": "status",
    "byChannel": "channel",
    "byProvince": "province_code",
    "byPaymentMethod": "payment_method",
}


def sales(scope: Scope, period: Period) -> dict[str, Any]:
    """Demand, by the time when orders were placed; returns on the day they are checked in."""
    figures = Figures(scope, period, ORDERS, *SALES)
    buckets = figures.by_bucket(SALES_MEASURES)
    before = Figures(scope, period.before, ORDERS, *SALES).total(SALES_MEASURES)

    def show(sums: Sums) -> dict[str, Any]:
        return sales_figures(scope, sums)

    return {
        "totals": show(combined(buckets.values())),
        "buckets": filled(period, buckets, show),
        **breakdowns(scope, figures),
        "previousPeriod": former(period.before, show(before)),
    }


def sales_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    net = sums["gross"] - sums["discounts"] - sums["returns"]
    total = net + sums["delivery"] + sums["tax"] + sums["rounding"]
    orders, cancelled = int(sums["orders"]), int(sums["cancelled"])
    return {
        "ordersCount": orders,
        "unitsSold": int(sums["units"]),
        "grossSales": money(sums["gross"]),
        "discounts": money(sums["discounts"]),
        "returns": money(sums["returns"]),
        "netSales": money(net),
        "deliveryCharged": money(sums["delivery"]),
        "tax": money(sums["tax"]),
        "rounding": money(sums["rounding"]),
        "totalSales": money(total),
        "averageOrderValue": money((total + sums["returns"]) / orders) if orders else None,
        "cancelledCount": cancelled,
        "cancelledRate": rate(cancelled, orders + cancelled),
        "confirmedRate": rate(int(sums["confirmed"]), orders + cancelled),
    }


def breakdowns(scope: Scope, figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Orders and net sales by each dimension, largest first. Cancelled orders are counted under
    their status only, so each other breakdown adds up to the total."""
    columns = ", ".join(BREAKDOWNS.values())
    sets = ", ".join(f"({column})" for column in BREAKDOWNS.values())
    rows = figures.select(
        f"GROUPING({columns}), coalesce({columns}), sum(orders), sum(cancelled),"
        " sum(gross - discounts - returns)",
        f"GROUP BY GROUPING SETS ({sets})",
    )
    shown: dict[str, list[dict[str, Any]]] = {name: [] for name in BREAKDOWNS}
    names = {15 ^ 8 >> place: name for place, name in enumerate(BREAKDOWNS)}
    for mask, key, orders, cancelled, net in rows:
        count = orders + cancelled if names[mask] == "byStatus" else orders
        if count or net:
            part = {"key": key or None, "ordersCount": count, "netSales": scope.money(net)}
            shown[names[mask]].append(part)
    for parts in shown.values():
        parts.sort(key=lambda part: (-part["ordersCount"], part["key"] or ""))
    return shown


# Revenue

REVENUE = ("delivered", "paid")
REVENUE_MEASURES = (
    "delivered_net", "delivery", "delivery_cost", "refunds", "cogs", "lines_without_cost",
    "cash_collected", "cash_remitted",
)  # fmt: skip


def revenue(scope: Scope, period: Period) -> dict[str, Any]:
    """Earnings, by the time when goods were delivered; till sales at once."""
    buckets, before = earned(scope, period), earned(scope, period.before)

    def show(sums: Sums) -> dict[str, Any]:
        return revenue_figures(scope, sums)

    def with_cash(buckets: Mapping[datetime, Sums], end: datetime) -> dict[str, Any]:
        cash = cash_with_courier(scope, period, end)
        return show(combined(buckets.values())) | {"cashWithCourier": scope.money(cash)}

    return {
        "totals": with_cash(buckets, period.end),
        "buckets": filled(period, buckets, show),
        "previousPeriod": former(period.before, with_cash(before, period.start)),
    }


def earned(scope: Scope, period: Period) -> dict[datetime, Sums]:
    buckets = Figures(scope, period, ORDERS, *REVENUE).by_bucket(REVENUE_MEASURES)
    others = [(bucket, {"expenses": amount}) for bucket, _, amount in spent(scope, period)]
    others += [(bucket, {"purchases": value}) for bucket, value in received(scope, period)]
    for bucket, sums in others:
        buckets[bucket] = added(buckets.get(bucket, {}), sums)
    return {bucket: combined([sums]) for bucket, sums in buckets.items()}


def revenue_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    net = sums["delivered_net"] - sums["refunds"]
    gross = net - sums["cogs"]
    delivery = sums["delivery"] - sums["delivery_cost"]
    return {
        "deliveredRevenue": money(sums["delivered_net"]),
        "deliveryIncome": money(sums["delivery"]),
        "deliveryCost": money(sums["delivery_cost"]),
        "deliveryMargin": money(delivery),
        "refunds": money(sums["refunds"]),
        "cogs": money(sums["cogs"]),
        "grossProfit": money(gross),
        "grossMargin": rate(gross, net),
        "expenses": money(sums["expenses"]),
        "purchases": money(sums["purchases"]),
        "netProfit": money(gross + delivery - sums["expenses"]),
        "cashCollected": money(sums["cash_collected"]),
        "cashRemitted": money(sums["cash_remitted"]),
        "linesWithoutCost": int(sums["lines_without_cost"]),
        "costIncomplete": sums["lines_without_cost"] > 0,
    }


def received(scope: Scope, period: Period) -> list[tuple[datetime, Decimal]]:
    """What arrived from suppliers, by bucket."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT received_at, value FROM purchasing_purchasereceipt WHERE store_id = %s"
            " AND received_at >= %s AND received_at < %s",
            [scope.store_id, period.start, period.end],
        )
        return [(period.bucket_of(at), value) for at, value in cursor.fetchall()]


def cash_with_courier(scope: Scope, period: Period, at: datetime) -> Decimal:
    """Cash that couriers had collected and not handed over at an instant: by the figures of all
    whole days before it, a row or two each, and the orders of its own day."""
    day = period.day_of(at)
    today = Period(midnight(day, period.zone), at, period.zone, "hour")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(cash_with_courier), 0) FROM analytics_dayfigure"
            " WHERE store_id = %s AND basis = 'paid' AND day < %s",
            [scope.store_id, day],
        )
        amount: Decimal = cursor.fetchone()[0]
    if today.start < at:
        amount += Figures(scope, today, ORDERS, "paid").total(["cash_with_courier"])[
            "cash_with_courier"
        ]
    return amount


# Products

DEMAND = (
    "units", "gross", "discounts", "returns", "returned_units", "cogs", "lines_without_cost",
)  # fmt: skip
PRODUCT_ORDER = {
    "net": "sum(net)",
    "units": "sum(units)",
    "profit": "sum(net - cogs)",
    "returnRate": "sum(returned_units)::numeric / nullif(sum(units), 0)",
}
BEST = ", ".join(f"sum({name})" for name in PRODUCTS.measures)


def products(scope: Scope, period: Period, *, sort: str = "net") -> dict[str, Any]:
    """The fifty best products by net, units, profit or return rate; the totals are of all."""
    figures = Figures(scope, period, ORDERS, *SALES)
    buckets = {at: demand(sums) for at, sums in figures.by_bucket(DEMAND).items()}
    before = Figures(scope, period.before, ORDERS, *SALES).total(DEMAND)
    total = combined(buckets.values())

    def show(sums: Sums) -> dict[str, Any]:
        return product_figures(scope, sums)

    return {
        "sort": sort,
        "totals": show(total),
        "buckets": filled(period, buckets, show),
        "items": best_products(scope, period, sort, total["net"]),
        "previousPeriod": former(period.before, show(demand(before))),
    }


def demand(sums: Sums) -> Sums:
    """An order's figures named like a product's."""
    net = sums["gross"] - sums["discounts"] - sums["returns"]
    return {**sums, "net": net, "returned_net": sums["returns"]}


def product_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    return {
        "units": int(sums["units"]),
        "net": money(sums["net"]),
        "cogs": money(sums["cogs"]),
        "profit": money(sums["net"] - sums["cogs"]),
        "returnsUnits": int(sums["returned_units"]),
        "returnsNet": money(sums["returned_net"]),
        "returnRate": rate(sums["returned_units"], sums["units"]),
        "costIncomplete": sums["lines_without_cost"] > 0,
    }


def best_products(scope: Scope, period: Period, sort: str, total: Decimal) -> list[dict[str, Any]]:
    rows = Figures(scope, period, PRODUCTS).select(
        f"product_id, sku, {BEST}",
        f"GROUP BY product_id, sku HAVING {PRODUCTS.is_something}"
        f" ORDER BY {PRODUCT_ORDER[sort]} DESC NULLS LAST, sku, product_id LIMIT %(top)s",
        top=TOP,
    )
    articles = articles_of(scope, [product_id for product_id, *_ in rows if product_id])
    items = []
    for product_id, sku, *values in rows:
        sums = dict(zip(PRODUCTS.measures, values, strict=True))
        article = articles.get(product_id) or Article(sku, sku, None, None)
        items.append(
            {
                "productId": product_id,
                "sku": article.sku,
                "name": article.name,
                **product_figures(scope, sums),
                "share": rate(sums["net"], total),
                "onHand": article.on_hand,
                "daysOfStock": days_of_stock(article.available, sums["units"], period),
            }
        )
    return items


class Article(NamedTuple):
    """A product as it is now, or a line outside the catalogue by its SKU."""

    sku: str
    name: str
    on_hand: int | None
    available: int | None


def articles_of(scope: Scope, ids: list[UUID]) -> dict[UUID, Article]:
    """Products that do not count stock have none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT product.id, product.sku, product.name, sum(item.quantity_on_hand),"
            " sum(item.quantity_on_hand - item.quantity_reserved)"
            " FROM catalog_product product LEFT JOIN catalog_inventoryitem item"
            " ON item.product_id = product.id AND product.track_inventory"
            " WHERE product.store_id = %s AND product.id = ANY(%s) GROUP BY product.id",
            [scope.store_id, ids],
        )
        return {pk: Article(*row) for pk, *row in cursor.fetchall()}


def days_of_stock(available: int | None, units: Decimal, period: Period) -> str | None:
    """For how long the available pieces last at the period's mean daily units."""
    if available is None or units <= 0:
        return None
    days = Decimal(period.span / timedelta(days=1))
    return f"{(available * days / units).quantize(ONE_PLACE, ROUND_HALF_UP):f}"


# Expenses


def expenses(scope: Scope, period: Period) -> dict[str, Any]:
    """What was spent, on what, and how much of the revenue that is."""
    rows = spent(scope, period)
    buckets: dict[datetime, Sums] = {}
    for bucket, _, amount in rows:
        buckets[bucket] = added(buckets.get(bucket, {}), {"total": amount})

    def show(sums: Sums) -> dict[str, Any]:
        return {"total": scope.money(sums["total"])}

    def totals(period: Period, rows: list[tuple[datetime, str, Decimal]]) -> dict[str, Any]:
        total = sum((amount for *_, amount in rows), ZERO)
        income = Figures(scope, period, ORDERS, "delivered").total(["delivered_net"])
        share = rate(total, income["delivered_net"])
        return {"total": scope.money(total), "shareOfRevenue": share}

    before = period.before
    return {
        "totals": totals(period, rows),
        "buckets": filled(period, buckets, show),
        "byCategory": categories(scope, rows),
        "previousPeriod": former(before, totals(before, spent(scope, before))),
    }


def categories(scope: Scope, rows: list[tuple[datetime, str, Decimal]]) -> list[dict[str, Any]]:
    amounts = combined({category: amount} for _, category, amount in rows)
    total = sum(amounts.values(), ZERO)
    return [
        {"key": category, "total": scope.money(amount), "share": rate(amount, total)}
        for category, amount in sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
    ]


def spent(scope: Scope, period: Period) -> list[tuple[datetime, str, Decimal]]:
    """Expenses by bucket and category; a date counts at its midnight."""
    first = period.day_of(period.start)
    if midnight(first, period.zone) < period.start:
        first += timedelta(days=1)
    last = period.day_of(period.end - timedelta(microseconds=1))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT date, category, sum(amount) FROM expenses_expense WHERE store_id = %s"
            " AND date BETWEEN %s AND %s GROUP BY date, category",
            [scope.store_id, first, last],
        )
        return [
            (period.bucket_of(day), category, amount) for day, category, amount in cursor.fetchall()
        ]
