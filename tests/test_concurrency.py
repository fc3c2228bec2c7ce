"""What locks and constraints promise, over HTTP against two worker processes
(domain.md, section 21; reliability.md, section 9)."""

import os
import signal
import time

import httpx
import pytest
from django.db.models import Sum

from integrations.otp import services as otp
from integrations.otp.models import OtpChallenge
from store_modules.catalog.models import InventoryItem
from store_modules.orders.models import Order, OrderItem
from tests.clients import actor_of_store, key_client_of
from tests.factories import a_product, a_store, an_area, an_order_body
from tests.servers import RunningServer, at_once


@pytest.fixture(scope="module")
def server():
    running = RunningServer(workers=2)
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


def invariants_hold():
    """Reserved is what open lines hold; on hand is what the movements say."""
    for item in InventoryItem.objects.annotate(moved=Sum("movements__delta")):
        reserved = OrderItem.objects.filter(inventory_item=item).aggregate(
            n=Sum("quantity_reserved")
        )["n"]
        assert item.quantity_reserved == (reserved or 0)
        assert item.quantity_on_hand == (item.moved or 0)


def test_twenty_parallel_orders_for_the_last_five_units(client, shop):
    product = a_product(shop, quantity=5)

    answers = at_once(20, lambda _: client.post("/orders", json=an_order_body(shop, (product, 1))))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * 5 + [409] * 15
    refused = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert set(refused) == {"insufficient_stock"}
    assert InventoryItem.objects.get(product=product).quantity_reserved == 5
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


def test_parallel_upserts_of_one_sku_make_one_product(client, shop):
    answers = at_once(
        12,
        lambda place: client.post(
            "/catalog/products", json={"sku": "NEW-1", "name": f"Name {place}", "price": "1000"}
        ),
    )

    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert client.get("/catalog/products?sku=NEW-1").json()["totalCount"] == 1


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
