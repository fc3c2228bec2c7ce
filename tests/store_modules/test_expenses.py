"""Expenses (guide.md, "Expenses"; domain.md, section 10)."""

import pytest


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
