"""Suppliers and purchase orders (guide.md, "Suppliers" and "Purchase orders"; domain.md, 7)."""

import io
from decimal import Decimal

import pytest
from PIL import Image

from tests.clients import multipart
from tests.factories import a_product

PNG = io.BytesIO()
Image.new("RGB", (4, 4), "red").save(PNG, "PNG")
PNG = PNG.getvalue()


@pytest.fixture
def supplier(api):
    return api.post("/suppliers", {"name": "Basra Trading", "phone": "07701234567"}).json()["id"]


def body(supplier, *items, **values):
    lines = [{"productId": p.pk, "quantity": q, "unitCost": cost} for p, q, cost in items]
    return {"supplierId": supplier, "items": lines} | values


def a_purchase(api, supplier, *items, **values):
    answer = api.post("/purchase-orders", body(supplier, *items, **values))
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_guide_suppliers_a_name_is_taken_once_in_any_letter_case(api, supplier):
    again = api.post("/suppliers", {"name": "BASRA trading"})

    assert again.status_code == 409
    assert again.json()["code"] == "duplicate_name"


def test_guide_suppliers_one_with_orders_is_kept(api, store, supplier):
    a_purchase(api, supplier, (a_product(store), 1, "500"))

    refused = api.delete(f"/suppliers/{supplier}")

    assert refused.status_code == 409
    assert refused.json()["code"] == "supplier_in_use"
    assert api.get(f"/suppliers/{supplier}").json()["openOrders"] == 1


def test_guide_purchase_orders_need_an_item_and_the_server_counts_the_total(api, store, supplier):
    none = api.post("/purchase-orders", body(supplier))
    made = a_purchase(
        api, supplier, (a_product(store), 3, "1500"), (a_product(store), 2, "250"),
        additionalFees="1000", discount="500", totalAmount="1",
    )  # fmt: skip

    assert none.status_code == 400
    assert "items" in none.json()["errors"]
    assert made["totalAmount"] == "5500"
    assert made["status"] == "draft"


def test_a_product_stands_once_and_a_status_is_not_written(api, store, supplier):
    product = a_product(store)

    twice = api.post("/purchase-orders", body(supplier, (product, 1, "1"), (product, 2, "1")))
    status = api.post("/purchase-orders", body(supplier, (product, 1, "1"), status="received"))

    assert twice.status_code == 400
    assert twice.json()["errors"]["items.1.productId"]
    assert status.status_code == 400


def test_receiving_moves_stock_and_the_average_cost(api, store, supplier):
    product = a_product(store, quantity=10, cost_price=Decimal(1000))
    made = a_purchase(api, supplier, (product, 10, "2000"), additionalFees="1000")
    path, item = f"/purchase-orders/{made['id']}", made["items"][0]["id"]

    early = api.post(f"{path}/receive", {"items": [{"itemId": item, "quantity": 1}]})
    api.post(f"{path}/order")
    part = api.post(f"{path}/receive", {"items": [{"itemId": item, "quantity": 4}]}).json()
    over = api.post(f"{path}/receive", {"items": [{"itemId": item, "quantity": 7}]})
    rest = api.post(f"{path}/receive", {"items": [{"itemId": item, "quantity": 6}]}).json()
    again = api.post(f"{path}/receive", {"items": [{"itemId": item, "quantity": 1}]})

    assert early.status_code == 409
    assert (part["status"], part["receivedValue"]) == ("partially_received", "8400")
    assert over.status_code == 400
    assert over.json()["code"] == "over_receipt"
    assert (rest["status"], rest["receivedValue"]) == ("received", "21000")
    assert again.status_code == 409
    product.refresh_from_db()
    assert product.cost_price == Decimal("1550.0000")  # (10 × 1000 + 10 × 2100) / 20
    shown = api.get(f"/products/{product.pk}").json()
    assert shown["quantityAvailable"] == 20
    moves = api.get(f"/inventory/movements?productId={product.pk}").json()["items"]
    assert [m["delta"] for m in moves if m["reason"] == "purchase_receipt"] == [6, 4]


def test_receive_now_does_it_at_once_and_a_product_on_order_is_kept(api, store, supplier):
    product = a_product(store, quantity=0)
    made = a_purchase(api, supplier, (product, 5, "700"), receiveNow=True)
    other = a_product(store, quantity=0)
    a_purchase(api, supplier, (other, 5, "700"))

    assert made["status"] == "received"
    assert api.delete(f"/products/{product.pk}").status_code == 204
    refused = api.delete(f"/products/{other.pk}")
    assert (refused.status_code, refused.json()["code"]) == (409, "product_in_use")


def test_what_a_status_allows(api, store, supplier):
    made = a_purchase(api, supplier, (a_product(store), 5, "700"))
    path = f"/purchase-orders/{made['id']}"
    assert api.put(path, {"discount": "100"}).json()["totalAmount"] == "3400"
    api.post(f"{path}/order")

    assert api.put(path, {"discount": "0"}).status_code == 409
    assert api.put(path, {"notes": "by truck"}).json()["notes"] == "by truck"
    assert api.delete(path).status_code == 409
    assert api.post(f"{path}/close").status_code == 409
    assert api.post(f"{path}/cancel", {"reason": "late"}).json()["status"] == "cancelled"
    assert api.post(f"{path}/cancel").status_code == 200
    assert api.delete(path).status_code == 204


def test_guide_purchase_orders_have_at_most_three_attachments(api, store, supplier):
    path = f"/purchase-orders/{a_purchase(api, supplier, (a_product(store), 1, '1'))['id']}"

    sent = [multipart(api, f"{path}/attachments", "bill.png", PNG) for _ in range(4)]
    kept = sent[0].json()

    assert [answer.status_code for answer in sent] == [201, 201, 201, 400]
    assert sent[3].json()["code"] == "too_many_attachments"
    down = api.get(f"{path}/attachments/{kept['id']}")
    assert down["Content-Type"] == "image/png"
    assert down["Content-Disposition"] == 'attachment; filename="bill.png"'
    assert api.delete(f"{path}/attachments/{kept['id']}").status_code == 204
    assert api.get(f"{path}/attachments/{kept['id']}").status_code == 404
    assert len(api.get(path).json()["attachments"]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", b"<svg xmlns='x'/>"), ("a.pdf", b"MZ\x90\x00"), ("a.png", b""), ("a.html", b"<p>")],
)
def test_an_attachment_is_what_its_content_says(api, store, supplier, name, content):
    path = f"/purchase-orders/{a_purchase(api, supplier, (a_product(store), 1, '1'))['id']}"

    answer = multipart(api, f"{path}/attachments", name, content)

    assert answer.status_code in (400, 415), answer.content
    assert api.get(path).json()["attachments"] == []
