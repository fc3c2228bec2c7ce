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
