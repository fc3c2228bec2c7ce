"""The rest of an order's life (domain.md, 6.2, 6.3 and 18): delivery, money, returns, risks."""

from dataclasses import replace

import pytest

from store_modules.catalog.models import InventoryItem, StockMovement
from store_modules.customers.models import Customer
from store_modules.delivery.models import DeliveryCompany
from store_modules.orders.lifecycle import transition
from store_modules.orders.models import Order, OrderEvent
from store_modules.orders.quoting import USUAL_TOTAL
from store_modules.orders.status import Status
from tests.clients import actor_of_store, client_of, key_client_of
from tests.factories import a_customer, a_member, a_product, a_store, an_order_body
from tests.store_modules.test_orders import CITY


@pytest.fixture
def product(store):
    return a_product(store, quantity=20, price=10_000)


@pytest.fixture
def order(api, store, product):
    return api.post("/orders", an_order_body(store, (product, 3))).json()


def move(client, order, *ways, **values):
    for to in ways:
        answer = client.post(f"/orders/{order['id']}/transition", {"to": to, **values})
    return answer


def shown(client, order):
    return client.get(f"/orders/{order['id']}").json()


def line(order, **values):
    return {"itemId": order["items"][0]["id"], **values}


def shelf(product):
    item = InventoryItem.objects.get(product=product)
    return item.quantity_on_hand, item.quantity_reserved


# The parcel


def test_a_parcel_drives_its_order(api, order, product):
    move(api, order, "confirmed")
    path = f"/orders/{order['id']}/fulfillment"

    seen = []
    for to in ("awaiting_pickup", "picked_up", "at_hub", "out_for_delivery", "delivered"):
        answer = api.post(path, {"status": to}).json()
        seen.append((answer["status"], answer["fulfillmentStatus"]))

    assert seen == [
        ("confirmed", "awaiting_pickup"), ("shipped", "picked_up"), ("shipped", "at_hub"),
        ("shipped", "out_for_delivery"), ("delivered", "delivered"),
    ]  # fmt: skip
    assert shelf(product) == (17, 0)


def test_a_parcel_goes_forward_only(api, order):
    move(api, order, "confirmed", "shipped")
    path = f"/orders/{order['id']}/fulfillment"
    api.post(path, {"status": "in_transit"})

    back = api.post(path, {"status": "at_hub"})
    aside = api.post(path, {"status": "postponed", "postponedUntil": "2030-01-05"}).json()
    before_pickup = api.post(path, {"status": "awaiting_pickup"})
    on = api.post(path, {"status": "out_for_delivery"}).json()

    assert (back.status_code, back.json()["code"]) == (409, "invalid_transition")
    assert "out_for_delivery" in back.json()["allowed"]
    assert aside["postponedUntil"] == "2030-01-05"
    assert before_pickup.status_code == 409
    assert (on["fulfillmentStatus"], on["postponedUntil"]) == ("out_for_delivery", None)


def test_failed_attempts_are_numbered_and_say_why(api, order):
    move(api, order, "confirmed", "shipped")
    path = f"/orders/{order['id']}/fulfillment"

    without = api.post(path, {"status": "attempt_failed"})
    wrong = api.post(path, {"status": "attempt_failed", "reason": "rain"})
    for reason in ("no_answer", "phone_off"):
        answer = api.post(path, {"status": "attempt_failed", "reason": reason}).json()

    assert without.status_code == wrong.status_code == 400
    assert [(one["number"], one["reason"]) for one in answer["attempts"]] == [
        (1, "no_answer"), (2, "phone_off"),
    ]  # fmt: skip


def test_a_parcel_that_comes_back_may_be_sent_again(api, order, product):
    move(api, order, "confirmed", "shipped")

    unsaid = move(api, order, "returning")
    back = move(api, order, "returning", reason="refused").json()
    refused = Customer.objects.get().refused_count
    again = move(api, order, "shipped").json()
    delivered = move(api, order, "delivered").json()

    assert unsaid.status_code == 400
    assert "reason" in unsaid.json()["errors"]
    assert back["fulfillmentStatus"] == "return_to_hub"
    assert refused == 1
    assert (again["status"], again["fulfillmentStatus"]) == ("shipped", "picked_up")
    assert delivered["amountPaid"] == "35000"
    customer = Customer.objects.get()
    assert (customer.refused_count, customer.delivered_count) == (0, 1)
    assert shelf(product) == (17, 0)


def test_a_parcel_of_which_part_was_unpacked_is_not_sent_again(api, order):
    move(api, order, "confirmed", "shipped")
    move(api, order, "returning", reason="refused")
    api.post(f"/orders/{order['id']}/check-in", {"lines": [line(order, restock=1)]})

    again = move(api, order, "shipped")

    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")


# What comes back


def test_goods_are_checked_in_as_restocked_damaged_and_lost(api, order, product):
    move(api, order, "confirmed", "shipped")
    move(api, order, "returning", reason="refused")
    path = f"/orders/{order['id']}/check-in"

    part = api.post(path, {"lines": [line(order, restock=1)]}).json()
    over = api.post(path, {"lines": [line(order, restock=3)]})
    rest = api.post(path, {"lines": [line(order, damaged=1, lost=1)]}).json()
    late = api.post(path, {"lines": [line(order, restock=1)]})

    assert (part["status"], part["returnsTotal"]) == ("returning", "10000")
    assert (over.status_code, over.json()["code"]) == (400, "over_check_in")
    assert (rest["status"], rest["fulfillmentStatus"]) == ("returned", "returned_to_store")
    assert (rest["currentTotal"], rest["amountDue"]) == ("5000", "5000")  # the delivery stays due
    assert late.status_code == 409
    assert shelf(product) == (18, 0)
    moves = StockMovement.objects.filter(ref_type="order").order_by("id")
    assert [(one.reason, one.delta) for one in moves] == [
        ("sale", -3), ("return", 1), ("return", 1), ("damage", -1),
    ]  # fmt: skip


def test_the_delivery_fee_may_be_waived(api, order):
    move(api, order, "confirmed", "shipped")
    move(api, order, "returning", reason="not_ordered")

    answer = api.post(
        f"/orders/{order['id']}/check-in",
        {"lines": [line(order, restock=3)], "waiveDeliveryFee": True},
    ).json()

    assert (answer["amountDue"], answer["paymentStatus"]) == ("0", "voided")


def test_a_partial_delivery_is_returned_once_both_halves_are_back(api, order, product):
    move(api, order, "confirmed", "shipped")
    partly = move(api, order, "partially_delivered", lines=[line(order, quantity=1)]).json()
    asked = api.post("/return-requests", {"orderId": order["id"]}).json()
    path = f"/return-requests/{asked['id']}"

    api.post(f"{path}/approve")
    api.post(f"{path}/receive")
    courier = api.post(f"/orders/{order['id']}/check-in", {"lines": [line(order, restock=2)]})
    completed = api.post(f"{path}/complete").json()

    assert partly["amountPaid"] == "15000"
    assert courier.json()["status"] == "partially_delivered"  # the request is not completed
    assert completed["credit"] == "10000"
    last = shown(api, order)
    assert (last["status"], last["amountDue"]) == ("returned", "-10000")
    assert shelf(product) == (20, 0)
    assert Customer.objects.get().returned_count == 1


@pytest.mark.parametrize("surface", ["desk", "website"])
def test_return_requests_on_both_surfaces(api, key, order, surface):
    move(api, order, "confirmed", "shipped")
    early = api.post("/return-requests", {"orderId": order["id"]})
    move(api, order, "delivered")
    body = {"lines": [line(order, quantity=2)], "reason": "damaged", "note": "torn"}

    if surface == "desk":
        asked = api.post("/return-requests", body | {"orderId": order["id"]})
        second = api.post("/return-requests", {"orderId": order["id"]})
    else:
        asked = key.post(f"/orders/{order['id']}/return-request", body)
        second = key.post(f"/orders/{order['id']}/return-request", {})
        listed = key.get(f"/orders/{order['id']}/return-requests").json()["items"]
        assert [one["id"] for one in listed] == [asked.json()["id"]]
        assert key.get(f"/return-requests/{asked.json()['id']}").json() == asked.json()
        denied = key.post(f"/return-requests/{asked.json()['id']}/approve")
        assert denied.status_code in (404, 405)

    assert (early.status_code, early.json()["code"]) == (409, "not_returnable")
    assert asked.status_code == 201, asked.content
    assert (second.status_code, second.json()["code"]) == (409, "return_request_open")
    assert api.get(f"/return-requests/{asked.json()['id']}").json()["reason"] == "damaged"


def test_a_request_says_why_in_the_contracts_words_and_asks_for_no_more(api, order):
    move(api, order, "confirmed", "shipped", "delivered")
    ask = {"orderId": order["id"]}

    for wrong in (
        {"reason": "because"},
        {"lines": [line(order, quantity=4)]},
        {"lines": [line(order, quantity=1)] * 2},
        {"lines": [{"itemId": order["id"], "quantity": 1}]},
    ):
        assert api.post("/return-requests", ask | wrong).status_code == 400, wrong


def test_a_request_is_rejected_or_withdrawn(api, order):
    move(api, order, "confirmed", "shipped", "delivered")

    def asked():
        made = api.post("/return-requests", {"orderId": order["id"]}).json()
        return f"/return-requests/{made['id']}"

    first, second = asked(), None
    assert api.post(f"{first}/receive").status_code == 409
    assert api.post(f"{first}/reject").json()["status"] == "rejected"
    assert api.post(f"{first}/approve").status_code == 409
    second = asked()
    api.post(f"{second}/approve")
    assert api.post(f"{second}/cancel").json()["status"] == "cancelled"
    assert shown(api, order)["status"] == "delivered"


def test_check_in_serves_an_approved_request_too(api, order, product):
    move(api, order, "confirmed", "shipped", "delivered")
    path = f"/orders/{order['id']}/check-in"
    early = api.post(path, {"lines": [line(order, restock=1)]})
    asked = api.post("/return-requests", {"orderId": order["id"]}).json()
    api.post(f"/return-requests/{asked['id']}/approve")

    api.post(path, {"lines": [line(order, restock=1, damaged=2)]})

    assert early.status_code == 409
    got = api.get(f"/return-requests/{asked['id']}").json()
    assert (got["status"], got["lines"][0]["received"]) == ("received", 3)
    assert shelf(product) == (18, 0)


# Money


def test_payments_and_refunds_follow_what_is_due(api, order):
    path = f"/orders/{order['id']}"
    part = api.post(f"{path}/payments", {"amount": "5000", "method": "card", "reference": "T1"})
    status = shown(api, order)["paymentStatus"]
    over = api.post(f"{path}/payments", {"amount": "30001", "method": "cash"})
    api.post(f"{path}/payments", {"amount": "30000", "method": "cash"})
    paid = shown(api, order)
    unsaid = api.post(f"{path}/refunds", {"amount": "1", "method": "cash"})
    refund = {"amount": "10000", "method": "cash", "reason": "late"}
    back = api.post(f"{path}/refunds", refund | {"lines": [line(order, quantity=1)]})
    much = api.post(f"{path}/refunds", refund | {"amount": "25001"})

    assert (part.status_code, status) == (201, "partially_paid")
    assert (over.status_code, over.json()["code"]) == (400, "overpaid")
    assert (paid["paymentStatus"], paid["remittanceStatus"]) == ("paid", "not_applicable")
    assert unsaid.status_code == 400
    assert back.status_code == 201, back.content
    assert (much.status_code, much.json()["code"]) == (400, "refund_exceeds_paid")
    listed = api.get(f"{path}/payments").json()["items"]
    assert [(one["kind"], one["amount"]) for one in listed] == [
        ("payment", "5000"), ("payment", "30000"), ("refund", "10000"),
    ]  # fmt: skip
    assert shown(api, order)["paymentStatus"] == "partially_refunded"
    event = OrderEvent.objects.filter(kind="payment").order_by("id").last()
    assert event.data["lines"] == [line(order, quantity=1)]


def test_refunds_above_the_limit_need_their_permission_also_in_parts(api, store, order):
    api.put("/settings", {"refundLimit": "5000"})
    clerk = client_of(store, a_member(store))
    trusted = client_of(store, a_member(store, grants=["orders.refund_over_limit"]))
    path = f"/orders/{order['id']}"
    api.post(f"{path}/payments", {"amount": "20000", "method": "cash"})
    body = {"method": "cash", "reason": "broken"}

    small = clerk.post(f"{path}/refunds", body | {"amount": "3000"})
    large = clerk.post(f"{path}/refunds", body | {"amount": "2001"})
    allowed = trusted.post(f"{path}/refunds", body | {"amount": "5001"})

    assert small.status_code == 201
    assert (large.status_code, large.json()["code"]) == (403, "missing_permission")
    assert large.json()["requiredPermission"] == "orders.refund_over_limit"
    assert allowed.status_code == 201


def test_a_cancelled_order_that_was_paid_keeps_its_refund_due(api, order):
    path = f"/orders/{order['id']}"
    api.post(f"{path}/payments", {"amount": "5000", "method": "cash"})

    cancelled = api.post(f"{path}/cancel", {"reason": "out of stock"}).json()
    pay = api.post(f"{path}/payments", {"amount": "1", "method": "cash"})
    api.post(f"{path}/refunds", {"amount": "5000", "method": "cash", "reason": "cancelled"})

    assert (cancelled["amountDue"], cancelled["paymentStatus"]) == ("-5000", "partially_paid")
    assert (pay.status_code, pay.json()["code"]) == (409, "not_payable")
    after = shown(api, order)
    assert (after["amountDue"], after["paymentStatus"]) == ("0", "refunded")


def test_a_prepaid_draft_is_paid_when_it_is_placed(api, store, product):
    body = an_order_body(store, (product, 1), payment_method="prepaid", isDraft=True)
    draft = api.post("/orders", body).json()

    placed = move(api, draft, "pending").json()

    assert (draft["amountPaid"], draft["paymentStatus"]) == ("0", "unpaid")
    assert (placed["amountPaid"], placed["paymentStatus"]) == ("15000", "paid")


def test_cod_cash_waits_for_its_courier_or_is_the_stores_at_once(api, store, order, product):
    with_courier = api.post("/orders", an_order_body(store, (product, 1))).json()
    boxy = DeliveryCompany.objects.get(slug="boxy")
    Order.objects.filter(pk=with_courier["id"]).update(delivery_company_id=boxy.pk)

    waiting = shown(api, order)["remittanceStatus"]
    own = move(api, order, "confirmed", "shipped", "delivered").json()
    move(api, with_courier, "confirmed", "shipped")
    away = move(api, with_courier, "delivered").json()

    assert waiting == "awaiting_collection"
    assert (own["remittanceStatus"], own["amountPaid"]) == ("remitted", "35000")
    assert own["remittedAt"]
    assert (away["remittanceStatus"], away["remittedAt"]) == ("with_courier", None)
    assert away["amountToCollect"] == "0"


# Who


def test_a_key_moves_what_the_table_says(api, key, order):
    assert move(key, order, "confirmed").status_code == 200
    assert move(key, order, "shipped").status_code == 200
    assert move(key, order, "returning", reason="refused").status_code == 200
    assert move(key, order, "shipped").status_code == 409  # owner, staff and couriers only
    assert move(api, order, "shipped").status_code == 200


def test_cancelling_by_any_name_needs_its_permission(store, order):
    staff = client_of(store, a_member(store, denies=["orders.cancel"]))

    answers = [
        staff.post(f"/orders/{order['id']}/cancel"),
        staff.delete(f"/orders/{order['id']}"),
        move(staff, order, "cancelled"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert {answer.json()["requiredPermission"] for answer in answers} == {"orders.cancel"}
    assert move(staff, order, "confirmed").status_code == 200


def test_the_system_and_a_courier_have_moves_of_their_own(store, order):
    owner = actor_of_store(store)
    courier = replace(owner, kind="provider", is_owner=False)
    system = replace(owner, kind="system", is_owner=False)

    transition(system, order["id"], Status.CONFIRMED)
    transition(courier, order["id"], Status.SHIPPED)
    transition(courier, order["id"], Status.DELIVERED)

    kinds = OrderEvent.objects.filter(kind="status").order_by("id")
    assert list(kinds.values_list("actor_kind", flat=True)) == ["system", "provider", "provider"]


def test_every_move_is_written_down(api, order):
    move(api, order, "confirmed", "shipped")
    move(api, order, "returning", reason="phone_off")

    events = api.get(f"/orders/{order['id']}/events").json()["items"]

    told = [(one["fromStatus"], one["toStatus"], one["reason"]) for one in events]
    assert told[-1] == ("shipped", "returning", "phone_off")
    assert all(one["actorKind"] == "user" and one["createdAt"] for one in events)


def test_a_duplicate_is_a_new_draft_at_present_prices(api, store, order, product):
    api.post(f"/orders/{order['id']}/cancel")
    api.put(f"/products/{product.pk}", {"price": "12000"})

    copy = api.post(f"/orders/{order['id']}/duplicate")

    assert copy.status_code == 201, copy.content
    made = copy.json()
    assert (made["status"], made["subtotal"]) == ("draft", "36000")
    assert made["id"] != order["id"]
    assert made["customer"]["primaryPhone"] == order["customer"]["primaryPhone"]
    assert shelf(product) == (20, 0)
    assert shown(api, order)["status"] == "cancelled"


# Risks: advice, never a silent refusal


def test_the_same_goods_for_the_same_phone_within_a_day(api, store, product):
    body = an_order_body(store, (product, 1))
    other = an_order_body(store, (a_product(store), 1), customer=body["customer"])

    first, other, again = (api.post("/orders", one).json() for one in (body, other, body))

    assert [one["riskFlags"] for one in (first, other, again)] == [[], [], ["duplicate_recent"]]


@pytest.mark.parametrize(
    ("delivered", "refused", "flags"),
    [(1, 2, ["high_refusal"]), (2, 1, []), (0, 2, []), (2, 2, ["high_refusal"])],
)
def test_a_customer_who_refuses_often(api, store, product, delivered, refused, flags):
    a_customer(
        store, primary_phone="+9647701234567", delivered_count=delivered, refused_count=refused
    )
    customer = {"name": "Ali", "primaryPhone": "07701234567"}

    made = api.post("/orders", an_order_body(store, (product, 1), customer=customer)).json()

    assert made["riskFlags"] == flags


def test_a_blocked_customer_is_flagged_for_staff_and_refused_on_a_storefront(api, store, product):
    a_customer(store, primary_phone="+9647701234567", is_blocked=True)
    api.put("/settings", {"requireOtpForStorefront": False})
    body = an_order_body(
        store, (product, 1), customer={"name": "Ali", "primaryPhone": "07701234567"}
    )

    staff = api.post("/orders", body).json()
    storefront = key_client_of(store).post("/orders/storefront", body)

    assert staff["riskFlags"] == ["customer_blocked"]
    assert (storefront.status_code, storefront.json()["code"]) == (400, "customer_blocked")


def test_a_storefront_order_without_a_code_is_unverified(api, key, store, product):
    api.put("/settings", {"requireOtpForStorefront": False, "autoConfirmOrders": True})

    made = key.post("/orders/storefront", an_order_body(store, (product, 1))).json()

    assert (made["riskFlags"], made["status"]) == (["unverified_phone"], "pending")


def test_an_order_far_above_the_stores_usual(api, store, product):
    for _ in range(10):
        api.post("/orders", an_order_body(store, (product, 1), deliveryFee="0"))
    USUAL_TOTAL.clear()

    usual = api.post("/orders", an_order_body(store, (product, 5), deliveryFee="0")).json()
    large = api.post("/orders", an_order_body(store, (product, 5), deliveryFee="1")).json()

    assert (usual["total"], usual["riskFlags"]) == ("50000", [])
    assert large["riskFlags"] == ["unusually_large"]


def test_clearing_a_risk_is_recorded(api, store, product):
    far = an_order_body(
        store, (product, 1), delivery_lat="36.19", delivery_lng="44.01", addressAreaId=str(CITY)
    )
    order = api.post("/orders", far).json()
    path = f"/orders/{order['id']}/clear-risk"

    cleared = api.post(path, {"flags": ["area_mismatch"]}).json()
    api.post(path, {})

    assert order["riskFlags"] == ["area_mismatch"]
    assert cleared["riskFlags"] == []
    notes = OrderEvent.objects.filter(kind="note")
    assert [note.data for note in notes] == [{"clearedRiskFlags": ["area_mismatch"]}]
    assert api.get("/orders?hasRiskFlags=true").json()["totalCount"] == 0


def test_another_store_sees_nothing_of_it(order):
    stranger = client_of(a_store())

    for deed, body in (("payments", {"amount": "1", "method": "cash"}), ("clear-risk", {})):
        assert stranger.post(f"/orders/{order['id']}/{deed}", body).status_code == 404
