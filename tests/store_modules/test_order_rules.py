"""Who moves an order where, and how its amounts are parted: domain.md, 6.2 and 6.4."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_modules.orders.status import LABELS, Status, allowed, is_final, labels
from store_modules.orders.totals import Line, Terms, share_of_tax, totals_of
from storeplatform.kernel.money import round_money
from tests.clients import client_of
from tests.factories import a_product, a_store, an_order_body

D = Decimal
ASKED_FOR = {
    ("draft", "pending"): "OSKU",
    ("pending", "confirmed"): "OSKY",
    ("pending", "processing"): "OSK",
    ("confirmed", "processing"): "OSK",
    ("confirmed", "shipped"): "OSKC",
    ("processing", "shipped"): "OSKC",
    ("shipped", "delivered"): "OSCK",
    ("shipped", "partially_delivered"): "OSCK",
    ("shipped", "returning"): "OSCK",
    ("returning", "shipped"): "OSC",
    ("draft", "cancelled"): "OSK",
    ("pending", "cancelled"): "OSKUY",
    ("confirmed", "cancelled"): "OSK",
    ("processing", "cancelled"): "OSK",
}


@pytest.mark.parametrize("actor", "OSKCUY")
@pytest.mark.parametrize("status", Status.values)
def test_an_actor_may_ask_for_the_listed_moves_and_no_others(status, actor):
    listed = {to for (before, to), who in ASKED_FOR.items() if before == status and actor in who}

    assert set(allowed(status, actor)) == listed


def test_cancelled_and_returned_are_final():
    assert [status for status in Status if is_final(status)] == ["returned", "cancelled"]


@pytest.mark.parametrize("status", Status)
def test_a_status_has_a_name_of_its_own_in_every_language(status):
    names = labels(status)

    assert set(names) == {"ar", "en", "ku"}
    assert all(list(LABELS[language].values()).count(names[language]) == 1 for language in names)


@pytest.mark.parametrize(
    ("terms", "shown"),
    [
        (
            Terms("IQD", tax_rate=D(15)),
            {"tax_total": "0", "tax_included": "1304", "total": "10000"},
        ),
        (
            Terms("IQD", tax_rate=D(15), prices_include_tax=False),
            {"tax_total": "1500", "tax_included": "0", "total": "11500"},
        ),
        (
            Terms("IQD", delivery_fee=D(5000), delivery_discount=D(9000)),
            {"delivery_fee": "5000", "delivery_discount": "5000", "total": "10000"},
        ),
        (
            Terms("IQD", delivery_fee=D(5000), delivery_discount=D(-1)),
            {"delivery_discount": "0", "total": "15000"},
        ),
        (
            Terms("IQD", delivery_fee=D(5000), delivery_discount=D(5000), store_pays_delivery=True),
            {"delivery_fee": "0", "delivery_discount": "0", "delivery_cost": "5000"},
        ),
        (
            Terms("IQD", order_discount=D(9950), cash_rounding=D(250)),
            {"discount_total": "9950", "rounding": "-50", "total": "0"},
        ),
        (
            Terms("IQD", order_discount=D(-5)),
            {"discount_total": "0", "total": "10000"},
        ),
    ],
)
def test_terms_by_hand(terms, shown):
    made = totals_of([Line(4, D(2500))], terms)

    assert {name: str(getattr(made, name)) for name in shown} == shown


def test_an_imported_line_keeps_its_total():
    made = totals_of([Line(3, D("0.33"), fixed_total=D("1.00"))], Terms("USD"))

    assert made.total == D("1.00")


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=30),
    st.integers(0, 10**7),
    st.sampled_from(["IQD", "USD", "KWD"]),
)
def test_tax_of_all_parts_together_is_the_tax(parts, tax, currency):
    values = [round_money(D(part), currency) for part in parts]
    tax_total = round_money(D(tax), currency)
    net = sum(values)
    edges = [sum(values[:place]) for place in range(len(values) + 1)]

    shares = [
        share_of_tax(last - first, net, tax_total, currency, before=first)
        for first, last in pairwise(edges)
    ]

    assert all(share >= 0 for share in shares)
    assert sum(shares) == (tax_total if net else 0)


def test_a_partial_delivery_credits_the_tax_of_what_came_back_and_no_more(db):
    store = a_store(tax_rate=50, prices_include_tax=False, cash_rounding=1, default_delivery_fee=0)
    api = client_of(store)
    body = an_order_body(store, *[(a_product(store, price=1), 1) for _ in range(5)])
    order = api.post("/orders", body).json()
    path = f"/orders/{order['id']}/transition"
    for to in ("confirmed", "shipped"):
        api.post(path, {"to": to})

    arrived = [{"itemId": order["items"][0]["id"], "quantity": 1}]
    partly = api.post(path, {"to": "partially_delivered", "lines": arrived}).json()

    assert (order["taxTotal"], order["total"]) == ("3", "8")
    assert (partly["returnsTotal"], partly["amountPaid"]) == ("6", "2")
