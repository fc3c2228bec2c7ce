"""Keeping the figures: taking an order out and putting it in, summing up, rebuilding."""

from datetime import date
from functools import cache
from uuid import UUID

import structlog
from django.db import connection, transaction

from store_modules.analytics.contributions import (
    ORDER_DIMENSIONS,
    ORDER_MEASURES,
    PRODUCT_DIMENSIONS,
    PRODUCT_MEASURES,
    order_parts,
    product_parts,
    whole,
)
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.database import prepared
from storeplatform.kernel.money import minor_units

log = structlog.get_logger(__name__)
DAYS_AT_ONCE = 200
TABLES = {
    "analytics_dayfigure": (ORDER_DIMENSIONS, ORDER_MEASURES, order_parts),
    "analytics_productfigure": (PRODUCT_DIMENSIONS, PRODUCT_MEASURES, product_parts),
}
# Writers hold it together, a rebuilding alone; it says in which time zone days are cut.
LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(hashtextextended('figures' || %s::text, 0))"
LOCK_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('figures' || %s::text, 0))"


@cache
def adding(digits: int, sign: int, condition: str) -> str:
    """The statement that adds the contributions of some orders, or takes them out (`sign` -1), to
    both tables."""
    parts = []
    for table, (dimensions, measures, made) in TABLES.items():
        summed = ", ".join(f"sum({name}) * {sign}" for name in measures)
        names = ", ".join((*dimensions, *measures))
        groups = ", ".join(dimensions)
        parts.append(
            f"INSERT INTO {table} (store_id, day, {names})"  # noqa: S608  # our own names
            " SELECT rows.store_id, (rows.at AT TIME ZONE trade.timezone)::date AS on_day,"
            f" {groups}, {summed} FROM ({whole(made(digits), condition)}) rows"
            " JOIN stores_storesettings trade ON trade.store_id = rows.store_id"
            f" GROUP BY rows.store_id, on_day, {groups}"
        )
    return f"WITH days AS ({parts[0]}) {parts[1]}"


def digits_for(store_id: UUID) -> int:
    code = StoreSettings.objects.filter(store_id=store_id).values_list("currency_code", flat=True)
    return minor_units(code.first() or "")


BY_ORDER = "o.id = %(order)s"


def change(order_id: UUID, sign: int) -> None:
    with prepared() as cursor:
        cursor.execute(
            "SELECT o.currency_code, pg_advisory_xact_lock_shared("
            "hashtextextended('figures' || o.store_id::text, 0))"
            " FROM orders_order o WHERE o.id = %s",
            [order_id],
        )
        currency = cursor.fetchone()[0]
        cursor.execute(adding(minor_units(currency), sign, BY_ORDER), {"order": order_id})


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
    for table, (dimensions, measures, _) in TABLES.items():
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT DISTINCT store_id, day FROM {table} WHERE NOT is_sum"  # noqa: S608
                f" LIMIT {DAYS_AT_ONCE}"
            )
            days = cursor.fetchall()
        for store_id, day in days:
            sum_up_day(table, dimensions, measures, store_id, day)
            done += 1
    return done


@transaction.atomic
def sum_up_day(
    table: str, dimensions: tuple[str, ...], measures: tuple[str, ...], store_id: UUID, day: date
) -> None:
    groups, names = ", ".join(dimensions), ", ".join(measures)
    summed = ", ".join(f"sum({name})" for name in measures)
    something = " OR ".join(f"sum({name}) <> 0" for name in measures)
    with connection.cursor() as cursor:
        cursor.execute(LOCK_SHARED, [store_id])
        cursor.execute(
            f"WITH gone AS (DELETE FROM {table} WHERE store_id = %s AND day = %s RETURNING *)"  # noqa: S608
            f" INSERT INTO {table} (store_id, day, is_sum, {groups}, {names})"
            f" SELECT store_id, day, true, {groups}, {summed} FROM gone"
            f" GROUP BY store_id, day, {groups} HAVING {something}",
            [store_id, day],
        )


# Rebuilding


@transaction.atomic
def rebuild(store_id: UUID) -> None:
    """Forget a store's figures and make them anew from its orders; for a new time zone, and for
    operators who want to be sure."""
    digits = digits_for(store_id)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(LOCK_ALONE, [store_id])
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE store_id = %s", [store_id])  # noqa: S608
        cursor.execute(adding(digits, 1, "o.store_id = %(store)s"), {"store": store_id})
        for table in TABLES:
            cursor.execute(
                f"UPDATE {table} SET is_sum = true WHERE store_id = %s",  # noqa: S608
                [store_id],
            )
    log.info("figures_rebuilt", store_id=str(store_id))
