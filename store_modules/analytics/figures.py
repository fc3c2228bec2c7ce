"""Keeping the figures: taking an order out and putting it in, summing up, rebuilding."""

from datetime import date
from functools import cache
from uuid import UUID

import structlog
from django.db import connection, transaction

from store_modules.analytics.contributions import KINDS, OF_ORDER, OF_STORE, Kind, contributed
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.database import prepared
from storeplatform.kernel.money import minor_units

log = structlog.get_logger(__name__)
DAYS_AT_ONCE = 200
# Writers hold it together, a rebuilding alone: meanwhile days are cut in one time zone.
LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtextextended('figures' || %s::text, 0))"
LOCK_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('figures' || %s::text, 0))"


def summed(kind: Kind, sign: int = 1) -> str:
    return ", ".join(f"sum({name}) * {sign}" for name in kind.measures)


@cache
def adding(digits: int, sign: int, condition: str, *, is_sum: bool = False) -> str:
    """The statement that adds the contributions that meet a condition to all tables, or takes them
    out (`sign` -1)."""
    parts = []
    for kind in KINDS:
        groups = ", ".join(kind.dimensions)
        parts.append(
            f"INSERT INTO {kind.table}"  # noqa: S608  # our own names
            f" (store_id, day, is_sum, {groups}, {', '.join(kind.measures)})"
            " SELECT rows.store_id, (rows.at AT TIME ZONE trade.timezone)::date AS on_day,"
            f" {is_sum}, {groups}, {summed(kind, sign)}"
            f" FROM ({contributed(kind, digits, condition)}) rows"
            " JOIN stores_storesettings trade ON trade.store_id = rows.store_id"
            f" GROUP BY rows.store_id, on_day, {groups} HAVING {kind.is_something}"
        )
    *others, last = parts
    named = ", ".join(f"part{place} AS ({part})" for place, part in enumerate(others))
    return f"WITH {named} {last}"


# The customer's row keeps two orders of one customer from both being the first.
BEFORE_A_CHANGE = """
SELECT o.currency_code, (
    SELECT 1 FROM customers_customer known WHERE known.id = o.customer_id FOR NO KEY UPDATE
  ), pg_advisory_xact_lock_shared(hashtextextended('figures' || o.store_id::text, 0))
FROM orders_order o WHERE o.id = %s
"""


def change(order_id: UUID, sign: int) -> None:
    with prepared() as cursor:
        cursor.execute(BEFORE_A_CHANGE, [order_id])
        currency = cursor.fetchone()[0]
        cursor.execute(adding(minor_units(currency), sign, OF_ORDER), {"order": order_id})


def take_out(order_id: UUID) -> None:
    """Before an order changes."""
    change(order_id, -1)


def put_in(order_id: UUID) -> None:
    """After an order was stored or changed."""
    change(order_id, 1)


# Summing up


def sum_up() -> int:
    """Sum up days that have got new rows; the figures stay what they are."""
    done = 0
    for kind in KINDS:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT store_id, day FROM {kind.table} WHERE NOT is_sum"  # noqa: S608
                f" LIMIT {DAYS_AT_ONCE}"
            )
            days = cursor.fetchall()
        for store_id, day in days:
            sum_up_day(kind, store_id, day)
            done += 1
    return done


@transaction.atomic
def sum_up_day(kind: Kind, store_id: UUID, day: date) -> None:
    groups, names = ", ".join(kind.dimensions), ", ".join(kind.measures)
    with connection.cursor() as cursor:
        cursor.execute(LOCK_SHARED, [store_id])
        cursor.execute(
            f"WITH gone AS (DELETE FROM {kind.table}"  # noqa: S608
            " WHERE store_id = %(store)s AND day = %(day)s RETURNING *)"
            f" INSERT INTO {kind.table} (store_id, day, is_sum, {groups}, {names})"
            f" SELECT store_id, day, true, {groups}, {summed(kind)} FROM gone"
            f" GROUP BY store_id, day, {groups} HAVING {kind.is_something}",
            {"store": store_id, "day": day},
        )


# Rebuilding


@transaction.atomic
def rebuild(store_id: UUID) -> None:
    """Forget a store's figures and make them anew from its orders; for a new time zone, and for
    operators who want to be sure."""
    trade = StoreSettings.objects.get(store_id=store_id)
    statement = adding(minor_units(trade.currency_code), 1, OF_STORE, is_sum=True)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(LOCK_ALONE, [store_id])
        for kind in KINDS:
            cursor.execute(f"DELETE FROM {kind.table} WHERE store_id = %s", [store_id])  # noqa: S608
        cursor.execute(statement, {"store": store_id})
    log.info("figures_rebuilt", store_id=str(store_id))
