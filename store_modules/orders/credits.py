"""What an order is worth less when units never arrive or come back (domain.md, 6.4)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from store_modules.customers.services import count_order
from store_modules.orders.models import Order, OrderItem, PaymentMethod
from store_modules.orders.totals import share_of_tax, value_of_units
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.money import round_to_multiple

ZERO = Decimal(0)


def amount_due(order: Order) -> Decimal:
    """What the customer still owes; negative when money has to go back."""
    paid = order.amount_paid - order.amount_refunded
    due: Decimal = order.total - order.returns_total - paid
    return due


def worth(item: OrderItem, units: int, currency: str) -> Decimal:
    """The net value of a line's first units; all of them are the line."""
    return value_of_units(item.line_total, item.quantity, 0, units, currency)


def credit_units(
    order: Order, items: Iterable[OrderItem], units: Mapping[UUID, int]
) -> dict[UUID, Decimal]:
    """Credit units of the lines with their share of discount and tax: the order's `returns_total`
    and the lines' `quantity_credited` change, unsaved. Returns the net value of each line's. What
    rounding took off the total is never given back: the credit is at most the total."""
    currency = order.currency_code
    net = order.subtotal - order.discount_total
    kept = {item.pk: item.quantity - item.quantity_credited for item in items}
    before = sum((item.line_total - worth(item, kept[item.pk], currency) for item in items), ZERO)
    values = {}
    for item in items:
        count = units.get(item.pk, 0)
        if not count:
            continue
        left = kept[item.pk]
        value = worth(item, left, currency) - worth(item, left - count, currency)
        order.returns_total += value + share_of_tax(
            value, net, order.tax_total, currency, before=before
        )
        before += value
        item.quantity_credited += count
        values[item.pk] = value
    order.returns_total = min(order.returns_total, order.total)
    return values


def credited(order: Order, items: Iterable[OrderItem]) -> Decimal:
    """What the lines' credited units are worth with their tax, to the smallest unit; the order's
    `returns_total` may be rounded to notes."""
    currency = order.currency_code
    value = sum(
        (
            item.line_total - worth(item, item.quantity - item.quantity_credited, currency)
            for item in items
        ),
        ZERO,
    )
    net = order.subtotal - order.discount_total
    whole: Decimal = order.total
    return min(value + share_of_tax(value, net, order.tax_total, currency), whole)


def round_cash_again(order: Order) -> None:
    """What is left to collect in cash is a multiple of the store's smallest note again, but never
    more than before goods were missing."""
    if order.payment_method == PaymentMethod.COD:
        trade = StoreSettings.objects.get(store_id=order.store_id)
        due = amount_due(order)
        rounded = order.returns_total + due - round_to_multiple(due, trade.cash_rounding)
        order.returns_total = max(rounded, ZERO)


def count_for_customer(order: Order, **changes: Any) -> None:
    """Move the customer's counters, where the order has one."""
    if order.customer_id:
        count_order(order.customer_id, **changes)
