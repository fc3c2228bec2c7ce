"""What an order costs (domain.md, 6.4). Pure: values in, values out, nothing negative."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from storeplatform.kernel.errors import refuse
from storeplatform.kernel.money import (
    MAX_AMOUNT,
    allocate,
    quantum,
    round_money,
    round_to_multiple,
)

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """A line before the order's own discount. `fixed_total` stands in for quantity × price where
    a past order is imported; `discount` is the line's own."""

    quantity: int
    unit_price: Decimal
    discount: Decimal = ZERO
    fixed_total: Decimal | None = None

    def subtotal(self, currency: str) -> Decimal:
        if self.fixed_total is not None:
            return self.fixed_total
        return round_money(self.unit_price * self.quantity, currency)


@dataclass(frozen=True, slots=True)
class LineTotals:
    """`discount` holds the line's own and its share of the order's."""

    subtotal: Decimal
    discount: Decimal

    @property
    def total(self) -> Decimal:
        return self.subtotal - self.discount


@dataclass(frozen=True, slots=True)
class Terms:
    """What applies to the whole order."""

    currency: str
    order_discount: Decimal = ZERO
    delivery_fee: Decimal = ZERO
    delivery_discount: Decimal = ZERO
    store_pays_delivery: bool = False
    tax_rate: Decimal = ZERO  # percent
    prices_include_tax: bool = True
    cash_rounding: Decimal = ZERO  # 0 for payments that are not cash


@dataclass(frozen=True, slots=True)
class Totals:
    """The amounts of an order, each in the currency's minor units. `delivery_fee` is the
    customer's part, `delivery_cost` what the delivery costs when the store pays it."""

    lines: tuple[LineTotals, ...]
    subtotal: Decimal
    discount_total: Decimal
    delivery_fee: Decimal
    delivery_discount: Decimal
    delivery_cost: Decimal
    tax_total: Decimal
    tax_included: Decimal
    rounding: Decimal
    total: Decimal

    @property
    def net(self) -> Decimal:
        return self.subtotal - self.discount_total


def totals_of(lines: Sequence[Line], terms: Terms) -> Totals:
    """The order's amounts. A discount larger than what it applies to is cut to it. Raises Refusal
    `number_too_large`."""
    currency = terms.currency
    subtotals = [line.subtotal(currency) for line in lines]
    own = [
        min(max(round_money(line.discount, currency), ZERO), subtotal)
        for line, subtotal in zip(lines, subtotals, strict=True)
    ]
    remaining = [subtotal - discount for subtotal, discount in zip(subtotals, own, strict=True)]
    order_discount = min(
        max(round_money(terms.order_discount, currency), ZERO), sum(remaining, ZERO)
    )
    shares = allocate(order_discount, remaining, currency) if order_discount else [ZERO] * len(own)
    line_totals = tuple(
        LineTotals(subtotal, discount + share)
        for subtotal, discount, share in zip(subtotals, own, shares, strict=True)
    )
    subtotal = sum(subtotals, ZERO)
    discount_total = sum((line.discount for line in line_totals), ZERO)
    net = subtotal - discount_total
    fee = ZERO if terms.store_pays_delivery else terms.delivery_fee
    delivery_discount = min(max(terms.delivery_discount, ZERO), fee)
    rate = terms.tax_rate / 100
    if terms.prices_include_tax:
        tax_total, tax_included = ZERO, round_money(net - net / (1 + rate), currency)
    else:
        tax_total, tax_included = round_money(net * rate, currency), ZERO
    exact = net + fee - delivery_discount + tax_total
    total = round_money(round_to_multiple(exact, terms.cash_rounding), currency)
    if max(subtotal, total) > MAX_AMOUNT:
        message = "The order is worth more than can be written down."
        raise refuse("items", "number_too_large", message)
    return Totals(
        lines=line_totals,
        subtotal=subtotal,
        discount_total=discount_total,
        delivery_fee=fee,
        delivery_discount=delivery_discount,
        delivery_cost=terms.delivery_fee if terms.store_pays_delivery else ZERO,
        tax_total=tax_total,
        tax_included=tax_included,
        rounding=total - exact,
        total=total,
    )


def value_of_units(
    line_total: Decimal, quantity: int, first: int, count: int, currency: str
) -> Decimal:
    """What `count` units are worth after `first` were valued before: differences of cumulative
    values, so that all parts together are the line."""

    def worth(units: int) -> Decimal:
        return (line_total * units / quantity).quantize(quantum(currency), ROUND_HALF_UP)

    return worth(first + count) - worth(first)


def share_of_tax(
    value: Decimal,
    net: Decimal,
    tax_total: Decimal,
    currency: str,
    *,
    before: Decimal = ZERO,
) -> Decimal:
    """The part of the order's added tax that belongs to a part of its net, after parts worth
    `before` had theirs: differences of cumulative shares, so that all parts together are it."""
    if not net or not tax_total:
        return ZERO

    def share(part: Decimal) -> Decimal:
        return round_money(tax_total * part / net, currency)

    return share(before + value) - share(before)
