"""The kernel's machinery: outbox, audit, ports, operators' desk."""

import re
from datetime import timedelta
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import module_has_submodule

from store_modules.catalog.models import InventoryItem
from store_modules.customers.views import CustomerViewSet
from store_modules.stores.models import User
from storeplatform.kernel import doctoring, idempotency, outbox
from storeplatform.kernel.models import AuditEvent, IdempotencyKey, OutboxEvent
from tests.clients import client_of
from tests.factories import a_member, a_product, a_store, an_order_body
from tests.test_tenancy import MAKE


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
    assert len(outbox.claim()) == 1
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


def test_a_repeat_that_its_own_effect_stands_in_the_way_of_is_answered(api, monkeypatch):
    """The same request commits between the lookup and the effect: a repeat is no duplicate."""
    body = {"name": "Sara", "primaryPhone": "07701234567"}
    first = []
    as_ever = CustomerViewSet.read_body

    def meanwhile(view):
        if not first:
            first.append(None)  # the other request's own call
            first[0] = api.post("/customers", body, Idempotency_Key="k")
        return as_ever(view)

    monkeypatch.setattr(CustomerViewSet, "read_body", meanwhile)

    repeat = api.post("/customers", body, Idempotency_Key="k")

    assert first[0].status_code == 201
    assert repeat.status_code == 201, repeat.content
    assert repeat["Idempotent-Replayed"] == "true"
    assert repeat.json()["id"] == first[0].json()["id"]


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


def test_an_areas_checks_read_its_own_tables_and_those_below():
    areas = [config.label for config in apps.get_app_configs()]  # lower ones first
    seen = set()
    for config in apps.get_app_configs():
        if not module_has_submodule(config.module, "invariants"):
            continue
        for name, statement in import_module(f"{config.name}.invariants").CHECKS.items():
            tables = re.findall(r"(?:FROM|JOIN) ([a-z]+)_[a-z]", statement)
            assert max(map(areas.index, tables)) <= areas.index(config.label), name
            seen.add(name)

    assert set(doctoring.declared()) == seen
    assert {name[:2] for name in seen} >= {"S3", "O1", "C1", "C2", "T1", "B1", "P1", "R6"}


def test_two_areas_cannot_check_under_one_name(monkeypatch):
    from store_modules.catalog import invariants as low
    from store_modules.delivery import invariants as high

    monkeypatch.setattr(high, "CHECKS", high.CHECKS | low.CHECKS)

    with pytest.raises(ImproperlyConfigured, match=r"store_modules\.delivery declares 'S1/S2"):
        doctoring.declared()


DRIFT = {
    "D1 uses of codes": "UPDATE discounts_discountcode SET used_count = 3",
    "D3 orders that were never sent": "UPDATE orders_order SET status = 'draft'",
    "D4 discounts leave nothing": "UPDATE orders_order SET delivery_discount = delivery_fee + 1",
    "O3 units of a line": "UPDATE orders_orderitem SET quantity_credited = quantity + 1",
    "O6 cash of a COD order": "UPDATE orders_order SET remittance_status = 'remitted'",
    "T1 a drawer": "UPDATE cashier_drawerentry SET amount = amount + 1",
    "T2 a sale's payments": "DELETE FROM cashier_drawerentry WHERE kind = 'sale'",
    "T3 at most thirty pins": "UPDATE cashier_pinneditem SET position = 5",
    "H1 one package size": "UPDATE shipping_packagesize SET is_default = false",
    "H2 one template": "UPDATE printing_printtemplate SET is_default = false",
    "B1 purchase orders": "UPDATE purchasing_purchaseorder SET total_amount = 1",
    "B2 what arrived": "DELETE FROM purchasing_purchasereceipt",
}


def a_busy_store(api, store):
    """One of everything that the doctor looks at."""
    product = a_product(store)
    api.post("/discounts/codes", {"code": "TEN", "type": "percentage", "value": "10"})
    api.post("/orders", an_order_body(store, (product, 1), discountCode="TEN"))
    session = api.post("/cashier/sessions/open", {"openingFloat": "0"}).json()["id"]
    payments = [{"method": "cash", "amount": "10000"}]
    sale = {"items": [{"sku": product.sku, "quantity": 1}], "payments": payments}
    api.post("/cashier/sales", sale | {"clientSaleId": str(uuid4())})
    api.post(f"/cashier/sessions/{session}/close", {"countedCash": "10000"})
    api.post("/cashier/pinned", {"productId": str(product.pk)})
    api.post("/package-sizes", {"name": "Box"})
    api.post("/print-templates", {"name": "A", "type": "Invoice", "body": "x"})
    supplier = api.post("/suppliers", {"name": "Basra"}).json()["id"]
    line = {"productId": str(product.pk), "quantity": 2, "unitCost": "500"}
    body = {"supplierId": supplier, "items": [line], "receiveNow": True}
    assert api.post("/purchase-orders", body).status_code == 201


@pytest.mark.parametrize(("check", "fault"), DRIFT.items())
def test_the_doctor_finds_every_kind_of_fault(api, store, capsys, check, fault):
    a_busy_store(api, store)
    call_command("doctor")
    with connection.cursor() as cursor:
        cursor.execute(fault)
    capsys.readouterr()

    with pytest.raises(CommandError):
        call_command("doctor")

    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(check) and "broken" in line for line in lines), lines


@pytest.fixture
def desk(db):
    """An operator's browser."""
    User.objects.create_superuser("op@example.com", "operator password", full_name="Operator")
    http = Client()
    http.post("/admin/login/", {"username": "op@example.com", "password": "operator password"})
    return http


def test_operators_see_orders_with_lines_and_secrets_nowhere(desk, key, store):
    product = a_product(store)
    order = key.post("/orders", an_order_body(store, (product, 1))).json()

    detail = desk.get(f"/admin/orders/order/{order['id']}/change/")
    row = store._meta.apps.get_model("api_keys.ApiKey").objects.get()
    page = desk.get(f"/admin/api_keys/apikey/{row.pk}/change/")

    assert product.sku.encode() in detail.content
    assert b"frame-ancestors" in detail["Content-Security-Policy"].encode()
    assert page.status_code == 200
    assert row.secret_hash.encode() not in page.content


OURS = ("storeplatform", "store_modules", "integrations")
DESKS = sorted(
    (model for model in admin.site._registry if model.__module__.startswith(OURS)),
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", DESKS)
def test_every_desk_opens_searches_and_offers_no_endless_choice(desk, model, store):
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}"
    if model in MAKE:
        MAKE[model](store)
    row = model.objects.order_by("-pk").first()

    pages = [desk.get(f"{path}/"), desk.get(f"{path}/?q=x%27%00%25")]
    if row is not None:
        pages.append(desk.get(f"{path}/{quote(str(row.pk))}/change/"))

    for page in pages:
        assert page.status_code == 200
        for select in re.findall(r"<select.*?</select>", page.content.decode(), re.DOTALL):
            assert select.count("<option") < 300


def test_every_row_that_operators_would_look_up_has_a_desk():
    shown = {*admin.site._registry}
    shown |= {inline.model for desk in admin.site._registry.values() for inline in desk.inlines}
    kept_out = {  # settings, secrets and figures that are worked out from other rows
        "IdempotencyKey", "Counter", "Invitation", "PasswordReset", "LoginFailure",
        "StoreSettings", "Category", "CustomerAddress", "DayFigure", "ProductFigure",
        "CustomerFigure",
        "OtpChallenge", "AgentSettings", "Grant", "AccessToken", "RefreshToken", "IDToken",
    }  # fmt: skip

    missing = {
        model.__name__
        for model in apps.get_models()
        if model.__module__.startswith(OURS) and model not in shown
    }

    assert missing <= kept_out


def test_an_operator_renames_a_store_and_it_is_audited(store):
    User.objects.create_superuser("op@example.com", "operator password", full_name="Operator")
    http = Client()
    http.post("/admin/login/", {"username": "op@example.com", "password": "operator password"})

    saved = http.post(
        f"/admin/stores/store/{store.pk}/change/", {"name": "Renamed", "status": "suspended"}
    )

    assert saved.status_code == 302
    store.refresh_from_db()
    assert (store.name, store.status) == ("Renamed", "active")  # suspending is a deed of its own
    assert AuditEvent.objects.filter(action="admin.store_changed", store_id=store.pk).exists()
