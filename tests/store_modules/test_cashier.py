"""The till (guide.md, "Cashier / POS"; domain.md, section 11)."""

from uuid import uuid4

import pytest

from tests.clients import client_of
from tests.factories import a_member, a_product


@pytest.fixture
def session(api):
    answer = api.post("/cashier/sessions/open", {"openingFloat": "50000"})
    assert answer.status_code == 201, answer.content
    return answer.json()["id"]


def a_sale(api, *items, payments=None, **values):
    lines = [{"sku": product.sku, "quantity": count} for product, count in items]
    total = sum(int(product.price) * count for product, count in items)
    body = {
        "items": lines,
        "payments": payments or [{"method": "cash", "amount": str(total)}],
        "clientSaleId": str(uuid4()),
    }
    return api.post("/cashier/sales", body | values)


def test_sales_have_numbers_of_their_own(api, store, session):
    product = a_product(store, quantity=10)

    numbers = [a_sale(api, (product, 1)).json()["number"] for _ in range(2)]

    assert numbers == ["POS-1001", "POS-1002"]


def test_guide_cashier_a_second_open_session_is_refused(api, store, session):
    second = api.post("/cashier/sessions/open", {"openingFloat": "1"})
    colleague = client_of(store, a_member(store))
    same_drawer = colleague.post("/cashier/sessions/open", {"openingFloat": "1"})

    for refused in (second, same_drawer):
        assert (refused.status_code, refused.json()["code"]) == (409, "session_already_open")
        assert refused.json()["sessionId"] == session


def test_a_day_at_the_till_closes_with_the_cash_it_should(api, store, session):  # 21.12
    product = a_product(store, price=10_000, quantity=10)
    sale = a_sale(
        api, (product, 3),
        payments=[{"method": "cash", "amount": "20000", "tendered": "25000"},
                  {"method": "card", "amount": "10000"}],
    ).json()  # fmt: skip
    refund = api.post(
        f"/cashier/sales/{sale['id']}/refund",
        {"lines": [{"sku": product.sku, "quantity": 1}], "method": "cash"},
    )
    path = f"/cashier/sessions/{session}"
    api.post(f"{path}/movements", {"type": "pay_in", "amount": "5000", "reason": "change"})
    api.post(f"{path}/movements", {"type": "pay_out", "amount": "2000", "reason": "tea"})
    short = api.post(f"{path}/movements", {"type": "pay_out", "amount": "99999", "reason": "x"})
    report = api.get(f"{path}/report").json()
    closed = api.post(f"{path}/close", {"countedCash": "62500", "leftInDrawer": "50000"}).json()
    again = api.post(f"{path}/close", {"countedCash": "1"})

    assert (sale["status"], sale["channel"], sale["change"]) == ("delivered", "pos", "5000")
    assert refund.status_code == 201
    assert refund.json()["refunds"][0]["amount"] == "10000"
    assert short.json()["code"] == "drawer_short"
    assert (report["kind"], report["expectedCash"]) == ("X", "63000")
    assert (closed["expectedCash"], closed["variance"]) == ("63000", "-500")
    assert again.json()["code"] == "session_closed"
    assert api.get(f"{path}/report").json()["kind"] == "Z"
    assert api.get(f"/products/{product.pk}").json()["quantityAvailable"] == 8
    assert api.get("/cashier/sessions/active").json()["code"] == "no_active_session"
    reopened = api.post("/cashier/sessions/open", {"openingFloat": "49000"}).json()
    assert reopened["expectedOpening"] == "50000"


def test_a_repeated_sale_of_a_device_is_the_first_one(api, store, session):
    product = a_product(store, quantity=5)
    body = {"clientSaleId": str(uuid4())}

    first, second = a_sale(api, (product, 1), **body), a_sale(api, (product, 1), **body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert api.get(f"/products/{product.pk}").json()["quantityAvailable"] == 4


def test_a_sale_that_does_not_add_up_is_refused_with_its_total(api, store, session):
    product = a_product(store, quantity=2)
    wrong = a_sale(api, (product, 1), payments=[{"method": "cash", "amount": "9000"}])
    card = [{"method": "card", "amount": "10000", "tendered": "11000"}]
    short = a_sale(api, (product, 3))

    assert (wrong.json()["code"], wrong.json()["total"]) == ("payments_mismatch", "10000")
    assert a_sale(api, (product, 1), payments=card).status_code == 400
    assert (short.status_code, short.json()["code"]) == (409, "insufficient_stock")
    assert short.json()["items"][0]["available"] == 2


def test_line_discounts_are_capped_and_no_session_means_no_sale(api, store):
    product = a_product(store)
    assert a_sale(api, (product, 1)).json()["code"] == "no_active_session"
    api.post("/cashier/sessions/open", {"openingFloat": "0"})
    api.put("/cashier/settings", {"maxDiscountPercent": "10"})
    off = [{"sku": product.sku, "percent": "10"}]

    fine = a_sale(api, (product, 1), lineDiscounts=off,
                  payments=[{"method": "cash", "amount": "9000"}])  # fmt: skip
    much = a_sale(api, (product, 1), lineDiscounts=[off[0] | {"percent": "11"}])

    assert fine.status_code == 201, fine.content
    assert fine.json()["discountTotal"] == "1000"
    assert much.json()["code"] == "discount_too_high"


def test_no_more_comes_back_than_was_sold(api, store, session):
    product = a_product(store)
    sale = a_sale(api, (product, 2)).json()
    path = f"/cashier/sales/{sale['id']}/refund"

    over = api.post(path, {"lines": [{"sku": product.sku, "quantity": 3}], "method": "cash"})
    every = api.post(path, {"method": "cash"})
    again = api.post(path, {"method": "cash"})

    assert over.json()["code"] == "over_return"
    assert (every.json()["status"], every.json()["paymentStatus"]) == ("returned", "refunded")
    assert again.status_code == 400


def test_guide_cashier_at_most_thirty_products_are_pinned(api, store):
    products = [a_product(store) for _ in range(31)]
    answers = [api.post("/cashier/pinned", {"productId": p.pk}) for p in products]

    assert [a.status_code for a in answers] == [201] * 30 + [400]
    assert answers[30].json()["code"] == "too_many_pinned"
    twice = api.post("/cashier/pinned", {"productId": products[0].pk})
    assert (twice.status_code, twice.json()["code"]) == (409, "already_pinned")


def test_guide_cashier_pins_are_deleted_by_product_and_reordered_as_a_permutation(api, store):
    ids = [str(a_product(store).pk) for _ in range(4)]
    for one in ids:
        api.post("/cashier/pinned", {"productId": one})

    assert api.delete(f"/cashier/pinned/{ids[0]}").status_code == 204
    assert api.delete(f"/cashier/pinned/{ids[0]}").status_code == 404
    wrong = api.put("/cashier/pinned/reorder", {"productIds": ids[1:3]})
    right = api.put("/cashier/pinned/reorder", {"productIds": ids[:0:-1]})

    assert wrong.status_code == 400
    assert [one["productId"] for one in right.json()["items"]] == ids[:0:-1]
    assert [one["position"] for one in api.get("/cashier/pinned").json()["items"]] == [0, 1, 2]


def test_an_expense_of_a_drawer_is_a_pay_out_until_it_is_closed(api, session):
    body = {"amount": "3000", "category": "Supplies", "date": "2026-01-05"}
    made = api.post("/expenses", body | {"cashierSessionId": session}).json()
    path = f"/cashier/sessions/{session}"

    assert made["category"] == "supplies"
    assert api.get(f"{path}/report").json()["expectedCash"] == "47000"
    api.put(f"/expenses/{made['id']}", {"amount": "4000"})
    assert api.get(f"{path}/report").json()["expectedCash"] == "46000"
    api.post(f"{path}/close", {"countedCash": "46000"})
    late = api.delete(f"/expenses/{made['id']}")
    assert (late.status_code, late.json()["code"]) == (409, "session_closed")


def test_a_blind_close_hides_what_should_be_there_from_the_cashier(api, store):
    api.put("/cashier/settings", {"blindClose": True})
    clerk = client_of(store, a_member(store))
    opened = clerk.post("/cashier/sessions/open", {"openingFloat": "7000"}).json()
    path = f"/cashier/sessions/{opened['id']}"

    before = clerk.get(f"{path}/report").json()
    owners = api.get(f"{path}/report").json()
    closed = clerk.post(f"{path}/close", {"countedCash": "6000"}).json()

    assert before["expectedCash"] is None
    assert clerk.get(f"{path}").json()["expectedCash"] == "7000"  # closed: the count stands
    assert owners["expectedCash"] == "7000"
    assert (closed["expectedCash"], closed["variance"]) == ("7000", "-1000")


def test_a_large_difference_wants_a_reason_and_never_stops_a_close(api, session):
    api.put("/cashier/settings", {"varianceReasonAbove": "1000"})
    path = f"/cashier/sessions/{session}/close"

    silent = api.post(path, {"countedCash": "48999"})
    too_much_left = api.post(path, {"countedCash": "49000", "leftInDrawer": "49001"})
    said = api.post(path, {"countedCash": "48999", "varianceReason": "a torn note"}).json()

    assert (silent.status_code, "varianceReason" in silent.json()["errors"]) == (400, True)
    assert too_much_left.status_code == 400
    assert (said["status"], said["variance"], said["varianceReason"]) == (
        "closed", "-1001", "a torn note",
    )  # fmt: skip


def test_a_drawer_that_took_more_than_any_amount_is_closed_too(api, store, session):
    product = a_product(store, price=60_000_000_000_000)
    for _ in range(2):
        made = a_sale(api, (product, 1))
        assert made.status_code == 201, made.content

    shown = api.get(f"/cashier/sessions/{session}/report").json()["expectedCash"]
    closed = api.post(f"/cashier/sessions/{session}/close", {"countedCash": "1000"})

    assert closed.status_code == 200, closed.content
    assert closed.json()["expectedCash"] == shown
    assert int(closed.json()["variance"]) == 1000 - int(shown)
    assert int(shown) == 120_000_000_050_000


def test_another_persons_drawer_is_closed_with_its_permission_only(api, store, session):
    clerk = client_of(store, a_member(store))
    trusted = client_of(store, a_member(store, grants=["cashier.close_others"]))
    path = f"/cashier/sessions/{session}/close"

    refused = clerk.post(path, {"countedCash": "50000"})

    assert (refused.status_code, refused.json()["requiredPermission"]) == (
        403, "cashier.close_others",
    )  # fmt: skip
    assert trusted.post(path, {"countedCash": "50000"}).status_code == 200


def test_cash_is_rounded_only_where_all_is_cash(api, store, session):
    api.put("/settings", {"cashRounding": "250"})
    product = a_product(store, price=3_333)

    cash = a_sale(api, (product, 1), payments=[{"method": "cash", "amount": "3250"}])
    split = a_sale(
        api, (product, 1),
        payments=[{"method": "cash", "amount": "3000"}, {"method": "card", "amount": "333"}],
    )  # fmt: skip
    api.put("/cashier/settings", {"cashRounding": "0"})
    exact = a_sale(api, (product, 1))

    assert (cash.json()["total"], cash.json()["rounding"]) == ("3250", "-83")
    assert (split.json()["total"], split.json()["payment_method"]) == ("3333", "cash")
    assert exact.json()["total"] == "3333"


def test_a_sale_is_a_delivered_order_of_its_own_channel(api, store, session):
    product = a_product(store, quantity=5)
    sale = a_sale(api, (product, 2)).json()

    order = api.get(f"/orders/{sale['id']}").json()

    assert (order["channel"], order["status"], order["fulfillmentStatus"]) == (
        "pos", "delivered", "delivered",
    )  # fmt: skip
    assert (order["deliveryFee"], order["amountDue"], order["paymentStatus"]) == ("0", "0", "paid")
    assert order["customer"]["id"] is None
    moves = api.get(f"/inventory/movements?productId={product.pk}").json()["items"]
    assert (moves[0]["reason"], moves[0]["delta"]) == ("pos_sale", -2)


def test_a_product_without_a_price_is_not_sold_at_the_till(api, store, session):
    product = a_product(store, price=None)
    line = {"sku": product.sku, "quantity": 1, "unitPrice": "500"}
    body = {"items": [line], "payments": [], "clientSaleId": str(uuid4())}

    refused = api.post("/cashier/sales", body)

    assert (refused.status_code, refused.json()["code"]) == (400, "not_sellable")


def test_prices_and_margins_are_the_stores_to_guard(api, store, session):
    product = a_product(store, price=10_000, cost_price=8_000)
    line = {"sku": product.sku, "quantity": 1, "unitPrice": "7000"}
    body = {"items": [line], "payments": [{"method": "cash", "amount": "7000"}]}

    def sell():
        return api.post("/cashier/sales", body | {"clientSaleId": str(uuid4())})

    assert sell().status_code == 201
    api.put("/cashier/settings", {"allowNegativeMargin": False})
    assert sell().json()["code"] == "negative_margin"
    api.put("/cashier/settings", {"allowNegativeMargin": True})
    api.put("/settings", {"allowPriceOverride": False})
    assert sell().json()["code"] == "price_override"


def test_a_sale_for_a_closed_session_is_refused(api, store, session):
    product = a_product(store)
    api.post(f"/cashier/sessions/{session}/close", {"countedCash": "50000"})
    api.post("/cashier/sessions/open", {"openingFloat": "0"})

    late = a_sale(api, (product, 1), sessionId=session)
    foreign = a_sale(api, (product, 1), sessionId=str(uuid4()))

    assert (late.status_code, late.json()["code"]) == (409, "session_closed")
    assert foreign.status_code == 400


def test_a_refund_is_paid_from_the_refunders_own_session(api, store, session):
    product = a_product(store, quantity=10)
    sale = a_sale(api, (product, 2)).json()
    api.post(f"/cashier/sessions/{session}/close", {"countedCash": "70000"})
    body = {"lines": [{"sku": product.sku, "quantity": 1}], "method": "cash", "restock": False}
    path = f"/cashier/sales/{sale['id']}/refund"

    without = api.post(path, body)
    second = api.post("/cashier/sessions/open", {"openingFloat": "9999"}).json()["id"]
    short = api.post(path, body)
    api.post(
        f"/cashier/sessions/{second}/movements",
        {"type": "pay_in", "amount": "1", "reason": "change"},
    )
    done = api.post(path, body)

    assert (without.status_code, without.json()["code"]) == (409, "no_active_session")
    assert (short.status_code, short.json()["code"]) == (409, "drawer_short")
    assert done.status_code == 201, done.content
    assert api.get(f"/cashier/sessions/{second}/report").json()["expectedCash"] == "0"
    assert api.get(f"/cashier/sessions/{session}/report").json()["refundsTotal"] == "0"
    moves = api.get(f"/inventory/movements?productId={product.pk}").json()["items"]
    assert sorted(m["reason"] for m in moves) == ["damage", "opening", "pos_refund", "pos_sale"]


def test_goods_of_a_sale_that_was_refunded_by_itself_bring_no_second_refund(api, store, session):
    product = a_product(store)
    sale = a_sale(api, (product, 2)).json()
    body = {"amount": "20000", "method": "card", "reason": "wrong card"}
    api.post(f"/orders/{sale['id']}/refunds", body)

    back = api.post(f"/cashier/sales/{sale['id']}/refund", {"method": "cash"})

    assert back.status_code == 201, back.content
    assert back.json()["refunds"][0]["amount"] == "0"
    assert (back.json()["status"], back.json()["amountRefunded"]) == ("returned", "20000")


def test_old_names_of_pins_are_read_and_a_pin_goes_by_its_own_id_too(api, store):
    ids = [str(a_product(store).pk) for _ in range(3)]
    pins = [
        api.post("/cashier/pinned", {"storeProductId": one, "sortOrder": 9}).json() for one in ids
    ]

    turned = api.put("/cashier/pinned/reorder", {"orderedProductIds": ids[::-1]}).json()["items"]
    gone = api.delete(f"/cashier/pinned/{pins[1]['id']}")

    assert [one["productId"] for one in turned] == ids[::-1]
    assert gone.status_code == 204
    left = api.get("/cashier/pinned").json()["items"]
    assert [(one["productId"], one["position"]) for one in left] == [(ids[2], 0), (ids[0], 1)]
    assert left[0]["price"] == "10000"
    assert left[0]["available"] == 100


@pytest.mark.parametrize(
    "wrong",
    [
        lambda ids: ids[:2],
        lambda ids: [*ids, ids[0]],
        lambda ids: [*ids[:2], str(uuid4())],
        lambda ids: [],
    ],
)
def test_guide_cashier_a_reorder_names_each_pin_once(api, store, wrong):
    ids = [str(a_product(store).pk) for _ in range(3)]
    for one in ids:
        api.post("/cashier/pinned", {"productId": one})

    refused = api.put("/cashier/pinned/reorder", {"productIds": wrong(ids)})

    assert refused.status_code == 400
    assert [one["productId"] for one in api.get("/cashier/pinned").json()["items"]] == ids


def test_a_product_that_is_gone_is_unpinned_and_the_rest_stay_in_order(api, store):
    ids = [str(a_product(store, quantity=0).pk) for _ in range(3)]
    for one in ids:
        api.post("/cashier/pinned", {"productId": one})

    api.delete(f"/products/{ids[0]}")

    left = api.get("/cashier/pinned").json()["items"]
    assert [(one["productId"], one["position"]) for one in left] == [(ids[1], 0), (ids[2], 1)]


def test_settings_of_the_till_are_made_when_asked_for_and_change(api, store):
    first = api.get("/cashier/settings").json()
    twice = [{"code": "a", "name": "A"}, {"code": "a", "name": "B"}]
    two = [{"code": "front", "name": "Front"}, {"code": "back", "name": "Back"}]

    assert first["registers"] == [{"code": "main", "name": "Main"}]
    assert first["requireOpeningFloat"] is True
    assert api.put("/cashier/settings", {"registers": twice}).status_code == 400
    assert api.put("/cashier/settings", {"registers": two}).status_code == 200
    unknown = {"openingFloat": "1", "registerCode": "x"}
    assert api.post("/cashier/sessions/open", unknown).status_code == 400
    assert api.post("/cashier/sessions/open", {}).status_code == 400
    opened = api.post("/cashier/sessions/open", {"openingFloat": "1", "registerCode": "back"})
    assert opened.json()["registerCode"] == "back"
    clerk = client_of(store, a_member(store))
    assert clerk.post("/cashier/sessions/open", {"openingFloat": "1"}).status_code == 201


@pytest.mark.parametrize(
    "amounts",
    [{"cashRounding": "250"}, {"varianceReasonAbove": "5000"}, {"denominations": ["250", "500"]}],
)
def test_amounts_of_the_tills_settings_keep_the_stores_currency(api, store, amounts):
    api.get("/cashier/settings")
    assert api.put("/settings", {"currencyCode": "USD"}).status_code == 200
    api.put("/settings", {"currencyCode": "IQD"})
    assert api.put("/cashier/settings", amounts).status_code == 200

    locked = api.put("/settings", {"currencyCode": "USD"})

    assert (locked.status_code, locked.json()["code"]) == (409, "currency_locked")
