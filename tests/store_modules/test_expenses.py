"""Expenses (guide.md, "Expenses"; domain.md, section 10)."""

import pytest

from tests.clients import client_of, multipart
from tests.factories import a_product, a_store
from tests.store_modules.test_purchasing import PNG


def an_expense(api, **values):
    body = {"amount": "1000", "category": "rent", "date": "2026-03-10"} | values
    return api.post("/expenses", body)


def test_guide_expenses_are_filtered_by_from_to_and_category_with_a_total(api):
    for day, category, amount in (
        ("2026-03-01", "rent", "1000"), ("2026-03-31", "rent", "500"),
        ("2026-03-15", "tea", "70"), ("2026-04-01", "rent", "9"),
    ):  # fmt: skip
        assert an_expense(api, date=day, category=category, amount=amount).status_code == 201

    march = api.get("/expenses?from=2026-03-01&to=2026-03-31&pageSize=1").json()
    rent = api.get("/expenses?from=2026-03-01&to=2026-03-31&category=Rent").json()

    assert (march["totalCount"], march["totalAmount"]) == (3, "1570")
    assert rent["totalAmount"] == "1500"
    assert api.get("/expenses?from=2026-04-01&to=2026-03-01").status_code == 400
    assert api.get("/expenses?category=none").json()["totalAmount"] == "0"


@pytest.mark.parametrize(
    "values",
    [
        {"amount": "0"}, {"amount": "-5"}, {"category": "no spaces"}, {"amount": "1.5"},
        {"date": "2099-01-01"}, {"payment_method": "barter"},
    ],
)  # fmt: skip
def test_an_expense_that_cannot_be(api, values):
    assert an_expense(api, **values).status_code == 400


def test_an_expense_is_changed_and_deleted(api):
    made = an_expense(api, paymentMethod="card").json()

    changed = api.put(f"/expenses/{made['id']}", {"amount": "2500", "description": "shop"}).json()

    assert (made["payment_method"], changed["amount"]) == ("card", "2500")
    assert api.delete(f"/expenses/{made['id']}").status_code == 204
    assert api.get(f"/expenses/{made['id']}").status_code == 404


def test_an_expense_points_to_its_bill_in_its_own_store(api, store):
    def a_bill(client, owner):
        supplier = client.post("/suppliers", {"name": "Basra"}).json()["id"]
        line = {"productId": a_product(owner).pk, "quantity": 1, "unitCost": "5"}
        body = {"supplierId": supplier, "items": [line]}
        path = f"/purchase-orders/{client.post('/purchase-orders', body).json()['id']}/attachments"
        return path, multipart(client, path, "bill.png", PNG).json()["id"]

    stranger = a_store()
    path, own = a_bill(api, store)
    _, theirs = a_bill(client_of(stranger), stranger)

    made = an_expense(api, attachmentId=own)
    refused = an_expense(api, attachmentId=theirs)
    api.delete(f"{path}/{own}")

    assert made.status_code == 201, made.content
    assert made.json()["attachmentId"] == own
    assert (refused.status_code, "attachmentId" in refused.json()["errors"]) == (400, True)
    assert api.get(f"/expenses/{made.json()['id']}").json()["attachmentId"] is None
