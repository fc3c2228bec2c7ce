"""Discounts (guide.md, "Discounts"; domain.md, section 8)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_modules.discounts.pricing import Customer, Line, Offer, price
from tests.factories import a_product, an_order_body

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_code(api, **values):
    body = {"code": "spring-1", "type": "percentage", "value": "10"} | values
    answer = api.post("/discounts/codes", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def a_rule(api, **values):
    body = {"name": "Sale", "type": "percentage", "value": "10"} | values
    answer = api.post("/discounts/rules", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_guide_discounts_a_code_is_upper_cased_and_taken_once(api):
    made = a_code(api, code="  spring-1 ")

    again = api.post("/discounts/codes", {"code": "Spring-1", "type": "percentage", "value": 5})

    assert made["code"] == "SPRING-1"
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_code")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"value": "100.01"}, "value"),
        ({"value": "-1"}, "value"),
        ({"value": None}, "value"),
        ({"type": "fixed_amount", "value": "0"}, "value"),
        ({"startsAt": "2026-05-02T00:00:00Z", "expiresAt": "2026-05-02T00:00:00Z"}, "expiresAt"),
        ({"usageLimit": 0}, "usageLimit"),
        ({"code": "a b"}, "code"),
        ({"scope": "products"}, "scopeIds"),
    ],
)
def test_guide_discounts_a_code_that_cannot_be(api, values, field):
    body = {"code": "OK-1", "type": "percentage", "value": "10"} | values

    refused = api.post("/discounts/codes", body)

    assert refused.status_code == 400
    assert field in refused.json()["errors"]


def test_guide_discounts_validate_tells_and_uses_nothing(api):
    a_code(api, value="12.5", minOrderValue="5000", maxDiscountAmount="2000", usageLimit=1)
    ask = "/discounts/codes/validate?code=spring-1&orderValue="

    assert api.get(ask + "10000").json() == {
        "valid": True, "code": "SPRING-1", "discountAmount": "1250", "type": "percentage",
        "value": "12.5", "reason": None,
    }  # fmt: skip
    assert api.get(ask + "90000").json()["discountAmount"] == "2000"
    assert api.get(ask + "4999").json()["reason"] == "min_order_value_not_met"
    assert api.get(ask.replace("spring-1", "other") + "1").json()["reason"] == "not_found"
    assert [api.get(ask + bad).status_code for bad in ("", "-1", "NaN", "1e9")] == [400] * 4
    assert api.get("/discounts/codes/validate?orderValue=1").status_code == 400


def test_an_order_takes_rule_code_and_free_delivery(api, store):
    product = a_product(store, price=20_000)
    rule = a_rule(api, scope="products", scopeIds=[str(product.pk)], value="25")
    code = a_code(api, type="fixed_amount", value="5000")
    a_rule(api, name="Free", type="free_shipping", value=None, minOrderValue="30000")
    body = an_order_body(store, (product, 2), discountCode="spring-1")

    quote = api.post("/orders/quote", body).json()
    order = api.post("/orders", body).json()

    assert (order["discountTotal"], order["deliveryDiscount"]) == ("15000", "5000")
    assert order["total"] == quote["total"] == "25000"
    assert order["discountCode"] == "SPRING-1"
    assert [one["source"] for one in order["discounts"]] == ["rule", "code", "rule"]
    assert api.get(f"/discounts/codes/{code['id']}").json()["usedCount"] == 1
    assert api.get(f"/discounts/rules/{rule['id']}").json()["usedCount"] == 1
    api.post(f"/orders/{order['id']}/cancel")
    assert api.get(f"/discounts/codes/{code['id']}").json()["usedCount"] == 0


def test_a_code_that_does_not_hold_refuses_the_order(api, store):
    a_code(api, usageLimitPerCustomer=1)
    product = a_product(store)
    body = an_order_body(store, (product, 1), discountCode="SPRING-1")

    first, second = api.post("/orders", body), api.post("/orders", body)
    unknown = api.post("/orders", body | {"discountCode": "NOPE"})

    assert first.status_code == 201
    assert (second.status_code, second.json()["code"]) == (400, "customer_limit_reached")
    assert "discountCode" in unknown.json()["errors"]


def test_an_edit_prices_anew_and_keeps_the_code_counted_once(api, store):
    code = a_code(api, usageLimit=1)
    product = a_product(store)
    body = an_order_body(store, (product, 1), discountCode="SPRING-1")
    order = api.post("/orders", body).json()

    more = api.put(f"/orders/{order['id']}", {"items": [{"sku": product.sku, "quantity": 3}]})
    without = api.put(f"/orders/{order['id']}", {"discountCode": None})

    assert more.json()["discountTotal"] == "3000"
    assert without.json()["discountTotal"] == "0"
    assert api.get(f"/discounts/codes/{code['id']}").json()["usedCount"] == 0


def an_offer(**values):
    values = {"id": uuid4(), "name": "x", "type": "percentage", "value": Decimal(10)} | values
    return Offer(**values)


def priced(lines, rules, code=None, fee="0", currency="USD"):
    return price(
        lines, rules, code, fee=lambda _: Decimal(fee), currency=currency, now=NOW,
        customer=Customer(), channel="api",
    )  # fmt: skip


def test_stackable_rules_work_on_what_the_former_left():
    line = Line(Decimal(100), 1)
    half = an_offer(value=Decimal(50), stackable=True, priority=1)
    tenth = an_offer(value=Decimal(10), stackable=True, priority=2)
    alone = an_offer(value=Decimal(54))

    assert priced([line], [half, tenth]).lines == (Decimal(55),)
    assert priced([line], [half, tenth, alone]).lines == (Decimal(55),)
    assert priced([line], [tenth, alone]).lines == (Decimal(54),)


AMOUNTS = st.decimals(min_value=0, max_value=10_000, places=2)


@given(
    st.lists(st.tuples(AMOUNTS, st.integers(1, 9)), min_size=1, max_size=8),
    st.lists(
        st.tuples(
            st.sampled_from(["percentage", "fixed_amount"]),
            st.decimals(min_value=0, max_value=100, places=2),
            st.booleans(),
            st.sampled_from(["order", "products", "shipping"]),
        ),
        max_size=6,
    ),
    AMOUNTS,
)
def test_no_discount_makes_anything_negative(lines, offers, fee):  # INV-D4
    product = UUID(int=1)
    basket = [Line(amount, count, product_id=product) for amount, count in lines]
    rules = [
        an_offer(type=kind, value=value, stackable=stack, scope=scope, scope_ids={product})
        for kind, value, stack, scope in offers
    ]

    result = priced(basket, rules, an_offer(code="C", value=Decimal(30)), fee=fee)

    for line, off in zip(basket, result.lines, strict=True):
        assert 0 <= off <= line.subtotal
    assert 0 <= result.delivery_discount <= fee
    merchandise = [a.amount for a in result.applied if not a.offer.is_for_delivery]
    assert sum(result.lines) == sum(merchandise)


def test_windows_end_before_their_last_instant(api):
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    a_code(api, expiresAt=past)

    answer = api.get("/discounts/codes/validate?code=SPRING-1&orderValue=1000").json()

    assert answer["reason"] == "expired"
