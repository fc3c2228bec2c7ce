"""The kernel's machinery: outbox, audit, ports, operators' desk."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from store_modules.catalog.models import InventoryItem
from store_modules.stores.models import User
from storeplatform.kernel import idempotency, outbox
from storeplatform.kernel.models import AuditEvent, IdempotencyKey, OutboxEvent
from tests.clients import client_of
from tests.factories import a_member, a_product, a_store, an_order_body


@pytest.fixture
def handled():
    """What handlers of two test events saw; the second always fails."""
    seen = []
    outbox.on("test.good")(seen.append)

    def fail(event):
        raise RuntimeError("no")

    outbox.on("test.bad")(fail)
    yield seen
    outbox._handlers.pop("test.good")
    outbox._handlers.pop("test.bad")


def test_an_event_is_handled_once(store, handled):
    outbox.emit("test.good", store_id=store.pk, subject_id=store.pk, data={"n": 1})

    outbox.drain()
    outbox.drain()

    assert [event.data for event in handled] == [{"n": 1}]
    assert OutboxEvent.objects.get(type="test.good").done_at is not None


def test_a_failing_event_waits_longer_each_time_and_stops_in_the_end(store, handled):
    outbox.emit("test.bad", store_id=store.pk, subject_id=store.pk)
    pauses = []

    for _ in range(10):
        OutboxEvent.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        outbox.drain()
        event = OutboxEvent.objects.get(type="test.bad")
        pauses.append((event.due_at - timezone.now()).total_seconds())

    assert event.attempts == outbox.MAX_ATTEMPTS
    assert event.last_error == "no"
    assert event.done_at is None
    assert pauses[:4] == sorted(pauses[:4])


def test_an_event_of_a_dead_worker_comes_back(store, handled):
    outbox.emit("test.good", store_id=store.pk, subject_id=store.pk)
    outbox.claim()
    assert outbox.drain() == 0

    OutboxEvent.objects.update(due_at=timezone.now() - timedelta(seconds=1))

    assert outbox.drain() == 1
    assert len(handled) == 1


def test_an_order_tells_of_itself_in_its_transaction(key, store):
    product = a_product(store)

    order = key.post("/orders", an_order_body(store, (product, 1))).json()
    key.post("/orders", an_order_body(store, (product, 10_000)))

    event = OutboxEvent.objects.get(type="order.created")
    assert event.data["number"] == order["number"]
    assert event.sequence == 1


def test_the_audit_log_cannot_be_changed(api, store):
    api.post("/api-keys", {"name": "Website", "scopes": ["orders:read"]})
    event = AuditEvent.objects.get(action="api_key.created")

    for change in (
        lambda: AuditEvent.objects.filter(pk=event.pk).update(action="x"),
        lambda: event.delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    listed = api.get("/audit-log").json()["items"]
    assert [row["action"] for row in listed] == ["api_key.created"]
    assert client_of(store, a_member(store)).get("/audit-log").status_code == 403
    assert client_of(a_store()).get("/audit-log").json()["items"] == []


def test_old_answers_are_forgotten(api):
    body = {"name": "Sara", "primaryPhone": "07701234567"}
    api.post("/customers", body, Idempotency_Key="k")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=8))

    again = api.post("/customers", body, Idempotency_Key="k")

    assert again.status_code == 409
    assert again.json()["code"] == "duplicate_phone"
    assert idempotency.purge() == 1


def test_answers_are_encrypted_at_rest(api):
    api.post("/customers", {"name": "Sara", "primaryPhone": "07701234567"}, Idempotency_Key="k")

    assert b"Sara" not in bytes(IdempotencyKey.objects.get().body)


def test_a_bad_idempotency_key_is_refused(api):
    for key in ("", "a" * 256, "a,b", "ü"):
        answer = api.post("/customers", {"name": "x"}, Idempotency_Key=key)
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_idempotency_key"


def test_the_doctor_finds_drift(store, capsys):
    product = a_product(store, quantity=5)
    call_command("doctor")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalog_inventoryitem SET quantity_on_hand = 9")

    with pytest.raises(CommandError, match="1 rows"):
        call_command("doctor")

    item = InventoryItem.objects.get(product=product)
    assert f"S3 on hand is the sum of its movements: 1 broken: {item.pk}" in capsys.readouterr().out


def test_operators_see_every_desk_and_secrets_nowhere(key, store):
    product = a_product(store)
    order = key.post("/orders", an_order_body(store, (product, 1))).json()
    User.objects.create_superuser("op@example.com", "operator password", full_name="Operator")
    http = Client()
    login = {"username": "op@example.com", "password": "operator password", "next": "/admin/"}
    assert http.post("/admin/login/", login).status_code == 302

    for desk in (
        "stores/store", "stores/user", "stores/membership", "stores/signin", "catalog/product",
        "catalog/inventoryitem", "catalog/stockmovement", "customers/customer", "orders/order",
        "api_keys/apikey", "geography/area", "geography/province", "kernel/auditevent",
        "kernel/outboxevent",
    ):  # fmt: skip
        page = http.get(f"/admin/{desk}/")
        assert page.status_code == 200, desk
        assert http.get(f"/admin/{desk}/?q=x").status_code == 200, desk
    detail = http.get(f"/admin/orders/order/{order['id']}/change/")
    assert product.sku.encode() in detail.content
    assert b"frame-ancestors" in detail["Content-Security-Policy"].encode()
    row = store._meta.apps.get_model("api_keys.ApiKey").objects.get()
    page = http.get(f"/admin/api_keys/apikey/{row.pk}/change/")
    assert page.status_code == 200
    assert row.secret_hash.encode() not in page.content


def test_an_operator_suspends_a_store_and_it_is_audited(store):
    User.objects.create_superuser("op@example.com", "operator password", full_name="Operator")
    http = Client()
    http.post("/admin/login/", {"username": "op@example.com", "password": "operator password"})

    saved = http.post(
        f"/admin/stores/store/{store.pk}/change/", {"name": store.name, "status": "suspended"}
    )

    assert saved.status_code == 302
    store.refresh_from_db()
    assert store.status == "suspended"
    assert AuditEvent.objects.filter(action="admin.store_changed", store_id=store.pk).exists()
