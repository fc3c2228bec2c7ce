"""Discounts (guide.md, "Discounts"; domain.md, section 8)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store_modules.discounts.pricing import CodeRefused, Customer, Line, Offer, price
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


# The order of application (domain.md, section 8), worked out by hand

RED, BLUE, SHOES = UUID(int=1), UUID(int=2), UUID(int=3)


def line_of(amount, product=None, quantity=1, category=None):
    categories = frozenset({category}) if category else frozenset()
    return Line(Decimal(amount), quantity, product_id=product, category_ids=categories)


def off(value, kind="percentage", **values):
    if "on" in values:
        values["scope"], values["scope_ids"] = "products", frozenset({values.pop("on")})
    return an_offer(type=kind, value=value and Decimal(value), **values)


@pytest.mark.parametrize(
    ("name", "lines", "rules", "code", "fee", "taken", "delivery"),
    [
        ("nothing", [line_of(100)], [], None, 10, [0], 0),
        ("one order rule", [line_of(100)], [off(10)], None, 10, [10], 0),
        ("the best single of two", [line_of(100)], [off(10), off("15", "fixed_amount")], None, 0,
         [15], 0),
        ("single beats the stack", [line_of(100)],
         [off(30), off(10, stackable=True), off(10, stackable=True)], None, 0, [30], 0),
        ("the stack beats the single: 100 → 80 → 64", [line_of(100)],
         [off(30), off(20, stackable=True, priority=1), off(20, stackable=True, priority=2)],
         None, 0, [36], 0),
        ("on a line the best single and then every stackable: 100 → 80 → 72",
         [line_of(100, RED)], [off(10, on=RED), off(20, on=RED), off(10, on=RED, stackable=True)],
         None, 0, [28], 0),
        ("a line rule leaves the other line alone", [line_of(100, RED), line_of(50, BLUE)],
         [off(20, on=RED)], None, 0, [20, 0], 0),
        ("line, then order: 80 + 50 = 130, less 10 %", [line_of(100, RED), line_of(50, BLUE)],
         [off(20, on=RED), off(10)], None, 0, [28, 5], 0),
        ("line, order, code: 117 less 10 = 107, shared 72 : 45",
         [line_of(100, RED), line_of(50, BLUE)],
         [off(20, on=RED), off(10)], off("10", "fixed_amount", code="TEN"), 0,
         ["34.15", "8.85"], 0),
        ("a rule of a category", [line_of(100, RED, category=SHOES), line_of(50, BLUE)],
         [off(50, scope="categories", scope_ids=frozenset({SHOES}))], None, 0, [50, 0], 0),
        ("a fixed amount is for the whole order, not each line",
         [line_of(10, RED), line_of(10, RED)], [off("15", "fixed_amount", on=RED)], None, 0,
         [10, 5], 0),
        ("a cap", [line_of(1000)], [off(50, max_discount=Decimal(30))], None, 0, [30], 0),
        ("a cap over several lines", [line_of(100, RED), line_of(100, RED)],
         [off(50, on=RED, max_discount=Decimal(70))], None, 0, [50, 20], 0),
        ("never more than there is", [line_of(8)], [off("20", "fixed_amount")], None, 0, [8], 0),
        ("half a cent goes up, once", [line_of("0.05")], [off(50)], None, 0, ["0.03"], 0),
        ("the minimum is of the subtotal before discounts", [line_of(100, RED)],
         [off(50, on=RED), off(10, min_order_value=Decimal(100))], None, 0, [55], 0),
        ("under the minimum", [line_of(99)], [off(10, min_order_value=Decimal(100))], None, 0,
         [0], 0),
        ("a minimum of pieces counts those of its scope",
         [line_of(10, RED, 2), line_of(10, BLUE, 9)],
         [off(50, on=RED, min_quantity=3)], None, 0, [0, 0], 0),
        ("free delivery", [line_of(100)], [off(None, "free_shipping")], None, 12, [0], 12),
        ("half a delivery, then the code's rest of it", [line_of(100)],
         [off(50, scope="shipping")], off("4", "fixed_amount", scope="shipping", code="D"), 12,
         [0], 10),
        ("a code for delivery leaves the goods alone", [line_of(100)], [],
         off(None, "free_shipping", code="FREE"), 12, [0], 12),
    ],
)  # fmt: skip
def test_the_order_of_application_by_hand(name, lines, rules, code, fee, taken, delivery):
    result = priced(lines, rules, code, fee=str(fee))

    assert result.lines == tuple(Decimal(one) for one in taken)
    assert result.delivery_discount == Decimal(delivery)


@pytest.mark.parametrize(
    ("rules", "code", "reason"),
    [
        ([off(10, combines_with_codes=False)], off(10, code="A"), "code_not_combinable"),
        ([off(10, scope="shipping", combines_with_codes=False)], off(10, code="A"),
         "code_not_combinable"),
        ([off(10, combines_with_codes=False, min_order_value=Decimal(101))], off(10, code="A"),
         None),
        ([], off(10, code="A", on=BLUE), "not_eligible"),
        ([], off(10, code="A", is_active=False), "inactive"),
        ([], off(10, code="A", starts_at=NOW + timedelta(seconds=1)), "not_started"),
        ([], off(10, code="A", starts_at=NOW), None),
        ([], off(10, code="A", expires_at=NOW), "expired"),
        ([], off(10, code="A", usage_limit=2, used_count=2), "usage_limit_reached"),
        ([], off(10, code="A", usage_limit_per_customer=1, used_by_customer=1),
         "customer_limit_reached"),
        ([], off(10, code="A", min_order_value=Decimal(101)), "min_order_value_not_met"),
        ([], off(10, code="A", min_quantity=2), "not_eligible"),
        ([], off(10, code="A", channels=frozenset({"pos"})), "not_eligible"),
        ([], off(10, code="A", channels=frozenset({"api"})), None),
        ([], off(10, code="A", eligibility="tag", customer_tag="vip"), "not_eligible"),
        ([], off(10, code="A", eligibility="first_order"), None),
    ],
)  # fmt: skip
def test_why_a_code_does_not_apply(rules, code, reason):
    if reason is None:
        assert priced([line_of(100, RED)], rules, code, fee="10").applied
        return
    with pytest.raises(CodeRefused) as refused:
        priced([line_of(100, RED)], rules, code, fee="10")
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, None),
        ({"isActive": False}, "inactive"),
        ({"startsAt": "2099-01-01T00:00:00Z"}, "not_started"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expired"),
        ({"minOrderValue": "10001"}, "min_order_value_not_met"),
        ({"customerEligibility": "tag", "customerTag": "vip"}, "not_eligible"),
        ({"customerEligibility": "first_order"}, "not_eligible"),
        ({"usageLimit": 1}, "usage_limit_reached"),
        ({"usageLimitPerCustomer": 1}, "customer_limit_reached"),
    ],
)
def test_guide_discounts_validate_says_why(api, store, values, reason):
    customer = {"name": "Sara", "primaryPhone": "+9647701234567"}
    code = a_code(api)
    body = an_order_body(store, (a_product(store), 1), customer=customer, discountCode="SPRING-1")
    assert api.post("/orders", body).status_code == 201
    assert api.put(f"/discounts/codes/{code['id']}", values).status_code == 200

    phone = "%2B9647701234567"
    path = f"/discounts/codes/validate?code=spring-1&orderValue=10000&phone={phone}"
    answer = api.get(path).json()

    assert (answer["valid"], answer["reason"]) == (reason is None, reason)
    assert answer["discountAmount"] == ("1000" if reason is None else "0")


def test_guide_discounts_validate_is_rate_limited(api, settings):
    settings.RATE_LIMITS = "on"

    answer = api.get("/discounts/codes/validate?code=X&orderValue=1")

    assert "dashboard" in answer["RateLimit-Policy"]
    assert int(answer["X-RateLimit-Remaining"]) < 1200


def test_old_names_of_discounts_are_read_and_never_returned(api):
    old = {
        "name": "Old", "discountType": "fixed_amount", "discountValue": 2500, "maxUses": 9,
        "perUserLimit": 2,
    }  # fmt: skip

    rule = api.post("/discounts/rules", old).json()
    code = api.post("/discounts/codes", old | {"code": "old-1"}).json()
    changed = api.put(f"/discounts/codes/{code['id']}", {"maxUses": 7}).json()
    clash = api.post("/discounts/rules", old | {"type": "percentage"})

    for made in (rule, code):
        assert (made["type"], made["value"]) == ("fixed_amount", "2500")
        assert (made["usageLimit"], made["usageLimitPerCustomer"]) == (9, 2)
        assert not {"discountType", "discountValue", "maxUses", "perUserLimit"} & made.keys()
    assert changed["usageLimit"] == 7
    assert clash.status_code == 400


@pytest.mark.parametrize(
    ("kind", "value", "status"),
    [
        ("percentage", "0", 201), ("percentage", "100", 201), ("percentage", 12.5, 201),
        ("percentage", "12.345", 400), ("percentage", "100.1", 400), ("percentage", "-1", 400),
        ("fixed_amount", "1", 201), ("fixed_amount", "0.5", 400), ("fixed_amount", "-1", 400),
        ("free_shipping", None, 201),
    ],
)  # fmt: skip
def test_guide_discounts_a_percentage_is_0_to_100_and_an_amount_is_money(api, kind, value, status):
    body = {"code": "OK-1", "type": kind, "value": value}

    assert api.post("/discounts/codes", body).status_code == status


def test_a_type_does_not_change_under_its_value(api):
    code = a_code(api, value="12.5")

    refused = api.put(f"/discounts/codes/{code['id']}", {"type": "fixed_amount"})

    assert refused.status_code == 400
    assert "value" in refused.json()["errors"]


def test_a_limit_is_not_lowered_below_the_uses_and_a_used_code_is_kept(api, store):
    code = a_code(api)
    path = f"/discounts/codes/{code['id']}"
    for _ in range(2):
        body = an_order_body(store, (a_product(store), 1), discountCode="SPRING-1")
        order = api.post("/orders", body).json()

    low = api.put(path, {"usageLimit": 1})
    assert (low.status_code, "usageLimit" in low.json()["errors"]) == (400, True)
    assert api.put(path, {"usageLimit": 2}).status_code == 200
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.post("/discounts/codes", {"code": "SPRING-1", "type": "percentage", "value": 5})
    assert api.get(f"/orders/{order['id']}").json()["discountCode"] == "SPRING-1"


def test_quote_storefront_till_and_order_take_the_same_off(api, key, store):
    product = a_product(store, price=9_999)
    a_rule(api, value="7.5")
    a_code(api, type="fixed_amount", value="1111")
    api.put("/settings", {"requireOtpForStorefront": False})
    api.post("/cashier/sessions/open", {"openingFloat": "0"})
    bodies = [an_order_body(store, (product, 3), discountCode="spring-1") for _ in range(3)]

    quote = api.post("/orders/quote", bodies[0]).json()
    made = [
        api.post("/orders", bodies[0]),
        key.post("/orders", bodies[1]),
        key.post("/orders/storefront", bodies[2]),
    ]
    net = Decimal(quote["subtotal"]) - Decimal(quote["discountTotal"])
    sale = api.post(
        "/cashier/sales",
        {
            "items": [{"sku": product.sku, "quantity": 3}],
            "payments": [{"method": "card", "amount": str(net)}],
            "discountCode": "SPRING-1",
            "clientSaleId": str(uuid4()),
        },
    )

    assert quote["discountTotal"] == "3361"  # 7.5 % of 29997 is 2250, and 1111
    for answer in (*made, sale):
        assert answer.status_code == 201, answer.content
        assert answer.json()["discountTotal"] == quote["discountTotal"]
