"""Order arithmetic: domain.md, 6.4, as tables and properties."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_modules.orders.status import TRANSITIONS, Status, allowed
from store_modules.orders.totals import Line, Terms, totals_of, value_of_units
from storeplatform.kernel.money import quantum, round_money

D = Decimal
currencies = st.sampled_from(["IQD", "USD", "KWD"])


def amounts(most=10**6):
    return st.decimals(0, most, places=3)


@pytest.mark.parametrize(
    ("lines", "terms", "total"),
    [
        ([(3, "12500")], Terms("IQD", delivery_fee=D(5000)), "42500"),
        ([(1, "10.00")], Terms("USD", tax_rate=D(15), prices_include_tax=False), "11.50"),
        ([(1, "10.00")], Terms("USD", tax_rate=D(15)), "10.00"),
        ([(1, "10100")], Terms("IQD", cash_rounding=D(250)), "10000"),
        ([(1, "10125")], Terms("IQD", cash_rounding=D(250)), "10250"),
        ([(1, "8000")], Terms("IQD", order_discount=D(9000), delivery_fee=D(1)), "1"),
        ([(1, "8000")], Terms("IQD", delivery_fee=D(5000), store_pays_delivery=True), "8000"),
    ],
)
def test_totals_by_hand(lines, terms, total):
    made = totals_of([Line(quantity, D(price)) for quantity, price in lines], terms)

    assert made.total == D(total)


@given(
    st.lists(st.tuples(st.integers(1, 50), amounts(), amounts(100)), min_size=1, max_size=10),
    amounts(),
    amounts(10_000),
    st.sampled_from([D(0), D(5), D("12.5")]),
    st.booleans(),
    st.sampled_from([D(0), D(1), D(250)]),
    currencies,
)
def test_totals_are_consistent(cart, discount, fee, rate, included, rounding, currency):
    lines = [
        Line(quantity, round_money(price, currency), discount=off) for quantity, price, off in cart
    ]
    terms = Terms(
        currency,
        order_discount=discount,
        delivery_fee=round_money(fee, currency),
        tax_rate=rate,
        prices_include_tax=included,
        cash_rounding=rounding,
    )

    made = totals_of(lines, terms)

    assert sum(line.discount for line in made.lines) == made.discount_total
    assert sum(line.total for line in made.lines) == made.net
    assert 0 <= made.discount_total <= made.subtotal
    assert made.total >= 0
    assert made.total == (
        made.net + made.delivery_fee - made.delivery_discount + made.tax_total + made.rounding
    )
    for line in made.lines:
        assert 0 <= line.discount <= line.subtotal
    for amount in (made.subtotal, made.discount_total, made.tax_total, made.total):
        assert amount == amount.quantize(quantum(currency))


@given(amounts(), st.integers(1, 30), currencies, st.data())
def test_parts_of_a_line_add_up_to_it(total, quantity, currency, data):
    total = round_money(total, currency)
    cuts = sorted(data.draw(st.lists(st.integers(0, quantity), max_size=5)))
    edges = [0, *cuts, quantity]

    parts = [
        value_of_units(total, quantity, first, last - first, currency)
        for first, last in pairwise(edges)
    ]

    assert sum(parts) == total
    assert all(part >= 0 for part in parts)


@pytest.mark.parametrize(
    ("status", "actor", "ways"),
    [
        ("pending", "K", ["confirmed", "processing", "cancelled"]),
        ("pending", "U", ["cancelled"]),
        ("confirmed", "U", []),
        ("shipped", "C", ["delivered", "partially_delivered", "returning"]),
        ("returning", "K", []),
        ("delivered", "O", []),
        ("cancelled", "O", []),
    ],
)
def test_who_may_move_an_order_where(status, actor, ways):
    assert allowed(status, actor) == ways


def test_every_status_has_its_row():
    assert set(TRANSITIONS) == set(Status)
