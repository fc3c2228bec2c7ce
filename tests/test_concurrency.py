"""What locks and constraints promise, over HTTP against two worker processes
(domain.md, section 21; reliability.md, section 9)."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO, StringIO
from uuid import UUID, uuid4

import httpx
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from PIL import Image

from integrations.api_keys.models import ApiKey
from integrations.api_keys.services import revoke_key
from integrations.nawa.models import InboundEvent
from integrations.otp import services as otp
from integrations.otp.models import OtpChallenge
from store_modules.cashier.models import CashierSession, PinnedItem, Sale
from store_modules.catalog import stock
from store_modules.catalog.models import InventoryItem, Product, StockMovement
from store_modules.catalog.services import delete_product
from store_modules.delivery import dispatching, linking
from store_modules.delivery.models import CashEntry, CompanyLink, DeliveryCompany, Dispatch
from store_modules.discounts.models import DiscountCode, Redemption
from store_modules.orders.models import Order, OrderItem, OrderPayment
from store_modules.printing.models import PrintTemplate
from store_modules.purchasing.models import Attachment, PurchaseReceipt, Supplier
from store_modules.shipping.models import PackageSize
from store_modules.stores.models import Membership, SignIn, StoreSettings, User
from storeplatform.kernel.errors import TooMany
from tests.clients import actor_of_store, client_of, key_client_of
from tests.factories import a_customer, a_member, a_product, a_store, an_area, an_order_body
from tests.fakes import sign
from tests.servers import RunningServer, at_once, until


@pytest.fixture(scope="module")
def server():
    running = RunningServer(workers=2, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN)
    yield running
    assert running.stop() == 0


@pytest.fixture
def shop(parallel):
    an_area()
    return a_store()


@pytest.fixture
def client(server, shop):
    headers = {"X-API-Key": key_client_of(shop).headers["X_API_Key"]}
    base = f"{server.url}/api/v1/store/integrations"
    limits = httpx.Limits(max_connections=64)
    with httpx.Client(base_url=base, headers=headers, timeout=30, limits=limits) as http:
        yield http


@pytest.fixture
def desk(server, shop):
    """The owner's dashboard."""
    headers = {"Authorization": client_of(shop).headers["Authorization"]}
    limits = httpx.Limits(max_connections=64)
    with httpx.Client(
        base_url=f"{server.url}/api/v1/store", headers=headers, timeout=30, limits=limits
    ) as http:
        yield http


def statuses_of(answers):
    return sorted(answer.status_code for answer in answers)


def invariants_hold():
    """Reserved is what open lines hold; on hand is what the movements say; the doctor finds
    nothing."""
    call_command("doctor", stdout=StringIO())
    for item in InventoryItem.objects.annotate(moved=Sum("movements__delta")):
        reserved = OrderItem.objects.filter(inventory_item=item).aggregate(
            n=Sum("quantity_reserved")
        )["n"]
        assert item.quantity_reserved == (reserved or 0)
        assert item.quantity_on_hand == (item.moved or 0)


def test_fifty_parallel_orders_for_the_last_ten_units(client, shop):
    product = a_product(shop, quantity=10)

    answers = at_once(50, lambda _: client.post("/orders", json=an_order_body(shop, (product, 1))))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * 10 + [409] * 40
    refused = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert set(refused) == {"insufficient_stock"}
    assert InventoryItem.objects.get(product=product).quantity_reserved == 10
    invariants_hold()


def test_one_idempotency_key_sent_twenty_times_makes_one_order(client, shop):
    product = a_product(shop, quantity=100)
    body = an_order_body(shop, (product, 1))

    answers = at_once(
        20, lambda _: client.post("/orders", json=body, headers={"Idempotency-Key": "once"})
    )

    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    waiting = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert len(made) == 1
    assert waiting <= {"idempotency_in_progress"}
    assert Order.objects.count() == 1
    invariants_hold()


def test_one_code_used_by_twenty_requests_makes_one_order(client, shop):
    product = a_product(shop, quantity=100)
    sent = otp.send_code(actor_of_store(shop), "+9647701234567", channel="sms", customer_ip=None)
    customer = {"name": "Sara", "primaryPhone": "+9647701234567"}
    body = an_order_body(shop, (product, 1), customer=customer) | {"otpCode": sent.code}

    answers = at_once(20, lambda _: client.post("/orders/storefront", json=body))

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 400, 429}
    assert Order.objects.count() == 1
    assert OtpChallenge.objects.get().order_id == Order.objects.get().pk
    invariants_hold()


def test_parallel_guesses_stay_within_the_tries_of_an_hour(client, shop):
    product = a_product(shop, quantity=100)
    phone = "+9647701234567"
    body = an_order_body(shop, (product, 1), customer={"name": "Sara", "primaryPhone": phone})
    for tries, minutes in ((5, 4), (4, 2)):
        otp.send_code(actor_of_store(shop), phone, channel="sms", customer_ip=None)
        before = timezone.now() - timedelta(minutes=minutes)
        OtpChallenge.objects.filter(attempts=0).update(attempts=tries, created_at=before)
    sent = otp.send_code(actor_of_store(shop), phone, channel="sms", customer_ip=None)
    wrong = body | {"otpCode": f"{(int(sent.code) + 1) % 10**6:06d}"}

    with ThreadPoolExecutor(1) as beside:
        with transaction.atomic():  # so that all of them wait for the row at once
            OtpChallenge.objects.select_for_update().get(pk=sent.challenge.pk)
            waiting = beside.submit(
                at_once, 20, lambda _: client.post("/orders/storefront", json=wrong)
            )
            time.sleep(2)
        answers = waiting.result()

    assert sorted(answer.json()["code"] for answer in answers) == (
        ["otp_invalid"] + ["otp_locked"] * 19
    )
    assert OtpChallenge.objects.aggregate(n=Sum("attempts"))["n"] == 10


def test_parallel_codes_to_many_phones_stay_within_the_daily_cap(shop, settings):
    settings.RATE_LIMITS = "on"
    StoreSettings.objects.filter(store=shop).update(otp_daily_cap=5)
    actor = actor_of_store(shop)

    def send(place):
        phone = f"+9647701000{place:03d}"
        try:
            return otp.send_code(actor, phone, channel="sms", customer_ip=None).status
        except TooMany as refused:
            return refused.code
        finally:
            connection.close()

    answers = at_once(20, send)

    assert sorted(answers) == ["otp_rate_limited"] * 15 + ["sent"] * 5
    assert OtpChallenge.objects.count() == 5


def test_crossed_items_never_deadlock_a_client(client, shop):
    products = [a_product(shop, quantity=1000) for _ in range(4)]

    def order(place):
        turned = products if place % 2 else list(reversed(products))
        return client.post("/orders", json=an_order_body(shop, *((one, 1) for one in turned)))

    answers = at_once(30, order)

    assert {answer.status_code for answer in answers} == {201}
    assert set(InventoryItem.objects.values_list("quantity_reserved", flat=True)) == {30}
    numbers = [answer.json()["number"] for answer in answers]
    assert len(set(numbers)) == 30
    invariants_hold()


def test_orders_and_cancels_of_one_customer_keep_the_figures(client, shop):
    product = a_product(shop, quantity=50)
    customer = {"name": "Sara", "primaryPhone": "+9647701234567"}
    body = an_order_body(shop, (product, 1), customer=customer)

    def place_and_cancel(_):
        order = client.post("/orders", json=body).json()
        return client.post(f"/orders/{order['id']}/cancel", json={})

    answers = at_once(20, place_and_cancel)

    assert {answer.status_code for answer in answers} == {200}
    assert InventoryItem.objects.get(product=product).quantity_reserved == 0
    invariants_hold()


def test_parallel_adjustments_add_up(client, shop):
    product = a_product(shop, quantity=10)

    answers = at_once(
        20,
        lambda place: client.post(
            "/catalog/inventory/adjust",
            json={"sku": product.sku, "delta": 3 if place % 2 else -1, "reason": "manual"},
        ),
    )

    assert {answer.status_code for answer in answers} == {200}
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 10 + 10 * 3 - 10
    invariants_hold()


@pytest.mark.parametrize(
    ("deed", "after"), [(stock.reserve, (2, 2)), (stock.take, (0, 0)), (stock.release, (2, 0))]
)
def test_pieces_that_come_while_somebody_waits_for_them_count(shop, deed, after):
    """Whoever waits for a row goes on with what the row has become, not with what it was."""
    item = InventoryItem.objects.get(product=a_product(shop, quantity=0))
    reserved = 2 if deed is stock.release else 0
    rows = InventoryItem.objects.filter(pk=item.pk)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            rows.update(quantity_on_hand=2, quantity_reserved=reserved)
            waiting = pool.submit(carried_out, deed, {item.pk: 2})
            until(is_waited_for)
        waiting.result(timeout=60)

    assert rows.values_list("quantity_on_hand", "quantity_reserved").get() == after


def carried_out(deed, demand):
    try:
        with transaction.atomic():
            return deed(demand)
    finally:
        connection.close()


def test_what_is_shipped_after_a_receipt_has_its_cost(shop, desk):
    product = a_product(shop, quantity=10, cost_price=1000)
    order = desk.post("/orders", json=an_order_body(shop, (product, 1))).json()
    path = f"/orders/{order['id']}/transition"
    assert desk.post(path, json={"to": "confirmed"}).status_code == 200
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            InventoryItem.objects.select_for_update().get(product=product)
            Product.objects.filter(pk=product.pk).update(cost_price=1500)
            shipping = pool.submit(lambda: desk.post(path, json={"to": "shipped"}))
            until(is_waited_for)
        assert shipping.result(timeout=60).status_code == 200

    assert OrderItem.objects.get(order=order["id"]).unit_cost == 1500


def test_what_is_sold_after_a_receipt_has_its_cost(shop, desk):
    product = a_product(shop, quantity=10, cost_price=1000)
    open_till(desk)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            InventoryItem.objects.select_for_update().get(product=product)
            Product.objects.filter(pk=product.pk).update(cost_price=1500)
            selling = pool.submit(lambda: desk.post("/cashier/sales", json=a_sale(product)))
            until(is_waited_for)
        sale = selling.result(timeout=60)

    assert sale.status_code == 201
    assert OrderItem.objects.get(order=sale.json()["id"]).unit_cost == 1500
    assert StockMovement.objects.get(reason="pos_sale").unit_cost == 1500


def test_a_supplier_that_goes_while_money_is_spent_on_it_is_missed(shop, desk):
    supplier = Supplier.objects.create(store=shop, name="S")
    body = {"amount": "5", "category": "rent", "date": "2026-01-01"}
    body["supplierId"] = str(supplier.pk)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            supplier.delete()
            spending = pool.submit(lambda: desk.post("/expenses", json=body))
            until(is_waited_for)
        answer = spending.result(timeout=60)

    assert (answer.status_code, answer.json()["code"]) == (400, "not_found")
    assert "supplierId" in answer.json()["errors"]


def test_a_product_that_goes_while_it_is_pinned_is_pinned_nowhere(shop, desk):
    product = a_product(shop, quantity=0)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            held = Product.objects.select_for_update().get(pk=product.pk)
            pinning = pool.submit(
                lambda: desk.post("/cashier/pinned", json={"productId": str(product.pk)})
            )
            until(is_waited_for)
            delete_product(held)
        assert pinning.result(timeout=60).status_code == 400

    assert not PinnedItem.objects.exists()


def is_waited_for():
    """Whether another connection waits for this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks WHERE NOT granted"
            " AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return cursor.fetchone()


def test_parallel_upserts_of_one_sku_make_one_product(client, shop):
    answers = at_once(
        12,
        lambda place: client.post(
            "/catalog/products", json={"sku": "NEW-1", "name": f"Name {place}", "price": "1000"}
        ),
    )

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert client.get("/catalog/products?sku=NEW-1").json()["totalCount"] == 1


def test_a_category_that_goes_while_it_is_used_is_a_conflict(desk):
    for n in range(5):
        shelf = desk.post("/categories", json={"name": f"Shelf {n}"}).json()["id"]
        product = {"sku": f"P-{n}", "name": "x", "price": "1000", "categoryId": shelf}
        calls = [
            lambda: desk.delete(f"/categories/{shelf}"),  # noqa: B023  # all done in this turn
            lambda: desk.post("/categories", json={"name": "x", "parentId": shelf}),  # noqa: B023
            lambda: desk.post("/products", json=product),  # noqa: B023
        ]

        answers = at_once(3, lambda place: calls[place]())  # noqa: B023

        gone, *made = (answer.status_code for answer in answers)
        assert gone in (204, 409)
        assert set(made) <= ({201} if gone == 409 else {400, 409})


def test_parallel_guesses_of_a_password_are_counted_like_those_in_turn(server, shop):
    login = client_of(shop) and Membership.objects.get(store=shop).user.email

    def guess(place):
        body = {"login": login, "password": f"wrong password {place}"}
        return httpx.post(f"{server.url}/api/v1/auth/login", json=body, timeout=60)

    codes = [answer.status_code for answer in at_once(20, guess)]

    assert codes.count(401) == 5
    assert set(codes) <= {401, 429, 503}


def test_a_sign_in_becomes_one_other_and_no_more(server, shop):
    other = a_store()
    member = Membership.objects.filter(store=shop).first() or a_member(shop)
    Membership.objects.create(user=member.user, store=other, role="store_staff")
    headers = {"Authorization": client_of(shop, member).headers["Authorization"]}

    def switch(_):
        url = f"{server.url}/api/v1/auth/switch-store"
        return httpx.post(url, json={"storeId": str(other.pk)}, headers=headers, timeout=60)

    codes = [answer.status_code for answer in at_once(8, switch)]

    assert codes.count(200) == 1
    assert set(codes) <= {200, 401}
    assert SignIn.objects.filter(user=member.user, revoked_at=None).count() == 1


def test_parallel_invitations_of_one_person_make_one_account(server, parallel):
    owners = [client_of(a_store()) for _ in range(4)]
    tokens = [
        owner.post("/staff", {"email": "ali@example.com", "role": "store_staff"}).json()["token"]
        for owner in owners
    ]

    def join(place):
        body = {"token": tokens[place % 4], "fullName": "Ali", "password": "correct horse"}
        return httpx.post(f"{server.url}/api/v1/auth/invitations/accept", json=body, timeout=60)

    codes = [answer.status_code for answer in at_once(12, join)]

    assert set(codes) <= {200, 400, 409, 429, 503}
    assert codes.count(200) == Membership.objects.filter(user__email="ali@example.com").count()
    assert User.objects.filter(email="ali@example.com").count() == 1


# Discounts


def a_code(desk, **values):
    body = {"code": "SPRING", "type": "percentage", "value": "10"} | values
    return desk.post("/discounts/codes", json=body).json()


def test_fifty_parallel_uses_of_a_code_with_limit_seven(client, desk, shop):  # domain.md 21.2
    a_code(desk, usageLimit=7)
    product = a_product(shop, quantity=100)
    bodies = [an_order_body(shop, (product, 1), discountCode="SPRING") for _ in range(50)]

    answers = at_once(50, lambda place: client.post("/orders", json=bodies[place]))

    refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
    assert statuses_of(answers).count(201) == 7
    assert refused == {"usage_limit_reached"}
    assert DiscountCode.objects.get().used_count == Redemption.objects.count() == 7
    invariants_hold()


def test_one_customers_uses_are_counted_under_the_codes_lock(client, desk, shop):
    a_code(desk, usageLimitPerCustomer=2)
    product = a_product(shop, quantity=100)
    customer = {"name": "Sara", "primaryPhone": "+9647701234567"}
    body = an_order_body(shop, (product, 1), discountCode="SPRING", customer=customer)

    answers = at_once(20, lambda _: client.post("/orders", json=body))

    assert statuses_of(answers).count(201) == 2
    assert Redemption.objects.count() == 2
    invariants_hold()


def test_only_one_of_parallel_orders_is_a_customers_first(client, desk, shop):
    code = {"name": "New", "code": "FIRST", "type": "percentage", "value": "50"}
    desk.post("/discounts/codes", json=code | {"customerEligibility": "first_order"})
    body = an_order_body(shop, (a_product(shop, quantity=100), 1)) | {"discountCode": "FIRST"}

    answers = at_once(12, lambda _: client.post("/orders", json=body))

    assert statuses_of(answers)[0] == 201
    assert set(statuses_of(answers)[1:]) <= {400, 409}
    assert Redemption.objects.count() == Order.objects.count() == 1
    invariants_hold()


def test_sales_to_a_customer_who_is_merged_meanwhile_are_the_others(desk, shop):
    product = a_product(shop, quantity=1000, price=1000)
    desk.post("/cashier/sessions/open", json={"openingFloat": "0"})

    def sell_or_merge(source, target, number):
        if number == 4:
            path = f"/customers/{source.pk}/merge"
            return desk.post(path, json={"intoCustomerId": str(target.pk)})
        body = {
            "items": [{"sku": product.sku, "quantity": 1}],
            "payments": [{"method": "cash", "amount": "1000"}],
            "clientSaleId": str(uuid4()),
            "customerId": str(source.pk),
        }
        return desk.post("/cashier/sales", json=body)

    for _ in range(3):
        source, target = a_customer(shop), a_customer(shop)
        answers = at_once(12, lambda n, s=source, t=target: sell_or_merge(s, t, n))

        assert set(statuses_of(answers)) <= {200, 201, 400}
        assert not Order.objects.filter(customer=source).exists()
        target.refresh_from_db()
        assert target.orders_count == Order.objects.filter(customer=target).count()
    invariants_hold()


def test_uses_and_cancels_in_parallel_leave_the_count_exact(client, desk, shop):
    a_code(desk, usageLimit=5)
    product = a_product(shop, quantity=100)

    def use_and_cancel(_):
        body = an_order_body(shop, (product, 1), discountCode="SPRING")
        made = client.post("/orders", json=body)
        if made.status_code == 201:
            client.post(f"/orders/{made.json()['id']}/cancel", json={})

    at_once(20, use_and_cancel)

    assert DiscountCode.objects.get().used_count == Redemption.objects.count() == 0
    invariants_hold()


# The till


def open_till(desk, amount="0"):
    return desk.post("/cashier/sessions/open", json={"openingFloat": amount}).json()["id"]


def a_sale(product, quantity=1, **values):
    total = str(int(product.price) * quantity)
    return {
        "items": [{"sku": product.sku, "quantity": quantity}],
        "payments": [{"method": "cash", "amount": total}],
        "clientSaleId": str(uuid4()),
    } | values


def test_parallel_opens_give_one_session(desk):  # domain.md 21.3
    answers = at_once(10, lambda _: desk.post("/cashier/sessions/open", json={"openingFloat": "1"}))

    assert statuses_of(answers) == [201] + [409] * 9
    session = CashierSession.objects.get()
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {one["code"] for one in refused} == {"session_already_open"}
    assert {one["sessionId"] for one in refused} == {str(session.pk)}


def test_a_sale_sent_twenty_times_for_the_last_piece_is_one_sale(desk, shop):
    open_till(desk)
    product = a_product(shop, quantity=1)
    body = a_sale(product)

    answers = at_once(20, lambda _: desk.post("/cashier/sales", json=body))

    assert statuses_of(answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Sale.objects.count() == OrderPayment.objects.count() == 1
    invariants_hold()


def test_sales_refunds_and_pay_outs_never_take_a_drawer_below_nothing(desk, shop):
    session = open_till(desk, "5000")
    product = a_product(shop, quantity=100)
    sales = [desk.post("/cashier/sales", json=a_sale(product)).json()["id"] for _ in range(3)]

    def deed(place):
        if place % 3 == 0:
            return desk.post(f"/cashier/sales/{sales[place % 2]}/refund", json={"method": "cash"})
        movement = {"type": "pay_out", "amount": "7000", "reason": "supplier"}
        return desk.post(f"/cashier/sessions/{session}/movements", json=movement)

    answers = at_once(18, deed)

    report = desk.get(f"/cashier/sessions/{session}/report").json()
    taken = sum(7000 for a in answers if a.status_code == 201 and "type" in a.json())
    refunded = sum(10_000 for a in answers if a.status_code == 201 and "refunds" in a.json())
    assert set(statuses_of(answers)) <= {201, 400, 409}
    assert int(report["expectedCash"]) == 35_000 - taken - refunded
    assert int(report["expectedCash"]) >= 0
    invariants_hold()


def test_a_closed_drawer_counts_every_sale_that_was_answered(desk, shop):
    session = open_till(desk)
    product = a_product(shop, quantity=1000)

    def deed(place):
        if place == 7:
            return desk.post(f"/cashier/sessions/{session}/close", json={"countedCash": "0"})
        return desk.post("/cashier/sales", json=a_sale(product, sessionId=session))

    answers = at_once(16, deed)

    sold = sum(answer.status_code == 201 for answer in answers)
    closed = CashierSession.objects.get()
    assert closed.expected_cash == sold * product.price
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"session_closed"}
    invariants_hold()


def test_parallel_pins_stop_at_thirty(desk, shop):
    products = [a_product(shop) for _ in range(36)]
    for product in products[:20]:
        desk.post("/cashier/pinned", json={"productId": str(product.pk)})

    answers = at_once(
        16,
        lambda place: desk.post(
            "/cashier/pinned", json={"productId": str(products[20 + place].pk)}
        ),
    )

    assert statuses_of(answers) == [201] * 10 + [400] * 6
    positions = PinnedItem.objects.values_list("position", flat=True)
    assert sorted(positions) == list(range(30))


# Purchasing, packages, templates


def a_purchase(desk, shop, quantity=10):
    supplier = desk.post("/suppliers", json={"name": f"Supplier {uuid4()}"}).json()["id"]
    product = a_product(shop, quantity=0)
    line = {"productId": str(product.pk), "quantity": quantity, "unitCost": "500"}
    made = desk.post("/purchase-orders", json={"supplierId": supplier, "items": [line]}).json()
    return product, made


def test_the_fourth_of_parallel_attachments_is_refused(desk, shop):
    _, made = a_purchase(desk, shop)
    content = BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")

    answers = at_once(
        8,
        lambda _: desk.post(
            f"/purchase-orders/{made['id']}/attachments",
            files={"file": ("bill.png", content.getvalue())},
        ),
    )

    assert statuses_of(answers) == [201] * 3 + [400] * 5
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 400}
    assert refused == {"too_many_attachments"}
    assert Attachment.objects.count() == 3


def test_parallel_receipts_take_in_what_was_ordered_and_no_more(desk, shop):
    product, made = a_purchase(desk, shop, quantity=10)
    desk.post(f"/purchase-orders/{made['id']}/order")
    line = {"itemId": made["items"][0]["id"], "quantity": 3}

    answers = at_once(
        8, lambda _: desk.post(f"/purchase-orders/{made['id']}/receive", json={"items": [line]})
    )

    assert statuses_of(answers) == [200] * 3 + [400] * 5
    assert {a.json()["code"] for a in answers if a.status_code == 400} == {"over_receipt"}
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 9
    assert PurchaseReceipt.objects.count() == 3
    invariants_hold()


def test_parallel_receipts_of_several_orders_keep_the_average_cost(desk, shop):
    product, _ = a_purchase(desk, shop)
    supplier = desk.post("/suppliers", json={"name": "Basra"}).json()["id"]

    def receive(place):
        cost = 100 * (place + 1)
        line = {"productId": str(product.pk), "quantity": 10, "unitCost": str(cost)}
        body = {"supplierId": supplier, "items": [line], "receiveNow": True}
        return desk.post("/purchase-orders", json=body)

    answers = at_once(8, receive)

    assert statuses_of(answers) == [201] * 8
    cost = Product.objects.get(pk=product.pk).cost_price
    assert abs(cost - 450) < 0.01  # (100 + … + 800) / 8, whatever the order; four places a step
    invariants_hold()


def test_parallel_first_package_sizes_and_templates_give_one_default(desk):
    sizes = at_once(8, lambda place: desk.post("/package-sizes", json={"name": f"Box {place}"}))
    body = {"type": "Invoice", "body": "x"}
    made = at_once(
        8, lambda place: desk.post("/print-templates", json=body | {"name": f"T{place}"})
    )

    assert statuses_of(sizes) == statuses_of(made) == [201] * 8
    assert PackageSize.objects.filter(is_default=True).count() == 1
    assert PrintTemplate.objects.filter(is_default=True).count() == 1


def test_parallel_changes_of_the_default_leave_one(desk):
    ids = [
        desk.post("/package-sizes", json={"name": f"Box {place}"}).json()["id"]
        for place in range(6)
    ]

    answers = at_once(
        12, lambda place: desk.put(f"/package-sizes/{ids[place % 6]}", json={"isDefault": True})
    )

    assert statuses_of(answers) == [200] * 12
    assert PackageSize.objects.filter(is_default=True).count() == 1
    invariants_hold()


# Once is once


def test_cancelling_returning_and_receiving_many_times_moves_stock_once(desk, shop):  # 21.6
    product = a_product(shop, quantity=20)

    def placed():
        return desk.post("/orders", json=an_order_body(shop, (product, 2))).json()

    cancelled, returned = placed(), placed()
    answers = at_once(10, lambda _: desk.post(f"/orders/{cancelled['id']}/cancel", json={}))
    for to in ("confirmed", "shipped", "delivered"):
        desk.post(f"/orders/{returned['id']}/transition", json={"to": to})
    asked = at_once(6, lambda _: desk.post("/return-requests", json={"orderId": returned["id"]}))
    request = next(answer.json() for answer in asked if answer.status_code == 201)
    path = f"/return-requests/{request['id']}"
    desk.post(f"{path}/approve")
    received = at_once(10, lambda _: desk.post(f"{path}/receive", json={}))
    completed = at_once(10, lambda _: desk.post(f"{path}/complete"))

    assert statuses_of(answers) == statuses_of(received) == statuses_of(completed) == [200] * 10
    assert statuses_of(asked) == [201] + [409] * 5
    item = InventoryItem.objects.get(product=product)
    assert (item.quantity_on_hand, item.quantity_reserved) == (20, 0)
    order = desk.get(f"/orders/{returned['id']}").json()
    assert (order["status"], order["amountDue"]) == ("returned", "-20000")
    invariants_hold()


def test_parallel_refunds_give_back_no_more_than_was_paid(desk, shop):
    product = a_product(shop)
    order = desk.post(
        "/orders", json=an_order_body(shop, (product, 1), payment_method="prepaid")
    ).json()
    refund = {"amount": "4000", "method": "cash", "reason": "broken"}

    answers = at_once(8, lambda _: desk.post(f"/orders/{order['id']}/refunds", json=refund))

    assert order["amountPaid"] == "15000"
    assert statuses_of(answers) == [201] * 3 + [400] * 5
    assert {a.json()["code"] for a in answers if a.status_code == 400} == {"refund_exceeds_paid"}
    invariants_hold()


def test_parallel_payments_take_no_more_than_is_due(desk, shop):
    product = a_product(shop)
    order = desk.post("/orders", json=an_order_body(shop, (product, 1))).json()
    payment = {"amount": "4000", "method": "cash"}

    answers = at_once(8, lambda _: desk.post(f"/orders/{order['id']}/payments", json=payment))

    assert statuses_of(answers) == [201] * 3 + [400] * 5
    assert desk.get(f"/orders/{order['id']}").json()["amountDue"] == "3000"
    invariants_hold()


def test_nothing_acknowledged_is_lost_when_a_worker_is_killed(client, server, shop):
    product = a_product(shop, quantity=10_000)
    acknowledged, killed = [], []
    stop = time.monotonic() + 4

    def load(place):
        number = 0
        while time.monotonic() < stop:
            number += 1
            body = an_order_body(shop, (product, 1), externalRef=f"{place}-{number}")
            try:
                answer = client.post("/orders", json=body)
            except httpx.HTTPError:
                continue
            if answer.status_code == 201:
                acknowledged.append(answer.json()["externalRef"])
        return number

    def kill(_):
        while time.monotonic() < stop - 1:
            time.sleep(0.7)
            for pid in server.worker_pids()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    at_once(5, lambda place: kill(place) if place == 4 else load(place))

    server.wait()
    stored = set(Order.objects.values_list("external_ref", flat=True))
    assert len(killed) >= 2
    assert len(acknowledged) > 20
    assert set(acknowledged) <= stored
    reserved = InventoryItem.objects.get(product=product).quantity_reserved
    assert reserved == Order.objects.count()
    invariants_hold()


def test_twenty_parallel_upserts_of_one_sku_make_one_product(client, shop):
    body = {"sku": "NEW-1", "name": "Shirt", "price": "1000"}

    answers = at_once(20, lambda _: client.post("/catalog/products", json=body))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_twenty_parallel_first_settings_make_one(server, parallel):
    registration = {
        "email": "new@example.com",
        "password": "correct horse battery",
        "fullName": "New",
        "storeName": "New",
    }
    first = httpx.post(f"{server.url}/api/v1/auth/register", json=registration).json()
    headers = {"Authorization": f"Bearer {first['accessToken']}"}
    body = {
        "currencyCode": "IQD",
        "timezone": "Asia/Baghdad",
        "industry": "general",
        "countryCode": "IQ",
    }

    def send(_):
        return httpx.post(f"{server.url}/api/v1/store/settings", json=body, headers=headers)

    answers = at_once(20, send)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"settings_already_initialized"}


def test_a_revoked_key_is_forgotten_by_every_process(server, shop):
    key = key_client_of(shop).headers["X_API_Key"]
    url = f"{server.url}/api/v1/store/integrations/whoami"

    def ask(_):
        return httpx.get(url, headers={"X-API-Key": key}).status_code

    assert set(at_once(30, ask)) == {200}  # both processes know the key now
    time.sleep(0.2)
    revoke_key(ApiKey.objects.get(store=shop), None, reason="lost")
    time.sleep(1)  # far less than the five seconds a process may remember

    assert set(at_once(30, ask)) == {401}


def a_delivered_order(shop):
    """An order that Nawa carried and delivered; its cash is with the courier."""
    company = DeliveryCompany.objects.get(slug="nawa")
    account = {"username": "a", "password": "b", "account": "nawa:a", "agreed_fee": None}
    owner = actor_of_store(shop)
    if not CompanyLink.objects.filter(store=shop).exists():
        linking.link(owner, company, **account)
    api = client_of(shop)
    order = api.post("/orders", an_order_body(shop, (a_product(shop), 1))).json()["id"]
    api.post(f"/orders/{order}/transition", {"to": "confirmed"})
    dispatching.dispatch(owner, UUID(order), company)
    for to in ("shipped", "delivered"):
        api.post(f"/orders/{order}/transition", {"to": to})
    return order


def test_two_settlements_with_one_order_settle_it_once(desk, shop):
    orders = [a_delivered_order(shop) for _ in range(2)]
    settled = [
        desk.post(
            "/settlements",
            json={
                "deliveryCompanySlug": "nawa",
                "reference": f"ST-{place}",
                "date": "2026-11-24",
                "declaredTotal": "30000",
                "lines": [{"orderId": order, "collected": "15000"} for order in chosen],
            },
        ).json()["id"]
        for place, chosen in enumerate([orders, orders[::-1]] * 6)
    ]

    answers = at_once(12, lambda place: desk.post(f"/settlements/{settled[place]}/accept"))

    assert statuses_of(answers) == [200] + [409] * 11
    assert {one.json()["code"] for one in answers if one.status_code == 409} == {
        "settlement_has_differences"
    }
    assert CashEntry.objects.filter(kind="remitted").count() == 2
    assert sum(entry.amount for entry in CashEntry.objects.all()) == 0
    invariants_hold()


def test_twenty_dispatches_of_one_order_are_one(desk, shop):
    a_delivered_order(shop)
    order = client_of(shop).post("/orders", an_order_body(shop, (a_product(shop), 1))).json()["id"]
    client_of(shop).post(f"/orders/{order}/transition", {"to": "confirmed"})
    body = {"orderId": order, "deliveryCompanySlug": "nawa"}

    answers = at_once(20, lambda _: desk.post("/dispatches", json=body))

    assert statuses_of(answers) == [201] + [409] * 19
    assert Dispatch.objects.filter(order=order).count() == 1
    invariants_hold()


def test_an_event_that_arrives_twenty_times_at_once_is_stored_once(server, shop):
    secret = "nawa_wh_test_0123456789abcdef"
    body = b'{"id":"evt_1","type":"credits.low","created_at":"2026-01-01T00:00:00Z","data":{}}'
    running = RunningServer(
        workers=2, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN, Nawa__WebhookSecret=secret
    )
    stamp = str(int(time.time()))
    headers = {
        "X-NAWA-Timestamp": stamp,
        "X-NAWA-Signature": sign(secret, stamp, body),
        "Content-Type": "application/json",
    }

    try:
        answers = at_once(
            20,
            lambda _: httpx.post(
                f"{running.url}/api/v1/integrations/nawa/webhooks", content=body, headers=headers
            ),
        )
    finally:
        running.stop()

    assert {one.status_code for one in answers} == {200}
    assert sum("duplicate" not in one.json() for one in answers) == 1
    assert InboundEvent.objects.count() == 1
    call_command("doctor", stdout=StringIO())
