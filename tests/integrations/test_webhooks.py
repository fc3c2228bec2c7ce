"""Outgoing webhooks as receivers see them: platform.md, section 10."""

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook, WebhookVerificationError

from integrations.api_keys.services import tell_expiring
from integrations.webhooks import schedule, sending, services, signing
from integrations.webhooks.catalogue import EVENT_TYPES
from integrations.webhooks.disabling import disable
from integrations.webhooks.messages import MAX_BODY, body
from integrations.webhooks.models import Attempt, Delivery, Endpoint
from storeplatform.kernel import outbox
from storeplatform.kernel.models import AuditEvent, OutboxEvent
from tests.clients import client_of, key_client_of, visitor_client_of
from tests.factories import a_channel, a_member, a_product, a_store, an_order_body
from tests.fakes import Receiver
from tests.servers import at_once
from tests.worker import work

WEBHOOKS = "/api/v1/store/webhooks"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def receiver():
    started = Receiver()
    yield started
    started.stop()


@pytest.fixture
def hook(api, receiver):
    return a_hook(api, receiver)


def a_hook(api, receiver, **values):
    made = api.post(WEBHOOKS, {"url": receiver.url, "events": ["*"], **values})
    assert made.status_code == 201, made.content
    return made.json()


def make_due():
    Delivery.objects.filter(status="pending").update(due_at=timezone.now() - timedelta(seconds=1))


def test_the_vector_of_the_specification():
    secret = signing.secret_bytes("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    text = b'{"type":"ping","timestamp":"2026-01-01T00:00:00Z","data":{}}'

    made = signing.sign(secret, "msg_01JGFH5R8000000000000000AB", 1767225600, text)

    assert made == "v1,iBlbkkkme1BVfpEfjVMgJVDLoeVG8ouFXX8Js0eargE="


def test_a_receiver_verifies_what_it_gets_with_the_public_library(api, hook, receiver, store):
    product = api.post("/products", {"sku": "TEA", "name": "Tea", "price": "1"}).json()
    work()

    (got,) = receiver.received
    message = Webhook(hook["secret"]).verify(got["body"], got["headers"])
    assert message["type"] == "product.created"
    assert message["data"] == {"id": product["id"], "sku": "TEA", "name": "Tea"}
    assert message["storeId"] == str(store.pk)
    assert message["apiVersion"] == "2026-11-01"
    assert message["id"] == got["headers"]["webhook-id"]
    assert message["sequence"] == 1
    assert got["headers"]["webhook-sequence"] == "1"
    assert "webhook-previous-id" not in got["headers"]
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(got["body"] + b" ", got["headers"])


def test_an_event_is_sent_once_however_often_it_is_handled(api, hook, receiver, store):
    a_product(store)
    OutboxEvent.objects.update(done_at=None, attempts=0)
    work()
    services.fan_out(list(OutboxEvent.objects.all()))
    work()

    assert len(receiver.ids) == len(set(receiver.ids)) == OutboxEvent.objects.count()


def test_the_secret_is_shown_once_and_nowhere_else(api, hook, receiver, caplog, capsys):
    api.post(f"{WEBHOOKS}/{hook['id']}/test")
    pages = [api.get(f"{WEBHOOKS}/{hook['id']}"), api.get(WEBHOOKS), api.get("/audit-log")]

    assert hook["secret"].startswith("whsec_")
    secret = signing.secret_bytes(hook["secret"])
    row = Endpoint.objects.get()
    assert secret not in bytes(row.secret)
    for page in pages:
        assert "whsec_" not in page.content.decode()
    assert hook["secret"] not in caplog.text + "".join(capsys.readouterr())
    again = {"url": receiver.url, "events": ["*"]}
    api.post(WEBHOOKS, again, Idempotency_Key="one")
    repeated = api.post(WEBHOOKS, again, Idempotency_Key="one")
    assert repeated.status_code == 409
    assert repeated.json()["code"] == "secret_already_issued"


def test_both_secrets_sign_during_the_overlap_and_one_after_it(api, hook, receiver):
    rotated = api.post(f"{WEBHOOKS}/{hook['id']}/rotate-secret", {"overlapHours": 2}).json()
    old, new = Webhook(hook["secret"]), Webhook(rotated["secret"])

    api.post(f"{WEBHOOKS}/{hook['id']}/test")
    with time_machine.travel(timezone.now() + timedelta(hours=3), tick=False):
        services.ping(Endpoint.objects.get())
        late = receiver.received[1]
        new.verify(late["body"], late["headers"])
        with pytest.raises(WebhookVerificationError):
            old.verify(late["body"], late["headers"])

    during = receiver.received[0]
    assert len(during["headers"]["webhook-signature"].split()) == 2
    old.verify(during["body"], during["headers"])
    new.verify(during["body"], during["headers"])


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(api, hook, receiver):
    new = api.post(f"{WEBHOOKS}/{hook['id']}/rotate-secret", {"overlapHours": 0}).json()
    api.post(f"{WEBHOOKS}/{hook['id']}/test")

    (got,) = receiver.received
    assert Webhook(new["secret"]).verify(got["body"], got["headers"])
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(got["body"], got["headers"])


@pytest.mark.parametrize(
    ("mode", "code", "error"),
    [("ok", 200, ""), ("fail", 500, "refused"), ("redirect", 302, "redirect")],
)
def test_a_test_sends_a_ping_now_and_shows_the_attempt(api, hook, receiver, mode, code, error):
    receiver.mode = mode

    answer = api.post(f"{WEBHOOKS}/{hook['id']}/test")

    assert answer.status_code == 200, answer.content
    (attempt,) = answer.json()["attempts"]
    assert (attempt["statusCode"], attempt["error"]) == (code, error)
    assert attempt["response"] == f"noted: {mode}"
    assert answer.json()["event"] == "ping"
    assert answer.json()["nextAttemptAt"] is None
    assert len(receiver.received) == 1
    work()
    assert len(receiver.received) == 1


@pytest.mark.usefixtures("parallel")
def test_a_store_tests_one_webhook_at_a_time(monkeypatch):
    """Each test holds a request for as long as its receiver lets it wait."""
    monkeypatch.setattr(sending, "SECONDS", 2)
    store, receiver = a_store(), Receiver()
    receiver.mode = "hang"
    api = client_of(store)
    path = f"{WEBHOOKS}/{a_hook(api, receiver)['id']}/test"

    def in_a_thread(_):
        try:
            return api.post(path)
        finally:
            connection.close()

    answers = at_once(6, in_a_thread)
    receiver.stop()
    busy = [one for one in answers if one.status_code == 429]

    assert sorted(one.status_code for one in answers) == [200] + [429] * 5
    assert {one.json()["code"] for one in busy} == {"rate_limited"}
    assert receiver.most_at_once == 1
    assert api.post(path).status_code == 200  # it has failed, and its turn is over


def test_a_delivery_is_tried_again_along_the_schedule_and_given_up(api, hook, receiver, store):
    receiver.mode = "fail"
    a_product(store, quantity=0)
    work()
    delivery = Delivery.objects.get(event="product.created")
    waits = []
    for _ in range(12):
        delivery.refresh_from_db()
        if delivery.status != "pending":
            break
        waits.append((delivery.due_at - timezone.now()).total_seconds())
        make_due()
        sending.send_all()

    assert delivery.status == "failed"
    planned = [pause.total_seconds() for pause in schedule.PAUSES]
    assert len(waits) == len(planned) == 9
    for wait, plan in zip(waits, planned, strict=True):
        assert 0.8 * plan - 5 <= wait <= 1.2 * plan
    log = api.get(f"{WEBHOOKS}/{hook['id']}/deliveries/{delivery.pk}").json()
    assert [attempt["number"] for attempt in log["attempts"]] == list(range(1, 11))
    assert log["attempts"][0]["statusCode"] == 500
    ids = {one["headers"]["webhook-id"] for one in receiver.received}
    assert len(ids) == 1
    assert len({one["body"] for one in receiver.received}) == 1


def test_retry_after_is_honoured_up_to_a_day(api, hook, receiver, store):
    receiver.mode = "busy"
    a_product(store, quantity=0)
    work()

    wait = (Delivery.objects.get().due_at - timezone.now()).total_seconds()

    assert 7100 < wait < 7300
    assert schedule.pause_after(1, "999999", NOW) == timedelta(hours=24)
    assert schedule.wished("Mon, 01 Jun 2026 13:00:00 GMT", NOW) == timedelta(hours=1)
    assert schedule.wished("nonsense", NOW) == timedelta()


@pytest.mark.parametrize(
    "wish",
    [
        "-5", "1.5", "", ",", "٣", "9" * 5000, "Mon, 01 Jan 0001 00:00:00 +0900",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 99999999999999999999:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
    ],
)  # fmt: skip
def test_no_wish_of_a_receiver_breaks_the_schedule(wish):
    assert timedelta(seconds=4) <= schedule.pause_after(1, wish, NOW) <= timedelta(hours=24)


def test_a_delivery_that_is_forgotten_while_it_is_sent_stops_no_other(api, hook, receiver, store):
    for _ in range(2):
        a_product(store, quantity=0)
    outbox.drain()
    parcels = sending.claim(10)
    results = [(parcel, sending.attempt(parcel)) for parcel in parcels]
    Delivery.objects.filter(pk=parcels[0].delivery.pk).delete()

    sending.record(results)

    assert Delivery.objects.get().status == "delivered"


def test_a_receiver_that_is_gone_is_switched_off_at_once(api, hook, receiver, store):
    receiver.mode = "gone"
    a_product(store, quantity=0)
    work()
    shown = api.get(f"{WEBHOOKS}/{hook['id']}").json()
    a_product(store, quantity=0)
    work()

    assert shown["isActive"] is False
    assert shown["disabledAt"]
    assert len(receiver.received) == 1
    event = OutboxEvent.objects.get(type="webhook.disabled")
    assert event.data["id"] == hook["id"]
    assert AuditEvent.objects.filter(action="webhook.disabled", store_id=store.pk).exists()


def test_five_days_of_nothing_but_failures_switch_off_and_one_success_forgives(
    api, hook, receiver, store
):
    receiver.mode = "fail"
    a_product(store, quantity=0)
    work()
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=4, hours=23))
    make_due()
    work()
    assert api.get(f"{WEBHOOKS}/{hook['id']}").json()["isActive"] is True

    receiver.mode = "ok"
    make_due()
    work()
    assert api.get(f"{WEBHOOKS}/{hook['id']}").json()["failingSince"] is None

    receiver.mode = "fail"
    a_product(store, quantity=0)
    work()
    Endpoint.objects.update(failing_since=timezone.now() - timedelta(days=5, hours=1))
    make_due()
    work()
    assert api.get(f"{WEBHOOKS}/{hook['id']}").json()["isActive"] is False


def test_owners_are_told_by_mail(api, hook, receiver, store, settings, mailoutbox):
    settings.EMAIL_CONFIGURED = True
    receiver.mode = "gone"
    a_product(store, quantity=0)
    work()

    (mail,) = mailoutbox
    assert receiver.url in mail.body


def test_a_replay_has_the_same_id_and_bytes_and_a_new_signature(api, hook, receiver, store):
    a_product(store, quantity=0)
    with time_machine.travel(timezone.now() - timedelta(hours=1), tick=False):
        OutboxEvent.objects.update(due_at=timezone.now() - timedelta(hours=1))
        outbox.drain()
        sending.send_all()
    delivery = Delivery.objects.get()

    answer = api.post(f"{WEBHOOKS}/{hook['id']}/deliveries/{delivery.pk}/retry")
    work()

    assert answer.status_code == 202
    first, second = receiver.received
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["body"] == second["body"]
    assert first["headers"]["webhook-timestamp"] != second["headers"]["webhook-timestamp"]
    assert first["headers"]["webhook-signature"] != second["headers"]["webhook-signature"]
    Webhook(hook["secret"]).verify(second["body"], second["headers"])


def test_what_is_being_sent_is_not_sent_beside_itself(api, hook, receiver, store):
    a_product(store, quantity=0)
    outbox.drain()
    (parcel,) = sending.claim(10)
    path = f"{WEBHOOKS}/{hook['id']}/deliveries/{parcel.delivery.pk}/retry"

    answers = {api.post(path).status_code for _ in range(3)}
    beside = sending.send_all()
    sending.record([(parcel, sending.attempt(parcel))])

    assert answers == {202}
    assert (beside, len(receiver.ids)) == (0, 1)
    assert Delivery.objects.get().status == "delivered"


def test_a_receiver_that_was_down_has_every_event_once_in_the_end(api, hook, receiver, store, key):
    """An hour of simulated time: the receiver fails, hangs never, redirects, is off, recovers."""
    begin = timezone.now()
    with time_machine.travel(begin, tick=True) as clock:
        a_product(store)
        work()
        receiver.mode = "fail"
        for minute in range(6):
            receiver.mode = "redirect" if minute % 2 else "fail"
            product = a_product(store)
            key.post("/orders", an_order_body(store, (product, 1)))
            clock.shift(timedelta(minutes=10))
            work()
        api = client_of(store)  # an hour later
        api.put(f"{WEBHOOKS}/{hook['id']}", {"isActive": False})
        a_product(store)
        work()
        api.put(f"{WEBHOOKS}/{hook['id']}", {"isActive": True})
        receiver.mode = "ok"
        asked = {"since": (begin - timedelta(minutes=1)).isoformat()}
        recovered = api.post(f"{WEBHOOKS}/{hook['id']}/recover", asked)
        work()
        nothing = api.post(f"{WEBHOOKS}/{hook['id']}/recover", asked)

    assert recovered.status_code == 202
    assert recovered.json()["queued"] > 10
    expected = {f"evt_{pk.hex}" for pk in OutboxEvent.objects.values_list("pk", flat=True)}
    assert set(receiver.ids) == expected
    assert len(receiver.ids) == len(expected)
    assert nothing.json()["queued"] == 0


def test_a_receiver_proves_that_nothing_is_missing(api, hook, receiver, store):
    for _ in range(3):
        a_product(store, quantity=0)
        work()

    chain = [one["headers"] for one in receiver.received]
    assert [one["webhook-sequence"] for one in chain] == ["1", "2", "3"]
    for before, after in pairwise(chain):
        assert after["webhook-previous-id"] == before["webhook-id"]


def test_a_receiver_gets_only_what_it_asked_for_and_never_another_stores(api, receiver, store):
    a_hook(api, receiver, events=["product.deleted"])
    product = a_product(store, quantity=0)
    a_product(a_store(), quantity=0)
    api.delete(f"/products/{product.pk}")
    work()

    assert [json.loads(one["body"])["type"] for one in receiver.received] == ["product.deleted"]


def test_events_that_no_catalogue_names_stay_inside(api, hook, receiver, store):
    outbox.emit("internal.secret", store_id=store.pk, subject_id=store.pk)
    work()

    assert receiver.received == []
    assert OutboxEvent.objects.get(type="internal.secret").done_at is not None


def test_large_data_is_cut_to_its_ids(store):
    made = body(
        uuid4(), "order.created", at=NOW, store_id=store.pk, sequence=1,
        data={"id": "a", "orderId": "b", "text": "x" * MAX_BODY}, api_version="2026-11-01",
    )  # fmt: skip

    message = json.loads(made)
    assert message["data"] == {"id": "a", "orderId": "b"}
    assert message["truncated"] is True
    assert len(made) < 1000


@pytest.mark.usefixtures("parallel")
def test_a_dead_receiver_delays_nobody_and_none_gets_more_than_four_at_once(monkeypatch):
    monkeypatch.setattr(sending, "SECONDS", 3)
    store, dead, alive = a_store(), Receiver(), Receiver()
    api = client_of(store)
    dead.mode = "hang"
    try:
        a_hook(api, dead)
        a_hook(api, alive)
        for _ in range(30):
            a_product(store, quantity=0)
        outbox.drain()
        stop = threading.Event()
        loop = threading.Thread(target=sending.send_due, args=(stop,))
        started = timezone.now()
        loop.start()
        while len(alive.ids) < 30 and timezone.now() - started < timedelta(seconds=20):
            stop.wait(0.05)
        took = timezone.now() - started
        stop.set()
        dead.let_go.set()
        loop.join()
    finally:
        dead.stop()
        alive.stop()

    assert len(alive.ids) == 30
    assert took < timedelta(seconds=3)
    assert dead.most_at_once <= 4
    assert alive.most_at_once <= 4
    assert Attempt.objects.filter(status_code=200).count() >= 30


@pytest.mark.usefixtures("parallel")
def test_a_delivery_of_a_dead_worker_comes_back(monkeypatch):
    store, receiver = a_store(), Receiver()
    try:
        a_hook(client_of(store), receiver)
        a_product(store, quantity=0)
        outbox.drain()
        assert len(sending.claim(10)) == 1
        assert sending.send_all() == 0
        with time_machine.travel(timezone.now() + timedelta(seconds=61)):
            assert sending.send_all() == 1
    finally:
        receiver.stop()

    assert len(receiver.ids) == 1


# The dashboard


@pytest.mark.parametrize(
    "body",
    [
        {"url": "https://127.0.0.1:22/", "events": ["*"]},
        {"url": "http://10.0.0.1/", "events": ["*"]},
        {"url": "https://user:pw@localhost/", "events": ["*"]},
        {"url": "https://localhost/", "events": []},
        {"url": "https://localhost/", "events": ["ping"]},
        {"url": "https://localhost/", "events": ["no.such"]},
        {"url": "https://localhost/"},
        {"events": ["*"]},
    ],
)  # fmt: skip
def test_a_bad_endpoint_is_refused(api, settings, body):
    settings.OUTBOUND_LOOPBACK = False

    answer = api.post(WEBHOOKS, body)

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) & {"url", "events", "events.0"}


def test_an_address_that_became_private_is_refused_at_the_attempt(api, hook, receiver, settings):
    settings.OUTBOUND_LOOPBACK = False

    answer = api.post(f"{WEBHOOKS}/{hook['id']}/test")

    assert answer.json()["attempts"][0]["error"] == "address_not_allowed"
    assert receiver.received == []


def test_a_store_has_ten_webhooks_at_most(api, receiver):
    for _ in range(10):
        a_hook(api, receiver)

    eleventh = api.post(WEBHOOKS, {"url": receiver.url, "events": ["*"]})

    assert eleventh.status_code == 409
    assert eleventh.json()["code"] == "too_many_webhooks"


def test_endpoints_are_changed_and_deleted(api, hook, receiver, store):
    changed = api.put(f"{WEBHOOKS}/{hook['id']}", {"events": ["order.created", "order.created"]})
    assert changed.json()["events"] == ["order.created"]
    assert changed.json()["url"] == receiver.url

    assert api.delete(f"{WEBHOOKS}/{hook['id']}").status_code == 204
    assert api.get(f"{WEBHOOKS}/{hook['id']}").status_code == 404
    assert api.get(WEBHOOKS).json()["items"] == []
    api.post("/products", {"sku": "TEA", "name": "Tea", "price": "1"})
    work()
    assert receiver.received == []


def test_what_is_switched_off_is_not_sent_again(api, hook, receiver, store):
    a_product(store, quantity=0)
    work()
    delivery = Delivery.objects.get()
    api.put(f"{WEBHOOKS}/{hook['id']}", {"isActive": False})

    retry = api.post(f"{WEBHOOKS}/{hook['id']}/deliveries/{delivery.pk}/retry")
    recover = api.post(f"{WEBHOOKS}/{hook['id']}/recover", {"since": timezone.now().isoformat()})

    assert {retry.status_code, recover.status_code} == {409}
    assert {retry.json()["code"], recover.json()["code"]} == {"webhook_inactive"}


def test_deliveries_are_listed_filtered_and_hidden_from_strangers(api, hook, receiver, store):
    receiver.mode = "fail"
    a_product(store)
    work()
    path = f"{WEBHOOKS}/{hook['id']}/deliveries"

    every = api.get(path).json()["items"]
    some = api.get(f"{path}?event=product.created&status=pending").json()["items"]
    stranger = client_of(a_store())

    assert {one["event"] for one in every} == {"product.created", "inventory.changed"}
    assert [one["event"] for one in some] == ["product.created"]
    assert some[0]["webhookId"].startswith("evt_")
    assert some[0]["nextAttemptAt"]
    assert api.get(f"{path}?status=delivered").json()["items"] == []
    assert stranger.get(path).status_code == 404
    assert stranger.get(f"{path}/{some[0]['id']}").status_code == 404
    assert stranger.post(f"{path}/{some[0]['id']}/retry").status_code == 404


def test_colleagues_need_the_permission(api, hook, store):
    colleague = client_of(store, a_member(store))
    reader = client_of(store, a_member(store, grants=["webhooks.read"]))

    assert colleague.get(WEBHOOKS).status_code == 403
    assert reader.get(WEBHOOKS).status_code == 200
    assert reader.post(f"{WEBHOOKS}/{hook['id']}/test").status_code == 403


def test_replays_have_a_limit_of_their_own(api, hook):
    answer = api.post(f"{WEBHOOKS}/{hook['id']}/test")

    assert answer.status_code == 200
    assert '"webhook-replay";q=60;w=3600' in answer["RateLimit-Policy"]


# The catalogue


def test_the_catalogue_shows_schemas_and_samples_that_hold(api):
    items = api.get(f"{WEBHOOKS}/event-types").json()["items"]

    assert {one["type"] for one in items} == set(EVENT_TYPES)
    for one in items:
        Draft202012Validator.check_schema(one["schema"])
        Draft202012Validator(one["schema"]).validate(one["sample"]["data"])


def test_a_stores_life_tells_of_everything_that_the_catalogue_names(api, key, store, receiver):
    hook = a_hook(api, receiver)
    shirt = a_product(store, quantity=10)
    item = api.get(f"/inventory?search={shirt.sku}").json()["items"][0]
    api.put(f"/inventory/{item['id']}", {"quantityOnHand": 10, "reorderPoint": 5})
    order = key.post("/orders", an_order_body(store, (shirt, 5))).json()["id"]  # low
    last = key.post("/orders", an_order_body(store, (shirt, 5))).json()["id"]  # out
    for to in ("confirmed", "shipped", "delivered"):
        assert api.post(f"/orders/{order}/transition", {"to": to}).status_code == 200
    asked = api.post("/return-requests", {"orderId": order}).json()
    for deed in ("approve", "receive", "complete"):
        lines = [{"itemId": one["itemId"], "restock": 5} for one in asked["lines"]]
        body = {"lines": lines, "items": lines} if deed == "receive" else {}
        api.post(f"/return-requests/{asked['id']}/{deed}", body)
    part = key.post("/orders", an_order_body(store, (a_product(store), 2))).json()
    for to in ("confirmed", "shipped"):
        api.post(f"/orders/{part['id']}/transition", {"to": to})
    kept = {
        "to": "partially_delivered",
        "lines": [{"itemId": part["items"][0]["id"], "quantity": 1}],
    }
    api.post(f"/orders/{part['id']}/transition", kept)
    api.put(f"/orders/{last}", {"notes": "ring twice"})
    api.post(f"/orders/{last}/cancel")
    supplier = api.post("/suppliers", {"name": "Basra"}).json()["id"]
    line = {"productId": str(shirt.pk), "quantity": 2, "unitCost": "500"}
    api.post("/purchase-orders", {"supplierId": supplier, "items": [line], "receiveNow": True})
    api.put(f"/products/{shirt.pk}", {"name": "Shirt"})
    gone = a_product(store, quantity=0)
    api.delete(f"/products/{gone.pk}")
    sara = api.post("/customers", {"name": "Sara", "primaryPhone": "07701234567"}).json()["id"]
    api.put(f"/customers/{sara}", {"name": "Sara A"})
    api.delete(f"/customers/{sara}")
    session = api.post("/cashier/sessions/open", {"openingFloat": "0"}).json()["id"]
    api.post(f"/cashier/sessions/{session}/close", {"countedCash": "0"})
    ticket = api.post("/tickets", {"subject": "Late"}).json()["id"]
    api.put(f"/tickets/{ticket}", {"status": "closed"})
    api.delete(f"/tickets/{ticket}")
    a_channel(store)
    visitor = visitor_client_of(store)
    talk = visitor.post("/conversations", {"message": {"text": "Hello?"}}).json()["id"]
    api.post(f"/chat/conversations/{talk}/messages", {"text": "Yes?"})
    visitor.post(f"/conversations/{talk}/read", {"upToSeq": 2})
    api.post(f"/chat/conversations/{talk}/resolve")
    ending = key_client_of(store, expires_at=timezone.now() + timedelta(days=3))
    tell_expiring()
    assert tell_expiring() == 0
    secret = ending.headers["X_API_Key"]
    ending.get(f"/whoami?key={secret}")
    api.delete(f"/api-keys/{ending.key_id}")
    disable(Endpoint.objects.get(pk=hook["id"]).pk, "for the test")

    told = {}
    for event in OutboxEvent.objects.all():
        told.setdefault(event.type, event)
        if event.type in EVENT_TYPES:
            Draft202012Validator(EVENT_TYPES[event.type].schema).validate(event.data)
    assert set(EVENT_TYPES) - set(told) == {"ping", "shipment.status_changed"}
    of_talk = OutboxEvent.objects.filter(subject_id=talk).order_by("id")
    numbers = list(of_talk.values_list("sequence", flat=True))
    assert numbers == sorted(numbers)
    out = told["inventory.out"].data
    assert (out["sku"], out["quantityAvailable"], out["quantityReserved"]) == (shirt.sku, 0, 10)
    assert told["inventory.low"].data["quantityAvailable"] == 5


def test_imported_orders_tell_nobody(key, store):
    product = a_product(store)
    OutboxEvent.objects.all().delete()
    order = an_order_body(store) | {
        "placedAt": "2026-01-02T10:00:00Z",
        "status": "delivered",
        "items": [{"sku": product.sku, "quantity": 1, "name": "Tea", "lineTotal": "5000"}],
    }
    answer = key.post("/orders/bulk", {"mode": "import", "orders": [order]})

    assert answer.status_code == 201, answer.content
    assert OutboxEvent.objects.count() == 0


# The pull feed


def test_the_feed_has_the_same_messages_as_the_webhooks(api, hook, receiver, store, key):
    product = a_product(store)
    key.post("/orders", an_order_body(store, (product, 1)))
    work()

    got, after = [], ""
    while True:
        page = key.get(f"/events?pageSize=2&after={after}").json()
        got += page["items"]
        if not page["hasMore"]:
            break
        after = page["nextCursor"]

    sent = {one["headers"]["webhook-id"]: json.loads(one["body"]) for one in receiver.received}
    assert [one["id"] for one in got] == list(dict.fromkeys(one["id"] for one in got))
    assert {one["id"]: one for one in got} == sent
    assert key.get(f"/events?after={got[-1]['id']}").json()["items"] == []
    assert key.get(f"/events?after={got[-1]['id']}").json()["nextCursor"] == got[-1]["id"]


@pytest.mark.usefixtures("parallel")
def test_the_feed_skips_no_event_that_commits_late():
    """The earlier event's transaction ends after the later one was read."""
    store = a_store()
    key = key_client_of(store)
    OutboxEvent.objects.all().delete()
    begun, commit = threading.Event(), threading.Event()
    first, second = uuid4(), uuid4()

    def emit(subject):
        outbox.emit("product.created", store_id=store.pk, subject_id=subject,
                    data={"id": str(subject), "sku": "TEA", "name": "Tea"})  # fmt: skip

    def slow():
        try:
            with transaction.atomic():
                emit(first)
                begun.set()
                commit.wait(20)
        finally:
            connection.close()

    writer = threading.Thread(target=slow)
    writer.start()
    begun.wait(20)
    emit(second)
    outbox.drain()
    early = key.get("/events").json()
    commit.set()
    writer.join()
    outbox.drain()
    late = key.get(f"/events?after={early['nextCursor']}").json()

    assert [one["data"]["id"] for one in early["items"]] == [str(second)]
    assert [one["data"]["id"] for one in late["items"]] == [str(first)]
    assert OutboxEvent.objects.get(subject_id=first).id < OutboxEvent.objects.get(
        subject_id=second
    ).id  # fmt: skip


def test_a_key_reads_the_families_of_its_scopes(store, key):
    product = a_product(store)
    key.post("/orders", an_order_body(store, (product, 1)))
    work()
    orders = key_client_of(store, ["orders:read"])
    catalog = key_client_of(store, ["catalog:read"])
    writer = key_client_of(store, ["orders:write"])

    assert {one["type"] for one in orders.get("/events").json()["items"]} == {"order.created"}
    seen = {one["type"] for one in catalog.get("/events").json()["items"]}
    assert seen == {"product.created", "inventory.changed"}
    asked = orders.get("/events?types=product.created")
    assert (asked.status_code, asked.json()["requiredScope"]) == (403, "catalog:read")
    denied = writer.get("/events")
    assert (denied.status_code, denied.json()["code"]) == (403, "missing_scope")
    assert denied.json()["requiredScope"] == "catalog:read"
    assert orders.get("/events?types=cashier.session_closed").status_code == 400
    assert key_client_of(a_store()).get("/events").json()["items"] == []


def test_a_place_in_the_feed_that_is_gone_is_said(key, store):
    assert key.get("/events?after=evt_nonsense").status_code == 400
    unknown = key.get(f"/events?after=evt_{uuid4().hex}")
    assert (unknown.status_code, unknown.json()["code"]) == (410, "gone")
