"""Suppliers and purchase orders (guide.md, "Suppliers" and "Purchase orders"; domain.md, 7)."""

import io
from decimal import Decimal

import pytest
from django.core.files.storage import default_storage
from PIL import Image

from store_modules.purchasing.models import Attachment
from store_modules.purchasing.services import average_cost
from tests.clients import client_of, multipart
from tests.factories import a_member, a_product, a_store

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


def test_a_cost_that_is_sent_back_as_it_is_shown_keeps_its_places(api, store, supplier):
    product = a_product(store)
    made = a_purchase(api, supplier, (product, 3, "100"), discount="1", receiveNow=True)
    assert made["receivedValue"] == "299"
    shown = api.get(f"/products/{product.pk}").json()
    assert shown["costPrice"] == "100"

    def cost():
        product.refresh_from_db()
        return product.cost_price

    assert api.put(f"/products/{product.pk}", {"costPrice": shown["costPrice"]}).status_code == 200
    assert cost() == Decimal("99.6667")
    api.put(f"/products/{product.pk}", {"costPrice": "99"})
    assert cost() == 99


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


@pytest.mark.parametrize(
    ("on_hand", "cost", "count", "unit", "average"),
    [
        (10, "1000", 10, "2000", "1500"),
        (0, "1000", 10, "2000", "2000"),  # nothing there: the new cost
        (5, None, 10, "2000", "2000"),
        (3, "1", 3, "2", "1.5"),
        (2, "1", 1, "2", "1.3333"),
        (1, "1", 2, "2", "1.6667"),  # half up at four places
        (7, "12.3456", 13, "9.8765", "10.7407"),
    ],
)
def test_the_moving_average_by_hand(on_hand, cost, count, unit, average):
    cost = None if cost is None else Decimal(cost)

    assert average_cost(on_hand, cost, count, Decimal(unit)) == Decimal(average)


def test_fees_and_discount_land_on_the_lines_by_their_value(api, store, supplier):
    dear, cheap = a_product(store, quantity=0), a_product(store, quantity=0)
    a_purchase(
        api, supplier, (dear, 2, "3000"), (cheap, 4, "500"),
        additionalFees="1000", discount="200", receiveNow=True,
    )  # fmt: skip

    dear.refresh_from_db()
    cheap.refresh_from_db()
    # 800 more over 6000 and 2000: 600 and 200
    assert (dear.cost_price, cheap.cost_price) == (Decimal(3300), Decimal(550))


def test_a_received_order_is_received_once(api, store, supplier):  # 21.6
    product = a_product(store, quantity=0)
    made = a_purchase(api, supplier, (product, 5, "700"))
    path, line = f"/purchase-orders/{made['id']}", {"itemId": made["items"][0]["id"], "quantity": 5}
    api.post(f"{path}/order")

    first = api.post(f"{path}/receive", {"items": [line]}, Idempotency_Key="truck-1")
    same = api.post(f"{path}/receive", {"items": [line]}, Idempotency_Key="truck-1")
    again = api.post(f"{path}/receive", {"items": [line]})

    assert (first.status_code, same.status_code) == (200, 200)
    assert same["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    assert api.get(f"/products/{product.pk}").json()["quantityAvailable"] == 5


def test_the_rest_of_a_part_delivery_is_given_up_by_whom_may(api, store, supplier):
    clerk = client_of(store, a_member(store))
    made = a_purchase(api, supplier, (a_product(store), 5, "700"))
    path = f"/purchase-orders/{made['id']}"
    api.post(f"{path}/order")
    line = {"itemId": made["items"][0]["id"], "quantity": 2}
    api.post(f"{path}/receive", {"items": [line]})

    assert api.post(f"{path}/cancel").status_code == 409
    assert clerk.post(f"{path}/close").status_code == 403
    assert api.post(f"{path}/close").json()["status"] == "closed"
    assert api.post(f"{path}/receive", {"items": [line]}).status_code == 409


def test_old_names_of_lines_are_read(api, store, supplier):
    line = {"storeProductId": a_product(store).pk, "quantity": 1, "unitCost": 5}

    made = api.post("/purchase-orders", {"supplierId": supplier, "items": [line]})

    assert made.status_code == 201, made.content
    assert "storeProductId" not in made.json()["items"][0]


@pytest.mark.parametrize(
    "values",
    [
        {"discount": "1501"},
        {"additionalFees": "-1"},
        {"orderDate": "2026-05-02", "expectedDeliveryDate": "2026-05-01"},
        {"supplierId": "01890000-0000-7000-8000-000000000000"},
        {"additionalFees": "99999999999999"},
    ],
)
def test_a_purchase_order_that_cannot_be(api, store, supplier, values):
    given = body(supplier, (a_product(store), 3, "500")) | values

    assert api.post("/purchase-orders", given).status_code == 400


def test_amounts_beyond_all_measure_are_refused(api, store, supplier):
    given = body(supplier, (a_product(store), 1_000_000, "99999999999999"))

    assert api.post("/purchase-orders", given).status_code == 400


def test_a_reference_is_the_suppliers_own(api, store, supplier):
    product = a_product(store)
    other = api.post("/suppliers", {"name": "Erbil Trading"}).json()["id"]
    a_purchase(api, supplier, (product, 1, "5"), referenceNumber="R-1")

    again = api.post("/purchase-orders", body(supplier, (product, 1, "5"), referenceNumber="R-1"))

    assert (again.status_code, again.json()["code"]) == (409, "duplicate_reference")
    a_purchase(api, other, (product, 1, "5"), referenceNumber="R-1")
    found = api.get("/purchase-orders?search=erbil").json()["items"]
    assert [one["supplierName"] for one in found] == ["Erbil Trading"]


def test_attachments_are_private_and_named_at_random(api, store, supplier):
    path = f"/purchase-orders/{a_purchase(api, supplier, (a_product(store), 1, '1'))['id']}"
    pdf = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"

    kept = multipart(api, f"{path}/attachments", "../../faktura 1.pdf", pdf).json()
    stored = Attachment.objects.get()
    there = default_storage.exists(stored.stored_as)
    down = api.get(f"{path}/attachments/{kept['id']}")
    api.delete(f"{path}/attachments/{kept['id']}")

    assert (kept["fileName"], kept["contentType"]) == ("faktura 1.pdf", "application/pdf")
    assert there
    assert "faktura" not in stored.stored_as
    assert down.content == pdf
    assert down["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in down["Cache-Control"]
    assert not default_storage.exists(stored.stored_as)  # the blob goes with the row
    stranger = client_of(a_store())
    assert stranger.get(f"{path}/attachments/{kept['id']}").status_code == 404
    clerk = client_of(store, a_member(store, denies=["purchase_orders.read"]))
    assert clerk.get(f"{path}/attachments/{kept['id']}").status_code == 403


def test_an_attachment_has_at_most_ten_mebibytes(api, store, supplier):
    path = f"/purchase-orders/{a_purchase(api, supplier, (a_product(store), 1, '1'))['id']}"

    answer = multipart(api, f"{path}/attachments", "a.pdf", b"%PDF-1.7\n" + b"0" * 10 * 2**20)

    assert answer.status_code == 413
