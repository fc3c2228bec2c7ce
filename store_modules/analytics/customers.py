"""The report on customers (domain.md, section 12)."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.db import connection

from store_modules.analytics.contributions import CUSTOMERS, ORDERS
from store_modules.analytics.periods import Period
from store_modules.analytics.reading import Figures, Scope, Sums, combined, filled, former, rate

TOP = 50
OUTCOMES = ("delivered_orders", "refused_orders")
TOTAL = """
SELECT count(*), coalesce(sum(firsts), 0), coalesce(sum(orders), 0) FROM (
  SELECT sum(orders) AS orders, sum(firsts) AS firsts FROM ({source}) rows
  GROUP BY customer_id HAVING sum(orders) > 0
) active
"""
# A customer is active in the bucket of the first order in the period, so that buckets add up. Rows
# that were taken out and not summed up yet make a day look like one with an order; customers who
# have such rows are looked at by day.
PARTS = """
WITH rows AS NOT MATERIALIZED ({source}), active AS MATERIALIZED (
  SELECT customer_id, sum(orders) AS orders, sum(net) AS net, sum(firsts) AS firsts,
    min(slot) FILTER (WHERE orders > 0) AS slot, bool_or(orders < 0) AS is_unsettled
  FROM rows GROUP BY customer_id HAVING sum(orders) > 0
)
SELECT 'bucket', coalesce(settled.slot, active.slot) AS bucket, NULL::uuid AS customer_id,
  NULL AS key, count(*), sum(firsts), sum(orders), NULL::numeric AS net
FROM active LEFT JOIN (
  SELECT customer_id, min(slot) AS slot FROM (
    SELECT customer_id, slot FROM rows
    WHERE customer_id IN (SELECT customer_id FROM active WHERE is_unsettled)
    GROUP BY customer_id, slot HAVING sum(orders) > 0
  ) days GROUP BY customer_id
) settled USING (customer_id) GROUP BY bucket
UNION ALL (
  SELECT 'best', NULL, customer_id, NULL, 1, 0, orders, net
  FROM active ORDER BY net DESC, customer_id LIMIT %(top)s
)
UNION ALL
SELECT 'place', NULL, NULL, province_code, count(*), 0, sum(orders), NULL
FROM (
  SELECT province_code, sum(orders) AS orders FROM rows
  GROUP BY customer_id, province_code HAVING sum(orders) > 0
) places GROUP BY province_code
"""


def customers(scope: Scope, period: Period) -> dict[str, Any]:
    """Who bought, who came back, who refused."""
    rows = ask(scope, period, PARTS)
    buckets = defaultdict(list)
    for part, slot, *_, active, firsts, orders, _ in rows:
        if part == "bucket":
            sums = {"active": active, "firsts": firsts, "orders": orders}
            buckets[period.bucket_of(slot)].append(sums)
    added_up = {bucket: combined(parts) for bucket, parts in buckets.items()}
    best = [(pk, int(orders), net) for part, _, pk, _, _, _, orders, net in rows if part == "best"]
    names = names_of(scope, [pk for pk, *_ in best])
    places = [
        {"key": key or None, "customers": count, "ordersCount": int(orders)}
        for part, _, _, key, count, _, orders, _ in rows
        if part == "place"
    ]
    totals = people(combined(added_up.values()))
    return {
        "totals": totals | outcomes(scope, period),
        "buckets": filled(period, added_up, people),
        "topCustomers": [
            {
                "customerId": pk,
                "name": names.get(pk),
                "ordersCount": orders,
                "net": scope.money(net),
            }
            for pk, orders, net in sorted(best, key=lambda one: (-one[2], one[0]))
        ],
        "byProvince": sorted(places, key=lambda one: (-one["customers"], one["key"] or "")),
        "previousPeriod": former(period.before, totals_of(scope, period.before)),
    }


def ask(scope: Scope, period: Period, question: str) -> list[tuple[Any, ...]]:
    source, values = Figures(scope, period, CUSTOMERS).source
    with connection.cursor() as cursor:
        cursor.execute(question.format(source=source), values | {"top": TOP})
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def totals_of(scope: Scope, period: Period) -> dict[str, Any]:
    counted = dict(zip(("active", "firsts", "orders"), ask(scope, period, TOTAL)[0], strict=True))
    return people(counted) | outcomes(scope, period)


def people(sums: Sums) -> dict[str, Any]:
    active, new, orders = (int(sums[name]) for name in ("active", "firsts", "orders"))
    return {
        "activeCustomers": active,
        "newCustomers": new,
        "returningCustomers": active - new,
        "returningRate": rate(active - new, active),
        "ordersCount": orders,
        "repeatOrders": orders - new,
    }


def outcomes(scope: Scope, period: Period) -> dict[str, Any]:
    """How often goods were refused at the door, of the period's orders that came to an end."""
    sums = Figures(scope, period, ORDERS, "placed").total(OUTCOMES)
    delivered, refused = (int(sums[name]) for name in OUTCOMES)
    return {
        "deliveredOrders": delivered,
        "refusedOrders": refused,
        "refusalRate": rate(refused, delivered + refused),
    }


def names_of(scope: Scope, ids: list[UUID]) -> dict[UUID, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, name FROM customers_customer WHERE store_id = %s AND id = ANY(%s)",
            [scope.store_id, ids],
        )
        return dict(cursor.fetchall())
