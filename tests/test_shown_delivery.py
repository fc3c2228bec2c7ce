"""An order's whole way over real HTTP between real processes: the server, its background worker,
the stand-in for Nawa, and a receiver of the store's webhooks that is down for an hour."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from io import StringIO

import httpx
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models import F
from jsonschema import Draft202012Validator
from standardwebhooks.webhooks import Webhook

from integrations.nawa.models import InboundEvent
from integrations.webhooks.catalogue import EVENT_TYPES
from integrations.webhooks.models import Delivery, Endpoint
from storeplatform.kernel.models import BackgroundTask, OutboxEvent
from tests.clients import client_of, key_client_of
from tests.factories import a_product, a_store, an_order_body
from tests.fakes import API_KEY, SECRET, FakeNawa, Receiver
from tests.servers import RunningServer, RunningWorker, until

PHONE = "+9647701234567"


@pytest.fixture
def nawa():
    with FakeNawa() as server:
        yield server


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def server(parallel, nawa):
    environment = {
        "PUBLIC_ORIGIN": settings.PUBLIC_ORIGIN,
        "OTP_PROVIDER": "nawa",
        "Nawa__BaseUrl": nawa.url,
        "Nawa__ApiKey": API_KEY,
        "Nawa__WebhookSecret": SECRET,
    }
    running = RunningServer(workers=1, **environment)
    worker = RunningWorker(**environment)
    nawa.platform = running.url
    yield running
    worker.stop()
    running.stop()


class Caller:
    """A client's credentials over the real server."""

    def __init__(self, server, client):
        headers = {name.replace("_", "-"): value for name, value in client.headers.items()}
        self.http = httpx.Client(base_url=server.url + client.base, headers=headers, timeout=30)

    def get(self, path):
        return self.answer(self.http.get(path))

    def post(self, path, body=None):
        return self.answer(self.http.post(path, json=body or {}))

    def answer(self, response):
        assert response.status_code < 300, response.text
        return response.json()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()


def pass_time(minutes):
    """The time of everything that waits or is remembered, as if so many minutes had gone by."""
    gone = timedelta(minutes=minutes)
    waiting = Delivery.objects.filter(status="pending")
    waiting.update(due_at=F("due_at") - gone, leased_until=F("leased_until") - gone)
    Delivery.objects.update(created_at=F("created_at") - gone)
    Endpoint.objects.exclude(failing_since=None).update(failing_since=F("failing_since") - gone)
    OutboxEvent.objects.update(created_at=F("created_at") - gone)


def is_settled():
    """Whether the worker has nothing left to do now."""
    return not (
        OutboxEvent.objects.filter(done_at=None).exists()
        or BackgroundTask.objects.filter(done_at=None).exists()
        or InboundEvent.objects.filter(status="pending").exists()
        or Delivery.objects.filter(leased_until__isnull=False).exists()
        or Delivery.objects.filter(status="pending", due_at__lte=datetime.now(UTC)).exists()
    )


def tell(nawa, dispatch, status, minutes_ago):
    """The same event twice, of a moment in the past."""
    moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    data = {
        "reference": f"shp_{dispatch['id'].replace('-', '')}",
        "tracking_number": dispatch["trackingNumber"],
        "status": status,
        "occurred_at": moment.isoformat(timespec="milliseconds"),
    }
    body = nawa.event("shipment.status_changed", data)
    assert [nawa.tell(body) for _ in range(2)] == ["answered 200"] * 2


def feed_of(website):
    """All that the pull feed has, page by page."""
    found, after = [], ""
    while True:
        page = website.get(f"/events?pageSize=5&after={after}")
        found += page["items"]
        after = page["nextCursor"]
        if not page["hasMore"]:
            return found


def test_an_order_goes_from_the_storefront_to_its_cash_and_a_receiver_hears_all_of_it_once(
    server, nawa, receiver
):
    store = a_store()
    product = a_product(store, price=10_000)
    with ExitStack() as stack:
        owner = stack.enter_context(Caller(server, client_of(store)))
        website = stack.enter_context(Caller(server, key_client_of(store)))
        hook = owner.post("/webhooks", {"url": receiver.url, "events": ["*"]})
        company = {"deliveryCompanySlug": "nawa"}
        owner.post("/delivery-providers/links", company | {"username": "shop", "password": "word"})

        # The storefront: a code by Nawa proves the phone.
        website.post("/orders/send-otp", {"phone": PHONE})
        code = nawa.codes[-1]["code"]
        customer = {"name": "Sara", "primaryPhone": PHONE}
        body = an_order_body(store, (product, 2), customer=customer) | {"otpCode": code}
        order = website.post("/orders/storefront", body)
        until(is_settled)
        heard_before = set(receiver.ids)

        # The receiver goes down, and everything else goes on.
        receiver.mode = "down"
        owner.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})
        made = owner.post("/dispatches", company | {"orderId": order["id"]})
        accepted = until(
            lambda: (
                found
                if (found := owner.get(f"/dispatches/{made['id']}"))["state"] == "accepted"
                else None
            )
        )
        for status, minutes in [
            ("in_transit", 40), ("picked_up", 50), ("delivered", 10), ("out_for_delivery", 20),
        ]:  # fmt: skip
            tell(nawa, accepted, status, minutes)
        until(is_settled)
        arrived = owner.get(f"/orders/{order['id']}")
        line = {"trackingNumber": accepted["trackingNumber"], "collected": "25000", "fee": "3000"}
        settlement = company | {
            "reference": "ST-1",
            "date": "2026-01-15",
            "declaredTotal": "22000",
            "lines": [line],
        }
        settled = owner.post("/settlements", settlement)
        owner.post(f"/settlements/{settled['id']}/accept")
        for _ in range(6):  # an hour
            until(is_settled)
            pass_time(10)
        until(is_settled)
        missed = Delivery.objects.exclude(status="delivered").count()

        # It comes back: the owner has sent again what did not arrive.
        receiver.mode = "ok"
        since = datetime.now(UTC) - timedelta(hours=3)
        recovered = owner.post(f"/webhooks/{hook['id']}/recover", {"since": since.isoformat()})
        until(lambda: not Delivery.objects.exclude(status="delivered").exists())
        done = owner.get(f"/orders/{order['id']}")
        parcel = owner.get(f"/dispatches/{made['id']}")
        feed = feed_of(website)

    # The order
    assert (order["otpVerified"], order["channel"], len(nawa.codes)) == (True, "storefront", 1)
    assert len(nawa.shipments) == 1
    assert (arrived["status"], arrived["remittanceStatus"]) == ("delivered", "with_courier")
    assert (done["paymentStatus"], done["remittanceStatus"]) == ("paid", "remitted")
    assert done["deliveryCost"] == "3000"
    assert [(one["rawStatus"], one["outcome"]) for one in parcel["events"]] == [
        ("created", "applied"), ("in_transit", "applied"), ("picked_up", "late"),
        ("delivered", "applied"), ("out_for_delivery", "late"),
    ]  # fmt: skip
    call_command("doctor", stdout=StringIO())

    # The receiver
    told = {
        f"evt_{event.pk.hex}": event for event in OutboxEvent.objects.filter(type__in=EVENT_TYPES)
    }
    assert missed == recovered["queued"] == len(told) - len(heard_before) > 5
    assert sorted(receiver.ids) == sorted(told)  # every id, and every id once
    assert {event.type for event in told.values()} >= {
        "order.created", "order.status_changed", "shipment.status_changed", "order.delivered",
        "payment.collected", "payment.remitted",
    }  # fmt: skip
    for one in receiver.received:
        if one["status"] == 200:
            message = Webhook(hook["secret"]).verify(one["body"], one["headers"])
            Draft202012Validator(EVENT_TYPES[message["type"]].schema).validate(message["data"])
    assert [one["id"] for one in feed] == [
        f"evt_{pk.hex}"
        for pk in OutboxEvent.objects.filter(
            type__in=[name for name, kind in EVENT_TYPES.items() if kind.scope]
        )
        .order_by("position")
        .values_list("pk", flat=True)
    ]
    bodies = {one["headers"]["webhook-id"]: json.loads(one["body"]) for one in receiver.received}
    assert all({**bodies[one["id"]], "timestamp": ""} == {**one, "timestamp": ""} for one in feed)
