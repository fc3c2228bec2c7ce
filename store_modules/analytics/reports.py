"""The five reports (domain.md, section 12): sums over the figures, and over expenses and receipts.

Whole days come from the kept figures; hours, and days that a period cuts, from the orders of just
those hours. So a report costs what its days hold, however many orders the store has.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from store_modules.analytics.contributions import (
    ORDER_MEASURES,
    PRODUCT_MEASURES,
    order_parts,
    product_parts,
    whole,
)
from store_modules.analytics.periods import Period, midnight
from storeplatform.kernel.money import format_money, minor_units
from storeplatform.kernel.parsing import plain

ZERO = Decimal(0)
RATE_PLACES = Decimal("0.0001")
TOP = 50
DIMENSIONS = {
    "byStatus": "status",
    "byChannel": "channel",
    "byProvince": "province_code",
    "byPaymentMethod": "payment_method",
}
Sums = defaultdict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose report it is."""

    store_id: UUID
    currency: str

    def money(self, amount: Decimal | None) -> str:
        return format_money(amount or ZERO, self.currency)


def rate(part: Decimal | int, of: Decimal | int) -> str | None:
    """A share from 0 to 1 with four places; null of nothing."""
    if not of:
        return None
    return f"{(Decimal(part) / Decimal(of)).quantize(RATE_PLACES, ROUND_HALF_UP):f}"


# Reading figures


def whole_days(period: Period) -> tuple[Any, Any, list[tuple[datetime, datetime]]]:
    """The first and last whole day of a period, and the ranges at its ends that cut a day. By the
    hour everything is such a range."""
    if period.granularity == "hour":
        return None, None, [(period.start, period.end)]
    first, last = period.day_of(period.start), period.day_of(period.end - timedelta(microseconds=1))
    edges = []
    if midnight(first, period.zone) < period.start:
        first += timedelta(days=1)
        edges.append((period.start, min(midnight(first, period.zone), period.end)))
    if midnight(last + timedelta(days=1), period.zone) > period.end and last >= first:
        edges.append((midnight(last, period.zone), period.end))
        last -= timedelta(days=1)
    return (first, last, edges) if first <= last else (None, None, edges)


def read(
    scope: Scope, period: Period, table: str, dimensions: Iterable[str], measures: Iterable[str]
) -> list[dict[str, Any]]:
    """Sums by bucket and dimensions: `bucket` is the instant that the row's bucket starts at."""
    names, groups = list(measures), list(dimensions)
    summed = ", ".join(f"sum({name}) AS {name}" for name in names)
    first, last, edges = whole_days(period)
    rows = []
    columns = "".join(f", {name}" for name in groups)
    parts = order_parts if table == "analytics_dayfigure" else product_parts
    with connection.cursor() as cursor:
        if first is not None:
            cursor.execute(
                f"SELECT day{columns}, {summed} FROM {table} WHERE store_id = %s"  # noqa: S608
                f" AND day BETWEEN %s AND %s GROUP BY day{columns}",
                [scope.store_id, first, last],
            )
            for day, *values in cursor.fetchall():
                start = period.bucket_of(midnight(day, period.zone))
                rows.append(dict(zip(["bucket", *groups, *names], [start, *values], strict=True)))
        for start, end in edges:
            made = whole(parts(minor_units(scope.currency)), "o.store_id = %(store)s", between=True)
            cursor.execute(
                f"SELECT date_trunc('hour', at, %(zone)s) AS hour{columns}, {summed}"  # noqa: S608
                f" FROM ({made}) rows GROUP BY hour{columns}",
                {"store": scope.store_id, "start": start, "end": end, "zone": period.zone.key},
            )
            for hour, *values in cursor.fetchall():
                at = period.bucket_of(max(hour, period.start))
                rows.append(dict(zip(["bucket", *groups, *names], [at, *values], strict=True)))
    return rows


def sums_of(rows: Iterable[Mapping[str, Any]], names: Iterable[str], key: Any) -> dict[Any, Sums]:
    found: dict[Any, Sums] = defaultdict(lambda: defaultdict(lambda: ZERO))
    wanted = list(names)
    for row in rows:
        into = found[key(row)]
        for name in wanted:
            into[name] += row[name]
    return found


def order_rows(scope: Scope, period: Period, dimensions: Iterable[str] = ()) -> Any:
    return read(scope, period, "analytics_dayfigure", ["basis", *dimensions], ORDER_MEASURES)


def by_basis(rows: list[dict[str, Any]], basis: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["basis"] == basis]


# Sales


def sales(scope: Scope, period: Period) -> dict[str, Any]:
    """Demand, by the time when orders were placed; returns on the day they are checked in."""
    rows = [r for r in order_rows(scope, period, DIMENSIONS.values()) if r["basis"] in SALES]
    buckets = sums_of(rows, ORDER_MEASURES, lambda row: row["bucket"])
    total = sums_of(rows, ORDER_MEASURES, lambda _: None)[None]
    former = [r for r in order_rows(scope, period.before) if r["basis"] in SALES]
    before = sums_of(former, ORDER_MEASURES, lambda _: None)[None]
    return {
        "totals": sales_figures(scope, total),
        "buckets": filled(period, buckets, lambda sums: sales_figures(scope, sums)),
        **{name: breakdown(scope, rows, column) for name, column in DIMENSIONS.items()},
        "previousPeriod": before_of(period, sales_figures(scope, before)),
    }


SALES = ("placed", "returned")


def sales_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    net = sums["gross"] - sums["discounts"] - sums["returns"]
    total = net + sums["delivery"] + sums["tax"] + sums["rounding"]
    orders, cancelled = int(sums["orders"]), int(sums["cancelled"])
    average = (total + sums["returns"]) / orders if orders else None
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
        "averageOrderValue": None if average is None else money(average),
        "cancelledCount": cancelled,
        "cancelledRate": rate(cancelled, orders + cancelled),
        "confirmedRate": rate(int(sums["confirmed"]), orders),
    }


def breakdown(scope: Scope, rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    """The same by one dimension, largest first."""
    parts = sums_of(rows, ORDER_MEASURES, lambda row: row[column])
    shown = [
        {
            "key": key or None,
            "ordersCount": int(sums["orders"] + sums["cancelled"]),
            "netSales": scope.money(sums["gross"] - sums["discounts"] - sums["returns"]),
        }
        for key, sums in parts.items()
    ]
    return sorted(shown, key=lambda one: (-one["ordersCount"], str(one["key"])))


def filled(period: Period, buckets: Mapping[datetime, Sums], show: Any) -> list[dict[str, Any]]:
    """Every bucket of the period, also those in which nothing happened."""
    empty: Sums = defaultdict(lambda: ZERO)
    return [
        {"bucketStart": period.shown(start), **show(buckets.get(start, empty))}
        for start in period.buckets()
    ]


def before_of(period: Period, totals: dict[str, Any]) -> dict[str, Any]:
    before = period.before
    return {"from": before.shown(before.start), "to": before.shown(before.end), "totals": totals}


# Revenue


def revenue(scope: Scope, period: Period) -> dict[str, Any]:
    """Earnings, by the time when goods were delivered; till sales at once."""
    figures = earned(scope, period)
    total = combined(figures.values())
    former = combined(earned(scope, period.before).values())
    with_courier = cash_with_courier(scope, period.end)

    def show(sums: Sums) -> dict[str, Any]:
        return revenue_figures(scope, sums)

    totals = show(total) | {
        "cashWithCourier": scope.money(with_courier),
        "linesWithoutCost": int(total["lines_without_cost"]),
        "costIncomplete": total["lines_without_cost"] > 0,
    }
    return {
        "totals": totals,
        "buckets": filled(period, figures, show),
        "previousPeriod": before_of(period, show(former)),
    }


def earned(scope: Scope, period: Period) -> dict[datetime, Sums]:
    rows = [r for r in order_rows(scope, period) if r["basis"] in ("delivered", "paid")]
    buckets = sums_of(rows, ORDER_MEASURES, lambda row: row["bucket"])
    for name, parts in (
        ("expenses", spent(scope, period)),
        ("purchases", received(scope, period)),
    ):
        for bucket, amount in parts:
            buckets[bucket][name] += amount
    return buckets


def combined(parts: Iterable[Sums]) -> Sums:
    total: Sums = defaultdict(lambda: ZERO)
    for sums in parts:
        for name, amount in sums.items():
            total[name] += amount
    return total


def revenue_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    gross = sums["delivered_net"] - sums["refunds"] - sums["cogs"]
    delivery = sums["delivery"] - sums["delivery_cost"]
    earned_net = sums["delivered_net"] - sums["refunds"]
    return {
        "deliveredRevenue": money(sums["delivered_net"]),
        "deliveryIncome": money(sums["delivery"]),
        "deliveryCost": money(sums["delivery_cost"]),
        "deliveryMargin": money(delivery),
        "refunds": money(sums["refunds"]),
        "cogs": money(sums["cogs"]),
        "grossProfit": money(gross),
        "grossMargin": rate(gross, earned_net),
        "expenses": money(sums["expenses"]),
        "purchases": money(sums["purchases"]),
        "netProfit": money(gross + delivery - sums["expenses"]),
        "cashCollected": money(sums["cash_collected"]),
        "cashRemitted": money(sums["cash_remitted"]),
    }


def spent(scope: Scope, period: Period) -> list[tuple[datetime, Decimal]]:
    """Expenses by bucket; a date counts at its midnight."""
    return [(bucket, amount) for bucket, _, amount in expense_rows(scope, period)]


def expense_rows(scope: Scope, period: Period) -> list[tuple[datetime, str, Decimal]]:
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
            (period.bucket_of(midnight(day, period.zone)), category, amount)
            for day, category, amount in cursor.fetchall()
        ]


def received(scope: Scope, period: Period) -> list[tuple[datetime, Decimal]]:
    """What arrived from suppliers, by bucket."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT received_at, value FROM purchasing_purchasereceipt WHERE store_id = %s"
            " AND received_at >= %s AND received_at < %s",
            [scope.store_id, period.start, period.end],
        )
        return [(period.bucket_of(at), value) for at, value in cursor.fetchall()]


def cash_with_courier(scope: Scope, at: datetime) -> Decimal:
    """Cash that couriers had collected and not handed over at an instant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(money.amount), 0) FROM orders_order o"
            " JOIN orders_orderpayment money ON money.order_id = o.id"
            " WHERE o.store_id = %(store)s AND money.method = 'cod' AND money.kind = 'payment'"
            " AND money.at < %(at)s AND (o.remittance_status IN ('with_courier', 'disputed')"
            " OR (o.delivery_company_id IS NOT NULL AND o.remitted_at >= %(at)s))",
            {"store": scope.store_id, "at": at},
        )
        amount: Decimal = cursor.fetchone()[0]
    return amount


# Products


def products(scope: Scope, period: Period, *, sort: str = "net") -> dict[str, Any]:
    """The fifty best products by net, units, profit or return rate."""
    rows = read(scope, period, "analytics_productfigure", ["product_id", "sku"], PRODUCT_MEASURES)
    parts = sums_of(rows, PRODUCT_MEASURES, lambda row: (row["product_id"], row["sku"]))
    total = combined(parts.values())
    former = read(scope, period.before, "analytics_productfigure", [], PRODUCT_MEASURES)
    before = sums_of(former, PRODUCT_MEASURES, lambda _: None)[None]
    order: Callable[[Sums], Any] = {
        "net": product_net,
        "units": lambda sums: sums["units"],
        "profit": lambda sums: product_net(sums) - sums["cogs"],
        "returnRate": lambda sums: sums["returned_units"] / sums["units"] if sums["units"] else 0,
    }[sort]
    best = sorted(parts.items(), key=lambda item: (-order(item[1]), str(item[0][1])))[:TOP]
    known = stock_of(scope, [product_id for (product_id, _), _ in best if product_id])
    buckets = sums_of(rows, PRODUCT_MEASURES, lambda row: row["bucket"])

    def show(sums: Sums) -> dict[str, Any]:
        return product_figures(scope, sums)

    return {
        "sort": sort,
        "totals": show(total),
        "buckets": filled(period, buckets, show),
        "items": [
            {
                "productId": product_id,
                "sku": sku,
                **show(sums),
                "share": rate(product_net(sums), product_net(total)),
                **on_the_shelf(known.get(product_id), sums, period, sku),
            }
            for (product_id, sku), sums in best
        ],
        "previousPeriod": before_of(period, show(before)),
    }


def product_net(sums: Sums) -> Decimal:
    return sums["net"] - sums["returned_net"]


def product_figures(scope: Scope, sums: Sums) -> dict[str, Any]:
    money = scope.money
    return {
        "units": int(sums["units"]),
        "net": money(product_net(sums)),
        "cogs": money(sums["cogs"]),
        "profit": money(product_net(sums) - sums["cogs"]),
        "returnsUnits": int(sums["returned_units"]),
        "returnsNet": money(sums["returned_net"]),
        "returnRate": rate(sums["returned_units"], sums["units"]),
        "costIncomplete": sums["lines_without_cost"] > 0,
    }


def stock_of(scope: Scope, ids: list[UUID]) -> dict[UUID, tuple[str, str, int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT product.id, product.name, product.sku, item.quantity_on_hand,"
            " item.quantity_on_hand - item.quantity_reserved"
            " FROM catalog_product product"
            " LEFT JOIN catalog_inventoryitem item ON item.product_id = product.id"
            " WHERE product.store_id = %s AND product.id = ANY(%s)",
            [scope.store_id, ids],
        )
        return {pk: (name, sku, hand, free) for pk, name, sku, hand, free in cursor.fetchall()}


def on_the_shelf(
    known: tuple[str, str, int, int] | None, sums: Sums, period: Period, sku: str
) -> dict[str, Any]:
    """Name, stock, and for how many days it lasts at the period's pace."""
    if known is None:
        return {"name": sku, "onHand": None, "daysOfStock": None}
    name, _, on_hand, available = known
    days = Decimal((period.end - period.start).total_seconds()) / 86400
    pace = sums["units"] / days if days else ZERO
    lasts = None
    if pace > 0 and available is not None:
        lasts = f"{(available / pace).quantize(Decimal('0.1'), ROUND_HALF_UP):f}"
    return {"name": name, "onHand": on_hand, "daysOfStock": lasts}


# Customers

# The period's customers with what they ordered, and whether they had ordered before it.
CUSTOMERS = """
WITH active AS (
  SELECT o.customer_id, count(*) AS orders, sum(o.subtotal - o.discount_total) AS net,
    min(o.placed_at) AS first_at
  FROM orders_order o
  WHERE o.store_id = %(store)s AND o.placed_at >= %(start)s AND o.placed_at < %(end)s
    AND o.status NOT IN ('draft', 'cancelled') AND NOT o.is_credit_only
    AND o.customer_id IS NOT NULL
  GROUP BY o.customer_id
)
SELECT active.customer_id, active.orders, active.net, active.first_at,
  EXISTS (SELECT 1 FROM orders_order former WHERE former.customer_id = active.customer_id
    AND former.placed_at < %(start)s AND former.status NOT IN ('draft', 'cancelled')
    AND NOT former.is_credit_only) AS returning
FROM active
"""
OUTCOMES = """
SELECT count(*) FILTER (WHERE status IN ('delivered', 'partially_delivered')),
  count(*) FILTER (WHERE status IN ('returning', 'returned') AND delivered_at IS NULL)
FROM orders_order WHERE store_id = %(store)s AND placed_at >= %(start)s AND placed_at < %(end)s
  AND NOT is_credit_only
"""
PLACES = """
SELECT province_code, count(DISTINCT customer_id) FROM orders_order
WHERE store_id = %(store)s AND placed_at >= %(start)s AND placed_at < %(end)s
  AND status NOT IN ('draft', 'cancelled') AND NOT is_credit_only AND customer_id IS NOT NULL
GROUP BY province_code ORDER BY 2 DESC, 1
"""


def customers(scope: Scope, period: Period) -> dict[str, Any]:
    """Who bought, who came back, who refused."""
    asked: dict[str, Any] = {"store": scope.store_id, "start": period.start, "end": period.end}
    with connection.cursor() as cursor:
        cursor.execute(CUSTOMERS, asked)
        rows = cursor.fetchall()
        cursor.execute(PLACES, asked)
        places = cursor.fetchall()
    best = sorted(rows, key=lambda row: (-row[2], str(row[0])))[:TOP]
    names = customer_names(scope, [row[0] for row in best])
    new: dict[datetime, int] = defaultdict(int)
    back: dict[datetime, int] = defaultdict(int)
    for _, _, _, first_at, returning in rows:
        (back if returning else new)[period.bucket_of(first_at)] += 1
    return {
        "totals": customer_totals(scope, period, rows),
        "buckets": [
            {
                "bucketStart": period.shown(start),
                "activeCustomers": new[start] + back[start],
                "newCustomers": new[start],
                "returningCustomers": back[start],
            }
            for start in period.buckets()
        ],
        "topCustomers": [
            {
                "customerId": pk,
                "name": names.get(pk),
                "ordersCount": count,
                "net": scope.money(net),
            }
            for pk, count, net, _, _ in best
        ],
        "byProvince": [{"key": code or None, "customers": count} for code, count in places],
        "previousPeriod": before_of(period, customer_totals(scope, period.before)),
    }


def customer_totals(
    scope: Scope, period: Period, rows: list[tuple[Any, ...]] | None = None
) -> dict[str, Any]:
    asked: dict[str, Any] = {"store": scope.store_id, "start": period.start, "end": period.end}
    with connection.cursor() as cursor:
        if rows is None:
            cursor.execute(CUSTOMERS, asked)
            rows = cursor.fetchall()
        cursor.execute(OUTCOMES, asked)
        delivered, refused = cursor.fetchone()
    active = len(rows)
    returning = sum(1 for row in rows if row[4])
    orders = sum(row[1] for row in rows)
    return {
        "activeCustomers": active,
        "newCustomers": active - returning,
        "returningCustomers": returning,
        "returningRate": rate(returning, active),
        "ordersCount": orders,
        "repeatOrders": orders - (active - returning),
        "refusalRate": rate(refused, delivered + refused),
    }


def customer_names(scope: Scope, ids: list[UUID]) -> dict[UUID, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, name FROM customers_customer WHERE store_id = %s AND id = ANY(%s)",
            [scope.store_id, ids],
        )
        return dict(cursor.fetchall())


# Expenses


def expenses(scope: Scope, period: Period) -> dict[str, Any]:
    """What was spent, on what, and how much of the revenue that is."""
    rows = expense_rows(scope, period)
    buckets: dict[datetime, Sums] = defaultdict(lambda: defaultdict(lambda: ZERO))
    kinds: Sums = defaultdict(lambda: ZERO)
    for bucket, category, amount in rows:
        buckets[bucket]["amount"] += amount
        kinds[category] += amount
    total = sum(kinds.values(), ZERO)
    before = sum((amount for _, _, amount in expense_rows(scope, period.before)), ZERO)
    delivered = by_basis(order_rows(scope, period), "delivered")
    income = sum((row["delivered_net"] for row in delivered), ZERO)
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return {
        "totals": {"amount": scope.money(total), "shareOfRevenue": rate(total, income)},
        "buckets": filled(period, buckets, lambda sums: {"amount": scope.money(sums["amount"])}),
        "byCategory": [
            {"key": word, "amount": scope.money(amount), "share": rate(amount, total)}
            for word, amount in ordered
        ],
        "previousPeriod": before_of(period, {"amount": scope.money(before)}),
    }


def made_at() -> str:
    shown: str = plain(timezone.now())
    return shown
