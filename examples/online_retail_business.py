"""What the merchant does with the imported month: reports that equal the file, goods that arrive, a
day at the till, labels. Each part prints what it saw and answers whether it is as it must be."""

import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from online_retail_figures import Row, best_sellers, customers, sales_by_day

Call = Callable[..., Any]  # call(method, path, body) on the dashboard's routes
FIRST, LAST = date(2010, 12, 1), date(2010, 12, 23)
HALF = date(2010, 12, 13)
BEST = 50
LABELS = 100
LABEL_SECONDS = 5


def mark(*, good: bool) -> str:
    return "as in the file" if good else "NOT AS IN THE FILE"


def reconcile(call: Call, rows: list[Row]) -> bool:
    """The reports against sums taken from the file by a script that knows nothing of the store."""
    results = [by_day(call, rows), best(call, rows), people(call, rows)]
    return all(results)


def by_day(call: Call, rows: list[Row]) -> bool:
    body = {"from": FIRST.isoformat(), "to": LAST.isoformat(), "granularity": "day"}
    report = call("POST", "/analytics/sales", body)
    found = {
        date.fromisoformat(bucket["bucketStart"][:10]): Decimal(bucket["netSales"])
        for bucket in report["buckets"]
    }
    expected = sales_by_day(rows)
    good = found == {day: expected.get(day, Decimal(0)) for day in found}
    good = good and expected.keys() <= found.keys()
    print("\nSales by day, less the day's credits")
    for day, value in found.items():
        if value or day in expected:
            print(f"  {day} {value:>12,.2f}  {mark(good=value == expected.get(day, 0))}")
    whole = Decimal(report["totals"]["netSales"])
    good = good and whole == sum(expected.values())
    print(f"  {'month':10} {whole:>12,.2f}  {mark(good=good)}")
    return good


def best(call: Call, rows: list[Row]) -> bool:
    body = {"from": FIRST.isoformat(), "to": LAST.isoformat(), "sort": "net"}
    items = call("POST", "/analytics/products", body)["items"]
    found = [
        (item["sku"], item["units"], item["returnsUnits"], Decimal(item["net"])) for item in items
    ]
    expected = [(one.sku, one.units, one.returned, one.net) for one in best_sellers(rows, BEST)]
    tied = min(net for *_, net in expected)  # which of several last ones are named is open
    good = len(found) == len(expected) and {one for one in found if one[3] > tied} == {
        one for one in expected if one[3] > tied
    }
    print(f"\nThe {len(found)} best products: {mark(good=good)}")
    for sku, units, returned, net in found[:5]:
        print(f"  {sku:10} {units:>6} sold, {returned:>4} returned {net:>12,.2f}")
    return good


def people(call: Call, rows: list[Row]) -> bool:
    body = {"from": HALF.isoformat(), "to": LAST.isoformat()}
    totals = call("POST", "/analytics/customers", body)["totals"]
    found = (totals["activeCustomers"], totals["returningCustomers"])
    good = found == customers(rows, HALF, LAST)
    print(
        f"\nCustomers from {HALF}: {found[0]}, of whom {found[1]} came back,"
        f" {totals['returningRate']} of all: {mark(good=good)}"
    )
    return good


def product_of(call: Call, sku: str) -> dict[str, Any]:
    items = call("GET", f"/products?search={sku}")["items"]
    found: dict[str, Any] = next(item for item in items if item["sku"] == sku)
    return found


def receive_goods(call: Call, sku: str) -> bool:
    """A purchase order that arrives in two parts."""
    product = product_of(call, sku)
    supplier = call("POST", "/suppliers", {"name": "Giftware Importers"})
    line = {"productId": product["id"], "quantity": 24, "unitCost": "1.50"}
    body = {"supplierId": supplier["id"], "items": [line], "additionalFees": "6.00"}
    made = call("POST", "/purchase-orders", body)
    path = f"/purchase-orders/{made['id']}"
    call("POST", f"{path}/order")
    item = made["items"][0]["id"]
    states = []
    for count in (10, 14):
        arrived = {"items": [{"itemId": item, "quantity": count}]}
        states.append(call("POST", f"{path}/receive", arrived)["status"])
    after = product_of(call, sku)
    gained = after["quantityOnHand"] - (product["quantityOnHand"] or 0)
    good = (gained, states) == (24, ["partially_received", "received"])
    print(
        f"\nPurchase order {made['number']}, {made['totalAmount']} with fees:"
        f" {' then '.join(states)}; {sku} {product['quantityOnHand']} ->"
        f" {after['quantityOnHand']} pieces, cost {after['costPrice']}"
    )
    return good


def till_day(call: Call, sku: str) -> bool:
    """Float, sales with change, a refund, cash in and out; the drawer must hold what it should."""
    price = Decimal(product_of(call, sku)["price"])
    session = call("POST", "/cashier/sessions/open", {"openingFloat": "50.00"})
    path = f"/cashier/sessions/{session['id']}"

    def sell(quantity: int, method: str, tendered: Decimal | None = None) -> dict[str, Any]:
        payment = {"method": method, "amount": str(price * quantity)}
        if tendered is not None:
            payment["tendered"] = str(tendered)
        sale: dict[str, Any] = call(
            "POST",
            "/cashier/sales",
            {
                "items": [{"sku": sku, "quantity": quantity}],
                "payments": [payment],
                "clientSaleId": str(uuid4()),
            },
        )
        return sale

    note = (price * 3 // 20 + 1) * 20
    first = sell(3, "cash", note)
    sell(2, "card")
    sell(1, "cash")
    back = {"lines": [{"sku": sku, "quantity": 1}], "method": "cash"}
    call("POST", f"/cashier/sales/{first['id']}/refund", back)
    call("POST", f"{path}/movements", {"type": "pay_in", "amount": "20.00", "reason": "change"})
    call("POST", f"{path}/movements", {"type": "pay_out", "amount": "7.50", "reason": "courier"})
    expected = Decimal("50.00") + price * 3 + price - price + Decimal("20.00") - Decimal("7.50")
    closed = call("POST", f"{path}/close", {"countedCash": str(expected)})
    good = (Decimal(closed["expectedCash"]), Decimal(closed["variance"])) == (expected, 0)
    good = good and Decimal(first["change"]) == note - price * 3
    print(
        f"\nTill {closed['number']}: float 50.00, 4 pieces at {price} for cash (change"
        f" {first['change']}), 2 by card, 1 taken back, 20.00 in, 7.50 out:"
        f" expected cash {closed['expectedCash']}, counted {closed['countedCash']},"
        f" variance {closed['variance']}"
    )
    return good


def print_labels(call: Call) -> bool:
    """Labels of a hundred orders in one PDF."""
    ids = [order["id"] for order in call("GET", f"/orders?pageSize={LABELS}")["items"]]
    started = time.monotonic()
    pdf = call("POST", "/orders/labels", {"ids": ids})
    seconds = time.monotonic() - started
    good = pdf.startswith(b"%PDF") and seconds < LABEL_SECONDS
    print(f"\n{len(ids)} labels in one PDF of {len(pdf):,} bytes: {seconds:.2f} s")
    return good
