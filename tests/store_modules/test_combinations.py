"""Where stock, money and discounts meet: what holds for each alone must hold for all together."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from store_modules.catalog.models import InventoryItem
from store_modules.delivery.models import DeliveryCompany
from store_modules.orders.models import Order, OrderItem
from tests.factories import a_customer, a_product, an_order_body


def move(client, order, *ways, **values):
    for to in ways:
        answer = client.post(f"/orders/{order['id']}/transition", {"to": to, **values})
    return answer


def shelf(product):
    item = InventoryItem.objects.get(product=product)
    return item.quantity_on_hand, item.quantity_reserved


def a_draft(api, store, *items, **values):
    return api.post("/orders", an_order_body(store, *items, isDraft=True, **values)).json()


# Drafts and what became of their products


def test_a_draft_from_before_tracking_sets_stock_aside_when_it_is_placed(api, store):
    product = a_product(store, quantity=None)
    large, small = a_draft(api, store, (product, 50)), a_draft(api, store, (product, 3))
    api.post("/inventory/adjust", {"sku": product.sku, "delta": 5, "reason": "manual"})

    refused, placed = move(api, large, "pending"), move(api, small, "pending")

    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_stock")
    assert placed.status_code == 200
    assert shelf(product) == (5, 3)


def test_a_draft_of_a_product_that_is_tracked_no_more_holds_nothing(api, store):
    product = a_product(store, quantity=2)
    draft = a_draft(api, store, (product, 5))
    api.put(f"/products/{product.pk}", {"trackInventory": False})

    assert move(api, draft, "pending").status_code == 200
    assert shelf(product) == (2, 0)


@pytest.mark.parametrize("gone", ["deleted", "switched off"])
def test_a_draft_of_a_withdrawn_product_is_not_placed(api, store, gone):
    product, other = a_product(store, quantity=10), a_product(store)
    draft = a_draft(api, store, (other, 1), (product, 4))
    if gone == "deleted":
        assert api.delete(f"/products/{product.pk}").status_code == 204
        a_product(store, sku=product.sku, quantity=3)
    else:
        api.put(f"/products/{product.pk}", {"isActive": False})

    answer = move(api, draft, "pending")

    assert (answer.status_code, answer.json()["code"]) == (400, "not_sellable")
    assert list(answer.json()["errors"]) == ["items.1.sku"]
    assert shelf(product) == (10, 0)


# Editing


def test_an_edit_gives_back_what_a_product_holds_that_is_tracked_no_more(api, store):
    product = a_product(store, quantity=10)
    order = api.post("/orders", an_order_body(store, (product, 4))).json()
    api.put(f"/products/{product.pk}", {"trackInventory": False})

    answer = api.put(f"/orders/{order['id']}", {"items": [{"sku": product.sku, "quantity": 20}]})

    assert answer.status_code == 200, answer.content
    assert shelf(product) == (10, 0)
    assert OrderItem.objects.get(order=order["id"]).quantity_reserved == 0
    assert move(api, order, "confirmed", "shipped").status_code == 200
    assert shelf(product) == (10, 0)


def test_an_edit_of_a_second_phone_or_a_note_alone_is_kept(api, store):
    product = a_product(store)
    body = an_order_body(store, (product, 1))
    order = api.post("/orders", body).json()
    customer = body["customer"] | {"secondaryPhone": "07701234567", "email": "s@example.com"}
    items = [{"sku": product.sku, "quantity": 1, "note": "as a gift"}]

    shown = api.put(f"/orders/{order['id']}", {"customer": customer, "items": items}).json()

    assert shown["customer"]["secondaryPhone"] == "+9647701234567"
    assert shown["customer"]["email"] == "s@example.com"
    assert shown["items"][0]["note"] == "as a gift"


def test_a_parcel_that_a_company_carries_keeps_its_address_and_notes(api, store):
    orders = [api.post("/orders", an_order_body(store, (a_product(store), 1))).json() for _ in "ab"]
    for order in orders:
        move(api, order, "confirmed", "shipped")
    company = DeliveryCompany.objects.get(slug="nawa")
    Order.objects.filter(pk=orders[0]["id"]).update(delivery_company_id=company.pk)
    change = {"address": "7 Kindi St.", "notes": "Ring twice"}

    carried, own = (api.put(f"/orders/{order['id']}", change) for order in orders)
    inside = api.put(f"/orders/{orders[0]['id']}", {"internalNotes": "Asked to hurry"})

    assert (carried.status_code, carried.json()["code"]) == (409, "not_editable")
    assert carried.json()["fields"] == ["address", "notes"]
    assert (own.status_code, inside.status_code) == (200, 200)


# Money


def test_rounding_after_a_partial_delivery_asks_for_no_more_than_before(api, store):
    api.put("/settings", {"cashRounding": "250"})
    small, large = a_product(store, price=1), a_product(store, price=999)
    body = an_order_body(store, (small, 1), (large, 1), deliveryFee="0")
    order = api.post("/orders", body).json()
    api.post(f"/orders/{order['id']}/payments", {"amount": "870", "method": "card"})
    move(api, order, "confirmed", "shipped")

    arrived = [{"itemId": order["items"][1]["id"], "quantity": 1}]
    shown = move(api, order, "partially_delivered", lines=arrived).json()

    assert (shown["total"], shown["returnsTotal"], shown["amountPaid"]) == ("1000", "0", "1000")


def test_piecemeal_refunds_at_the_till_are_not_worth_more_than_the_goods(api, store):
    api.put("/settings", {"cashRounding": "250"})
    product = a_product(store, price=125)
    api.post("/cashier/sessions/open", {"openingFloat": "10000"})
    sale = api.post("/cashier/sales", {
        "items": [{"sku": product.sku, "quantity": 10}],
        "payments": [{"method": "cash", "amount": "1250"}],
        "clientSaleId": str(uuid4()),
    }).json()  # fmt: skip

    def refund(count, method="cash"):
        lines = [{"sku": product.sku, "quantity": count}]
        path = f"/cashier/sales/{sale['id']}/refund"
        return api.post(path, {"lines": lines, "method": method}).json()["amountRefunded"]

    assert [refund(1) for _ in range(5)] == ["250", "250", "500", "500", "750"]
    assert refund(1, "card") == "750"  # six pieces are worth 750
    assert refund(1, "card") == "875"
    assert refund(3) == "1250"


def test_nothing_is_received_or_paid_in_the_future(api, store):
    product = a_product(store, quantity=0)
    supplier = api.post("/suppliers", {"name": "Mill"}).json()
    items = [{"productId": str(product.pk), "quantity": 3, "unitCost": "10"}]
    body = {"supplierId": supplier["id"], "items": items}
    purchase = api.post("/purchase-orders", body).json()
    api.post(f"/purchase-orders/{purchase['id']}/order")
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()

    arrived = [{"itemId": purchase["items"][0]["id"], "quantity": 3}]
    path = f"/purchase-orders/{purchase['id']}/receive"
    received = api.post(path, {"items": arrived, "receivedAt": tomorrow})
    path = f"/orders/{order['id']}/payments"
    paid = api.post(path, {"amount": "1", "method": "cash", "at": tomorrow})

    assert (received.status_code, list(received.json()["errors"])) == (400, ["receivedAt"])
    assert (paid.status_code, list(paid.json()["errors"])) == (400, ["at"])


# Discounts


def test_only_one_draft_is_the_first_order(api, store):
    code = {"name": "New", "code": "FIRST", "type": "percentage", "value": "50"}
    api.post("/discounts/codes", code | {"customerEligibility": "first_order"})
    product = a_product(store)
    customer = {"name": "Sara", "primaryPhone": "07709990001"}
    drafts = [
        a_draft(api, store, (product, 1), customer=customer, discountCode="FIRST") for _ in "ab"
    ]

    first, second = (move(api, draft, "pending") for draft in drafts)

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "customer_limit_reached")
    assert Order.objects.get(pk=drafts[1]["id"]).status == "draft"


def test_nobody_in_particular_has_no_first_order_at_the_till(api, store):
    rule = {"name": "New", "type": "percentage", "value": "50"}
    api.post("/discounts/rules", rule | {"customerEligibility": "first_order"})
    api.post("/cashier/sessions/open", {"openingFloat": "0"})
    product, customer = a_product(store, price=1000), a_customer(store)

    def sale(total, **values):
        body = {
            "items": [{"sku": product.sku, "quantity": 1}],
            "payments": [{"method": "cash", "amount": total}],
            "clientSaleId": str(uuid4()),
        }
        return api.post("/cashier/sales", body | values).status_code

    assert sale("1000") == 201
    assert sale("500", customerId=str(customer.pk)) == 201
    assert sale("1000", customerId=str(customer.pk)) == 201


# Editing what was agreed


@pytest.mark.parametrize("change", ["switched off", "deleted", "expired", "second order"])
def test_an_edited_order_keeps_the_code_it_was_placed_with(api, store, change):
    values = {"name": "Off", "code": "OFF", "type": "percentage", "value": "10"}
    code = api.post(
        "/discounts/codes", values | {"customerEligibility": "first_order", "usageLimit": 1}
    ).json()
    product = a_product(store, price=1000)
    customer = {"name": "Sara", "primaryPhone": "07709990002"}
    body = an_order_body(store, (product, 1), customer=customer, discountCode="OFF")
    order = api.post("/orders", body).json()
    if change == "switched off":
        api.put(f"/discounts/codes/{code['id']}", {"isActive": False})
    elif change == "deleted":
        api.delete(f"/discounts/codes/{code['id']}")
    elif change == "expired":
        api.put(f"/discounts/codes/{code['id']}", {"expiresAt": "2026-01-01T00:00:00Z"})
    else:
        api.post("/orders", an_order_body(store, (product, 1), customer=customer))

    items = [{"sku": product.sku, "quantity": 3}]
    answer = api.put(f"/orders/{order['id']}", {"items": items})

    assert answer.status_code == 200, answer.content
    assert (answer.json()["discountTotal"], answer.json()["discountCode"]) == ("300", "OFF")


def test_staff_who_edit_an_order_keep_its_channels_discounts(api, key, store):
    rule = {"type": "fixed_amount", "value": "100"}
    api.post("/discounts/rules", rule | {"name": "Website", "channels": ["api"]})
    api.post("/discounts/rules", rule | {"name": "Desk", "channels": ["dashboard"], "value": "500"})
    product = a_product(store, price=1000)
    order = key.post("/orders", an_order_body(store, (product, 1))).json()

    items = [{"sku": product.sku, "quantity": 2}]
    shown = api.put(f"/orders/{order['id']}", {"items": items}).json()

    assert [one["name"] for one in shown["discounts"]] == ["Website"]
    assert shown["discountTotal"] == "100"


def test_an_edited_order_keeps_its_taxes_its_package_and_lines_of_products_gone(api, store):
    api.put("/settings", {"taxRate": "10", "pricesIncludeTax": False})
    api.post("/package-sizes", {"name": "Bag"})
    box = api.post("/package-sizes", {"name": "Box", "extraFee": "250"}).json()
    gone, other = a_product(store, price=1000, quantity=None), a_product(store, price=500)
    body = an_order_body(store, (gone, 2), (other, 1), packageSizeId=box["id"])
    order = api.post("/orders", body).json()
    api.put("/settings", {"taxRate": "0"})
    api.delete(f"/package-sizes/{box['id']}")
    assert api.delete(f"/products/{gone.pk}").status_code == 204

    items = [{"sku": gone.sku, "quantity": 2}, {"sku": other.sku, "quantity": 3}]
    answer = api.put(f"/orders/{order['id']}", {"items": items})

    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["subtotal"], shown["taxTotal"]) == ("3500", "350")
    assert shown["deliveryFee"] == order["deliveryFee"]
    assert shown["items"][0]["productId"] == str(gone.pk)
    assert move(api, order, "confirmed", "shipped", "delivered").status_code == 200
