"""Delivery companies and cash settlement (domain.md, section 17), with the fake Nawa behind."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from integrations.nawa import client as nawa_client
from integrations.nawa import webhooks
from store_modules.analytics import figures
from store_modules.analytics.models import DayFigure
from store_modules.delivery import dispatching, tracking
from store_modules.delivery.matching import Claim, Known, differences
from store_modules.delivery.models import (
    CashEntry,
    CompanyLink,
    CourierAreaMap,
    CourierStatus,
    DeliveryCompany,
    Dispatch,
    Settlement,
    SettlementLine,
    ShipmentEvent,
)
from store_modules.delivery.providers import Report
from store_modules.orders.models import Order
from storeplatform.kernel import background, outbox
from storeplatform.kernel.models import OutboxEvent
from tests.clients import ApiClient, client_of, key_client_of
from tests.factories import a_member, a_product, a_store, an_area, an_order_body
from tests.fakes import API_KEY, SECRET, FakeNawa
from tests.worker import make_due, work

PHONE = "+9647701234567"
LINKS = "/delivery-providers/links"
LOGIN = {"username": "my-shop", "password": "s3cret-word"}
PATH = "/api/v1/integrations/nawa/webhooks"


@pytest.fixture
def nawa(settings, monkeypatch):
    monkeypatch.setattr(nawa_client, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(nawa_client, "PATIENCE", 0.05)
    nawa_client.breaker.reset()
    with FakeNawa() as server:
        settings.NAWA_BASE_URL, settings.NAWA_API_KEY = server.url, API_KEY
        settings.NAWA_WEBHOOK_SECRETS = [SECRET]
        settings.NAWA_TIMEOUT_SECONDS = 1
        yield server
    nawa_client.breaker.reset()


@pytest.fixture
def link(api, nawa):
    made = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "nawa"})
    assert made.status_code == 201, made.content
    return made.json()


def an_order(api, store, *, confirmed=True, **values):
    product = a_product(store, price=10_000)
    order = api.post("/orders", an_order_body(store, (product, 2), **values)).json()
    if confirmed:
        api.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})
    return order


def dispatched(api, store, **values):
    """A confirmed order that the company has: (order, dispatch)."""
    order = an_order(api, store, **values)
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"})
    assert made.status_code == 201, made.content
    work()
    return order, api.get(f"/dispatches/{made.json()['id']}").json()


def shown(api, order):
    return api.get(f"/orders/{order['id']}").json()


def tell(nawa, made, status, *, at=None, times=1, **more):
    """A status webhook of the parcel, and the worker's turn."""
    data = {"reference": f"shp_{made['id'].replace('-', '')}", "status": status, **more}
    if at:
        data["occurred_at"] = at
    body = nawa.event("shipment.status_changed", data)
    for _ in range(times):
        answer = ApiClient("").request("post", PATH, body, **nawa.headers(body))
        assert answer.status_code == 200
    webhooks.process_due()


def minutes_ago(minutes):
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    return moment.isoformat(timespec="milliseconds")


def delivered(api, store, nawa, **values):
    order, made = dispatched(api, store, **values)
    tell(nawa, made, "delivered")
    return order, api.get(f"/dispatches/{made['id']}").json()


def a_settlement(api, *lines, slug="nawa", **values):
    body = {
        "deliveryCompanySlug": slug,
        "reference": f"ST-{Settlement.objects.count() + 1}",
        "date": "2026-11-24",
        "declaredTotal": "0",
        "lines": list(lines),
    }
    return api.post("/settlements", body | values)


def doctor():
    call_command("doctor", stdout=StringIO())


# Companies and links


def test_the_companies_are_the_same_for_all(api, key):
    mine, website = api.get("/delivery-companies").json(), key.get("/delivery-companies").json()

    assert [one["slug"] for one in mine["items"]] == ["al-waseet", "boxy", "hi-express", "nawa"]
    assert website["items"] == mine["items"]


def test_reading_companies_asks_for_orders_read(store):
    assert key_client_of(store, ["catalog:read"]).get("/delivery-companies").status_code == 403


def test_a_link_is_checked_and_its_password_is_never_shown(api, nawa, store):
    made = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "boxy", "agreedFee": "3000"})

    assert made.status_code == 201, made.content
    assert made.json()["account"] == "boxy:my-shop"
    assert made.json()["agreedFee"] == "3000"
    listed = api.get(LINKS)
    assert LOGIN["password"] not in made.content.decode() + listed.content.decode()
    assert LOGIN["password"].encode() not in bytes(CompanyLink.objects.get().credentials)


def test_wrong_credentials_are_told(api, nawa):
    boxy = DeliveryCompany.objects.get(slug="boxy")
    body = {"deliveryCompanyId": str(boxy.pk), "username": "a", "password": "wrong"}

    answer = api.post(LINKS, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_credentials")
    assert not CompanyLink.objects.exists()


def test_a_company_that_does_not_answer_is_503(api, nawa):
    nawa.misbehave("fail", 9)

    answer = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "boxy"})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_company_is_linked_once_and_must_exist(api, nawa, link):
    again = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "nawa"})
    unknown = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "pigeon"})
    neither = api.post(LINKS, LOGIN)

    assert (again.status_code, again.json()["code"]) == (409, "company_already_linked")
    assert unknown.status_code == neither.status_code == 400
    assert "deliveryCompanySlug" in unknown.json()["errors"]


def test_links_are_the_owners_unless_granted(store, nawa):
    staff = client_of(store, a_member(store))
    courier_clerk = client_of(store, a_member(store, grants=["delivery.manage"]))

    assert staff.get(LINKS).status_code == 403
    assert courier_clerk.get(LINKS).status_code == 200


def test_a_link_with_parcels_stays(api, store, nawa, link):
    _, made = dispatched(api, store)

    in_use = api.delete(f"{LINKS}/{link['id']}")
    api.post(f"/dispatches/{made['id']}/cancel")
    work()
    gone = api.delete(f"{LINKS}/{link['id']}")

    assert (in_use.status_code, in_use.json()["code"]) == (409, "link_in_use")
    assert gone.status_code == 204


# Dispatch


def test_a_dispatch_is_booked_with_the_company(api, store, nawa, link):
    order, made = dispatched(api, store)

    (shipment,) = nawa.shipments.values()
    assert made["state"] == "accepted"
    assert made["trackingNumber"] == shipment["tracking_number"]
    assert shipment["sent"]["cash_on_delivery"] == {"amount": "25000", "currency": "IQD"}
    assert shipment["sent"]["address"]["province"] == "IQ-BG"
    assert shipment["sent"]["account"] == "nawa:my-shop"
    now = shown(api, order)
    assert now["trackingNumber"] == shipment["tracking_number"]
    assert now["fulfillmentStatus"] == "awaiting_pickup"
    assert now["deliveryCompanyId"] == made["deliveryCompanyId"]
    listed = api.get(f"/orders?deliveryCompanyId={made['deliveryCompanyId']}").json()
    assert [one["id"] for one in listed["items"]] == [order["id"]]
    assert api.get(f"/orders?search={shipment['tracking_number']}").json()["totalCount"] == 1


def test_lost_answers_make_no_second_shipment(api, store, nawa, link):
    order = an_order(api, store)
    nawa.misbehave("lose", 3)
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()

    work()
    waiting = api.get(f"/dispatches/{made['id']}").json()["state"]
    api.post(f"/dispatches/{made['id']}/retry")
    make_due()
    work()

    assert waiting == "requested"
    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "accepted"
    assert len(nawa.shipments) == 1
    keys = {key for path, key, _ in nawa.calls if path == "/v1/shipments"}
    assert len(keys) == 1


def test_a_refusal_after_a_lost_answer_makes_no_second_shipment(api, store, nawa, link):
    order = an_order(api, store)
    nawa.misbehave("lose")
    nawa.misbehave("refuse")
    body = {"orderId": order["id"], "deliveryCompanySlug": "nawa"}
    made = api.post("/dispatches", body).json()

    work()
    again = api.post("/dispatches", body)
    make_due()
    work()

    assert (again.status_code, again.json()["code"]) == (409, "already_dispatched")
    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "accepted"
    assert len(nawa.shipments) == 1


def test_a_wrong_key_of_the_platform_refuses_no_parcel(api, store, nawa, link, settings):
    order = an_order(api, store)
    settings.NAWA_API_KEY = "former"
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()
    linked = api.post(LINKS, LOGIN | {"deliveryCompanySlug": "boxy"})
    work()
    waiting = api.get(f"/dispatches/{made['id']}").json()
    settings.NAWA_API_KEY = API_KEY
    nawa_client.breaker.reset()
    make_due()
    work()

    assert linked.status_code == 503
    assert (waiting["state"], waiting["error"]) == (
        "requested", "No answer: Nawa does not take our key.",
    )  # fmt: skip
    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "accepted"


def test_a_refused_shipment_leaves_the_order_free(api, store, nawa, link):
    order = an_order(api, store)
    nawa.misbehave("refuse")
    body = {"orderId": order["id"], "deliveryCompanySlug": "nawa"}
    made = api.post("/dispatches", body).json()

    work()
    refused = api.get(f"/dispatches/{made['id']}").json()
    freed = shown(api, order)
    again = api.post("/dispatches", body)

    assert (refused["state"], refused["error"]) == ("refused", "We do not deliver there.")
    assert freed["deliveryCompanyId"] is None
    assert again.status_code == 201


def test_what_cannot_be_dispatched_says_why(api, store, nawa, link):
    boxy = LOGIN | {"deliveryCompanySlug": "boxy"}
    pending = an_order(api, store, confirmed=False)
    order = an_order(api, store)
    pickup = an_order(api, store, fulfillmentType="from_to")

    def code(order, slug="nawa"):
        answer = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": slug})
        return answer.status_code, answer.json().get("code")

    assert code(pending) == (409, "not_dispatchable")
    assert code(order, "boxy") == (409, "company_not_linked")
    assert code(pickup) == (409, "pickup_required")
    assert code(order, "pigeon") == (400, "not_found")
    assert api.post("/dispatches", {"orderId": order["id"]}).status_code == 400
    api.post(LINKS, boxy)
    assert code(order, "boxy") == (409, "area_not_mapped")
    assert code(order) == (201, None)
    assert code(order) == (409, "already_dispatched")


def test_a_company_gets_its_own_names_of_areas(api, store, nawa, tmp_path):
    api.post(LINKS, LOGIN | {"deliveryCompanySlug": "boxy"})
    file = tmp_path / "areas.csv"
    file.write_text(f"areaId,externalProvince,externalArea\n{an_area().pk},BGD,Karrada 12\n")
    call_command("import_courier_areas", file, company="boxy", stdout=StringIO())
    call_command("import_courier_areas", file, company="boxy", stdout=StringIO())
    order = an_order(api, store)

    api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "boxy"})
    work()

    (shipment,) = nawa.shipments.values()
    address = shipment["sent"]["address"]
    assert (address["province"], address["area"]) == ("BGD", "Karrada 12")
    assert CourierAreaMap.objects.count() == 1
    file.write_text("areaId,externalProvince,externalArea\nnowhere,BGD,Karrada\n")
    with pytest.raises(CommandError):
        call_command("import_courier_areas", file, company="boxy")


def test_the_pickup_point_travels_with_the_parcel(api, store, nawa, link):
    pickup = {
        "name": "Shop", "phone": "07901234567", "addressProvinceCode": "IQ-BG",
        "addressAreaId": str(an_area().pk), "address": "Market 4",
    }  # fmt: skip

    dispatched(api, store, fulfillmentType="from_to", pickup=pickup)

    (shipment,) = nawa.shipments.values()
    assert "Market 4" in str(shipment["sent"]["pickup"])


def test_a_parcel_is_taken_back_while_it_has_not_left(api, store, nawa, link):
    order, made = dispatched(api, store)
    other, gone = dispatched(api, store)
    tell(nawa, gone, "picked_up")

    api.post(f"/dispatches/{made['id']}/cancel")
    work()
    late = api.post(f"/dispatches/{gone['id']}/cancel")

    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "cancelled"
    now = shown(api, order)
    assert (now["deliveryCompanyId"], now["fulfillmentStatus"]) == (None, "unassigned")
    assert (late.status_code, late.json()["code"]) == (409, "not_cancellable")
    assert shown(api, other)["status"] == "shipped"


def test_a_parcel_taken_back_before_the_company_answered_is_cancelled_there(api, store, nawa, link):
    order = an_order(api, store)
    nawa.misbehave("lose", 3)
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()
    work()  # booked there, but the answer is lost

    api.post(f"/dispatches/{made['id']}/cancel")
    make_due()
    work()

    (shipment,) = nawa.shipments.values()
    assert shipment["status"] == "cancelled"
    assert Dispatch.objects.get().state == "cancelled"


def test_cancelling_an_order_takes_its_parcel_back(api, store, nawa, link):
    order, made = dispatched(api, store)

    api.post(f"/orders/{order['id']}/cancel")
    work()

    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "cancelled"
    assert [one["status"] for one in nawa.shipments.values()] == ["cancelled"]


def test_an_order_that_names_its_company_goes_to_it_when_confirmed(api, key, store, nawa, link):
    product = a_product(store)
    body = an_order_body(store, (product, 1), deliveryCompanyId=link["deliveryCompanyId"])
    order = key.post("/orders", body).json()
    work()
    before = len(nawa.shipments)

    api.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})
    work()

    assert (before, len(nawa.shipments)) == (0, 1)
    assert shown(api, order)["fulfillmentStatus"] == "awaiting_pickup"


def test_what_is_in_the_way_of_that_is_kept(api, key, store, nawa, link):
    product = a_product(store)
    body = an_order_body(
        store, (product, 1), deliveryCompanyId=link["deliveryCompanyId"], fulfillmentType="from_to"
    )
    order = key.post("/orders", body).json()

    api.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})
    work()

    (kept,) = api.get(f"/dispatches?orderId={order['id']}").json()["items"]
    assert (kept["state"], kept["error"][:15]) == ("refused", "pickup_required")


def test_orders_and_rules_name_only_linked_companies(api, key, store, nawa, link):
    boxy = DeliveryCompany.objects.get(slug="boxy")
    product = a_product(store)
    order = an_order(api, store, confirmed=False)
    rule = {"name": "Far", "baseFee": "3000"}
    mine = link["deliveryCompanyId"]

    for company, status in ((str(boxy.pk), 400), (mine, 201)):
        body = an_order_body(store, (product, 1), deliveryCompanyId=company)
        made = key.post("/orders", body)
        ruled = api.post("/shipping/rules", rule | {"deliveryCompanyId": company})
        edited = api.put(f"/orders/{order['id']}", {"deliveryCompanyId": company})
        assert (made.status_code, ruled.status_code) == (status, status)
        assert edited.status_code == (200 if status == 201 else 400)
        if status == 400:
            assert made.json()["code"] == "not_found"
            assert "deliveryCompanyId" in made.json()["errors"]
    assert shown(api, order)["deliveryCompanyId"] == mine
    assert shown(api, order)["deliveryFee"] == "3000"  # the rule of its company


# Statuses


def test_statuses_in_disorder_and_twice_end_where_the_parcel_is(api, store, nawa, link):
    order, made = dispatched(api, store)
    told = [
        ("out_for_delivery", 20), ("picked_up", 50), ("in_transit", 30), ("at_hub", 40),
        ("delivered", 10), ("out_for_delivery", 20),
    ]  # fmt: skip

    for status, minutes in told:
        tell(nawa, made, status, at=minutes_ago(minutes), times=2)

    now = shown(api, order)
    assert (now["status"], now["fulfillmentStatus"]) == ("delivered", "delivered")
    assert (now["remittanceStatus"], now["amountPaid"]) == ("with_courier", "25000")
    events = api.get(f"/dispatches/{made['id']}").json()["events"]
    assert [(one["rawStatus"], one["outcome"]) for one in events] == [
        ("created", "applied"), ("out_for_delivery", "applied"), ("picked_up", "late"),
        ("in_transit", "late"), ("at_hub", "late"), ("delivered", "applied"),
        ("out_for_delivery", "late"),
    ]  # fmt: skip
    assert api.get(f"/dispatches/{made['id']}").json()["state"] == "finished"
    emitted = OutboxEvent.objects.filter(type="shipment.status_changed").order_by("sequence")
    assert [one.data["status"] for one in emitted] == ["out_for_delivery", "delivered"]
    doctor()


def test_the_same_fact_under_two_ids_is_taken_once(api, store, nawa, link):
    order, made = dispatched(api, store)
    moment = minutes_ago(1)

    for _ in range(2):
        tell(nawa, made, "failed_attempt", at=moment, reason="no_answer")

    assert [one["reason"] for one in shown(api, order)["attempts"]] == ["no_answer"]
    assert ShipmentEvent.objects.filter(outcome="repeated").count() == 1


def test_a_fact_of_the_future_is_taken_once_and_kept_as_it_was_told(api, store, nawa, link):
    order, made = dispatched(api, store)
    moment = "2099-01-01T00:00:00.000+00:00"

    for _ in range(3):
        tell(nawa, made, "failed_attempt", at=moment, reason="no_answer")

    assert len(shown(api, order)["attempts"]) == 1
    told = ShipmentEvent.objects.filter(raw_status="failed_attempt").order_by("id")
    assert [one.outcome for one in told] == ["applied", "repeated", "repeated"]
    assert {one.occurred_at.isoformat() for one in told} == {"2099-01-01T00:00:00+00:00"}
    assert Dispatch.objects.get().status_at < timezone.now() + timedelta(minutes=6)


def test_at_the_same_moment_the_later_in_the_chain_wins(api, store, nawa, link):
    order, made = dispatched(api, store)
    moment = minutes_ago(1)

    for status in ("in_transit", "picked_up", "out_for_delivery"):
        tell(nawa, made, status, at=moment)

    assert shown(api, order)["fulfillmentStatus"] == "out_for_delivery"


def test_a_status_without_meaning_changes_nothing_but_is_kept(api, store, nawa, link):
    order, made = dispatched(api, store)
    before = shown(api, order)
    moment = minutes_ago(5)

    tell(nawa, made, "teleported", at=moment)
    unknown = shown(api, order)
    company = DeliveryCompany.objects.get(slug="nawa")
    CourierStatus.objects.create(company=company, raw="teleported", status="in_transit")
    tell(nawa, made, "teleported", at=moment)

    assert unknown["riskFlags"] == ["unmapped_courier_status"]
    assert (unknown["status"], unknown["fulfillmentStatus"]) == (
        before["status"], before["fulfillmentStatus"],
    )  # fmt: skip
    kept = api.get(f"/dispatches/{made['id']}").json()
    assert kept["rawStatus"] == "teleported"
    assert [one["outcome"] for one in kept["events"]] == ["applied", "unmapped", "applied"]
    assert shown(api, order)["fulfillmentStatus"] == "in_transit"


def test_a_status_without_meaning_that_comes_late_is_seen_too(api, store, nawa, link):
    order, made = delivered(api, store, nawa)

    tell(nawa, made, "teleported", at=minutes_ago(5))

    assert shown(api, order)["riskFlags"] == ["unmapped_courier_status"]
    last = api.get(f"/dispatches/{made['id']}").json()["events"][-1]
    assert (last["rawStatus"], last["outcome"]) == ("teleported", "late")
    assert api.get(f"/dispatches/{made['id']}").json()["rawStatus"] == "delivered"


def test_a_status_that_the_order_does_not_allow_is_kept(api, store, nawa, link):
    order, made = delivered(api, store, nawa)

    tell(nawa, made, "in_transit", at=minutes_ago(-1))

    assert shown(api, order)["status"] == "delivered"
    last = api.get(f"/dispatches/{made['id']}").json()["events"][-1]
    assert (last["outcome"], last["detail"][:18]) == ("not_possible", "invalid_transition")


def test_a_parcel_that_comes_back_waits_for_its_check_in(api, store, nawa, link):
    order, made = dispatched(api, store)

    tell(nawa, made, "out_for_delivery", at=minutes_ago(30))
    tell(nawa, made, "returned", at=minutes_ago(5), reason="refused")

    now = shown(api, order)
    assert (now["status"], now["fulfillmentStatus"]) == ("returning", "returned_to_store")
    assert now["attempts"][0]["reason"] == "refused"
    lines = [{"itemId": now["items"][0]["id"], "restock": 2}]
    done = api.post(f"/orders/{order['id']}/check-in", {"lines": lines}).json()
    assert done["status"] == "returned"
    doctor()


def test_another_attempt_after_the_way_back_sends_the_order_out_again(api, store, nawa, link):
    order, made = dispatched(api, store)

    for minutes, status in enumerate(
        ("delivered", "out_for_delivery", "returning", "out_for_delivery"), start=1
    ):
        tell(nawa, made, status, at=minutes_ago(minutes * 10)) if status != "delivered" else None
    tell(nawa, made, "returning", at=minutes_ago(9), reason="no_answer")
    back = shown(api, order)["status"]
    tell(nawa, made, "out_for_delivery", at=minutes_ago(8))
    again = shown(api, order)["status"]
    tell(nawa, made, "delivered", at=minutes_ago(7))

    assert (back, again, shown(api, order)["status"]) == ("returning", "shipped", "delivered")


def test_a_parcel_that_arrived_in_part(api, store, nawa, link):
    order, made = dispatched(api, store)
    sku = shown(api, order)["items"][0]["sku"]

    tell(nawa, made, "partially_delivered", items=[{"sku": sku, "quantity": 1}])

    now = shown(api, order)
    assert now["status"] == "partially_delivered"
    assert (now["amountPaid"], now["remittanceStatus"]) == ("15000", "with_courier")


def test_a_company_that_gives_the_parcel_up_frees_the_order(api, store, nawa, link):
    order, made = dispatched(api, store)

    tell(nawa, made, "cancelled")

    now = shown(api, order)
    assert (now["deliveryCompanyId"], now["fulfillmentStatus"]) == (None, "unassigned")
    again = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"})
    assert again.status_code == 201


def test_the_facts_of_a_parcel_taken_back_move_nothing(api, store, nawa, link):
    order, made = dispatched(api, store)
    api.post(f"/dispatches/{made['id']}/cancel")
    work()

    tell(nawa, made, "delivered")

    assert shown(api, order)["status"] == "confirmed"


def test_parcels_that_were_not_heard_of_are_asked_for(api, store, nawa, link):
    order, _ = dispatched(api, store)
    (shipment,) = nawa.shipments.values()
    shipment["status"], shipment["occurred_at"] = "in_transit", minutes_ago(3)

    fresh = tracking.sync()
    Dispatch.objects.update(last_sync_at=timezone.now() - timedelta(hours=2))
    asked = tracking.sync()
    work()

    assert (fresh, asked) == (0, 1)
    assert shown(api, order)["fulfillmentStatus"] == "in_transit"
    Dispatch.objects.update(last_sync_at=None)
    nawa.misbehave("wrong", 9)
    tracking.sync()
    work()
    assert shown(api, order)["fulfillmentStatus"] == "in_transit"


def test_events_wait_for_no_company(api, store, nawa, link):
    order = an_order(api, store)
    api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"})
    before = len(nawa.calls)

    outbox.drain()
    tracking.sync()
    dispatching.ask_again()

    assert len(nawa.calls) == before


def test_a_company_that_was_down_for_long_is_asked_again_after_an_hour(api, store, nawa, link):
    order = an_order(api, store)
    nawa.misbehave("fail", 999)
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()
    for _ in range(background.MAX_ATTEMPTS):
        nawa_client.breaker.reset()
        make_due()
        work()
    waiting = api.get(f"/dispatches/{made['id']}").json()

    nawa.faults.clear()
    nawa_client.breaker.reset()
    too_early = dispatching.ask_again()
    Dispatch.objects.update(asked_at=timezone.now() - timedelta(hours=2))
    asked = dispatching.ask_again()
    work()

    assert (waiting["state"], waiting["error"]) == ("requested", "No answer: Nawa answered 500.")
    assert (too_early, asked) == (0, 1)
    now = api.get(f"/dispatches/{made['id']}").json()
    assert (now["state"], now["error"]) == ("accepted", "")


def test_a_parcel_that_was_taken_back_and_never_taken_is_not_asked_for_again(
    api, store, nawa, link
):
    order = an_order(api, store)
    nawa.misbehave("fail", 3)
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()
    work()
    api.post(f"/dispatches/{made['id']}/cancel")
    nawa.misbehave("refuse")
    make_due()
    work()

    Dispatch.objects.exclude(asked_at=None).update(asked_at=timezone.now() - timedelta(hours=2))

    assert dispatching.ask_again() == 0
    assert Dispatch.objects.get().state == "cancelled"


def test_a_report_of_an_unknown_parcel_belongs_to_nobody(db):
    report = Report("x", "delivered", timezone.now())

    assert tracking.report("01890000-0000-7000-8000-000000000000", report) is None


# Settlement

KNOWN = Known(
    id=None,
    status="delivered",
    remittance_status="with_courier",
    carried_here=True,
    with_courier=Decimal(25_000),
    settled_before=False,
)


def changed(**values):
    from dataclasses import replace

    return replace(KNOWN, **values)


@pytest.mark.parametrize(
    ("kind", "collected", "fee", "net", "known", "found"),
    [
        ("delivered", 25_000, 3_000, 22_000, KNOWN, []),
        ("delivered", 25_000, 3_000, 22_000, None, ["unknown_order"]),
        ("delivered", 20_000, 3_000, 17_000, KNOWN, ["amount_short"]),
        ("delivered", 26_000, 3_000, 23_000, KNOWN, ["amount_over"]),
        ("delivered", 25_000, 3_000, 21_000, KNOWN, ["fee_mismatch"]),
        ("delivered", 25_000, 4_000, 21_000, KNOWN, ["fee_mismatch"]),
        ("delivered", 25_000, 3_000, 22_000, changed(status="shipped"), ["not_delivered_here"]),
        ("delivered", 25_000, 3_000, 22_000, changed(carried_here=False), ["not_delivered_here"]),
        ("delivered", 25_000, 3_000, 22_000, changed(settled_before=True), ["already_settled"]),
        ("delivered", 25_000, 3_000, 22_000, changed(returned_before=True), []),
        (
            "returned", 0, 3_000, -3_000,
            changed(status="returned", with_courier=Decimal(0), returned_before=True),
            ["already_settled"],
        ),
        (
            "returned", 0, 3_000, -3_000,
            changed(status="returned", with_courier=Decimal(0), settled_before=True), [],
        ),
        (
            "delivered", 25_000, 3_000, 22_000, changed(remittance_status="remitted"),
            ["already_settled"],
        ),
        ("returned", 0, 3_000, -3_000, KNOWN, ["not_delivered_here"]),
        ("returned", 0, 3_000, -3_000, changed(status="returning", with_courier=Decimal(0)), []),
        (
            "returned", 500, 3_000, -2_500, changed(status="returned", with_courier=Decimal(0)),
            ["amount_over"],
        ),
        ("delivered", 20_000, 1, 9, KNOWN, ["amount_short", "fee_mismatch"]),
    ],
)  # fmt: skip
def test_differences_have_their_class(kind, collected, fee, net, known, found):
    claim = Claim(kind, Decimal(collected), Decimal(fee), Decimal(net))

    assert differences(claim, known, agreed_fee=Decimal(3_000), seen=False) == found


def test_an_order_twice_in_a_settlement_is_settled_once(api, store, nawa, link):
    _, made = delivered(api, store, nawa)
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000", "fee": "3000"}

    lines = a_settlement(api, line, line).json()["lines"]

    assert [one["differences"] for one in lines] == [[], ["already_settled"]]


def test_a_settlement_that_agrees_is_accepted(api, store, nawa, link):
    order, made = delivered(api, store, nawa)
    second, _ = delivered(api, store, nawa)
    lines = [
        {"trackingNumber": made["trackingNumber"], "collected": "25000", "fee": "3000"},
        {"orderId": second["id"], "collected": 25000, "fee": 3000, "net": 22000},
    ]

    matched = a_settlement(api, *lines, declaredTotal="44000").json()
    before = api.get("/settlements/balances").json()["items"]
    accepted = api.post(f"/settlements/{matched['id']}/accept").json()
    after = api.get("/settlements/balances").json()["items"]

    assert (matched["state"], matched["netTotal"], matched["differencesCount"]) == (
        "matched", "44000", 0,
    )  # fmt: skip
    assert [one["expected"] for one in matched["lines"]] == ["25000", "25000"]
    assert accepted["state"] == "accepted"
    assert all(one["isAccepted"] for one in accepted["lines"])
    now = shown(api, order)
    assert (now["remittanceStatus"], now["deliveryCost"]) == ("remitted", "3000")
    assert now["remittedAt"]
    assert [one["withCourier"] for one in before + after] == ["50000", "0"]
    assert OutboxEvent.objects.filter(type="payment.remitted").count() == 2
    again = api.post(f"/settlements/{matched['id']}/accept")
    assert (again.status_code, again.json()["code"]) == (409, "settlement_accepted")
    assert api.delete(f"/settlements/{matched['id']}").status_code == 409
    doctor()


def test_figures_follow_the_fee_of_a_settlement(api, store, nawa, link):
    _, made = delivered(api, store, nawa)
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000", "fee": "3000"}
    settled = a_settlement(api, line).json()

    api.post(f"/settlements/{settled['id']}/accept")

    days = DayFigure.objects.filter(store=store)
    assert sum(day.delivery_cost for day in days) == 3000
    assert sum(day.cash_remitted for day in days) == 25_000


@pytest.mark.parametrize("paid_by", ["prepaid", "card", "a card before the door"])
def test_a_settled_parcel_without_cash_costs_its_fee_only(api, store, nawa, link, paid_by):
    method = "cod" if paid_by == "a card before the door" else paid_by
    order, made = dispatched(api, store, payment_method=method)
    if method == "cod":
        api.post(f"/orders/{order['id']}/payments", {"amount": order["total"], "method": "card"})
    tell(nawa, made, "delivered")
    line = {"trackingNumber": made["trackingNumber"], "collected": "0", "fee": "3000"}
    settled = a_settlement(api, line, declaredTotal="-3000").json()

    accepted = api.post(f"/settlements/{settled['id']}/accept")
    again = a_settlement(api, line).json()

    assert accepted.status_code == 200, accepted.content
    now = shown(api, order)
    assert (now["remittanceStatus"], now["remittedAt"]) == ("not_applicable", None)
    assert now["deliveryCost"] == "3000"
    assert again["lines"][0]["differences"] == ["already_settled"]
    doctor()


def test_cash_that_was_booked_by_hand_is_not_with_the_courier(api, store, nawa, link):
    order, made = dispatched(api, store)
    api.post(f"/orders/{order['id']}/payments", {"amount": "10000", "method": "cod"})
    tell(nawa, made, "delivered")
    today = datetime.now(ZoneInfo("Asia/Baghdad")).date().isoformat()
    period = {"from": today, "to": today}

    def figures():
        return api.post("/analytics/revenue", period).json()["totals"]

    assert api.get("/settlements/balances").json()["items"][0]["withCourier"] == "15000"
    assert figures()["cashWithCourier"] == "15000"
    line = {"trackingNumber": made["trackingNumber"], "collected": "15000", "fee": "3000"}
    settled = a_settlement(api, line).json()
    api.post(f"/settlements/{settled['id']}/accept")
    assert (figures()["cashWithCourier"], figures()["cashRemitted"]) == ("0", "15000")
    doctor()


def test_an_order_changes_no_more_once_a_company_was_told_of_it(api, store, nawa, link):
    order, made = dispatched(api, store)
    path = f"/orders/{order['id']}"
    items = [{"sku": order["items"][0]["sku"], "quantity": 5}]

    refused = api.put(path, {"items": items, "address": "7 Kindi St."})
    inside = api.put(path, {"internalNotes": "Asked for five"})
    api.post(f"/dispatches/{made['id']}/cancel")
    work()
    taken_back = api.put(path, {"items": items})

    assert (refused.status_code, refused.json()["code"]) == (409, "not_editable")
    assert refused.json()["fields"] == ["address", "items"]
    assert (inside.status_code, taken_back.status_code) == (200, 200)
    assert taken_back.json()["total"] == "55000"


def test_differences_must_be_accepted_by_name(api, store, nawa, link):
    _, short = delivered(api, store, nawa)
    waiting, on_its_way = dispatched(api, store)
    lines = [
        {"trackingNumber": short["trackingNumber"], "collected": "20000", "fee": "3000"},
        {"trackingNumber": on_its_way["trackingNumber"], "collected": "25000"},
        {"trackingNumber": "NW-0", "collected": "25000"},
    ]
    settled = a_settlement(api, *lines).json()
    path = f"/settlements/{settled['id']}/accept"

    refused = api.post(path)
    accepted = api.post(path, {"acceptDifferences": True}).json()

    assert (refused.status_code, refused.json()["code"]) == (409, "settlement_has_differences")
    assert refused.json()["differences"] == {
        "amount_short": 1, "not_delivered_here": 1, "unknown_order": 1,
    }  # fmt: skip
    assert [one["isAccepted"] for one in accepted["lines"]] == [True, False, False]
    (balance,) = api.get("/settlements/balances").json()["items"]
    assert (balance["remitted"], balance["corrections"], balance["withCourier"]) == (
        "20000", "-5000", "0",
    )  # fmt: skip
    assert shown(api, waiting)["remittanceStatus"] == "awaiting_collection"
    day = datetime.now(ZoneInfo("Asia/Baghdad")).date()
    revenue = {"from": day - timedelta(days=1), "to": day + timedelta(days=1)}
    for _ in range(2):
        totals = api.post("/analytics/revenue", revenue).json()["totals"]
        assert [totals[name] for name in ("cashCollected", "cashRemitted", "cashWithCourier")] == [
            "25000", "20000", "0",
        ]  # fmt: skip
        figures.rebuild(store.pk)
    doctor()


def test_matching_again_sees_what_has_arrived_since(api, store, nawa, link):
    _, made = dispatched(api, store)
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000"}
    early = a_settlement(api, line).json()

    tell(nawa, made, "delivered")
    later = api.post(f"/settlements/{early['id']}/match").json()

    assert early["lines"][0]["differences"] == ["not_delivered_here"]
    assert (later["lines"][0]["differences"], later["differencesCount"]) == ([], 0)


def test_orders_delivered_long_ago_are_missed(api, store, nawa, link):
    old, _ = delivered(api, store, nawa)
    _, made = delivered(api, store, nawa)
    Order.objects.filter(pk=old["id"]).update(delivered_at=timezone.now() - timedelta(days=9))
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000"}

    settled = a_settlement(api, line, date=timezone.now().date().isoformat()).json()

    assert [(one["orderId"], one["amount"]) for one in settled["missing"]] == [(old["id"], "25000")]
    assert settled["differencesCount"] == 1


def test_a_returned_parcel_costs_its_fee_only(api, store, nawa, link):
    order, made = dispatched(api, store)
    tell(nawa, made, "returned", reason="refused")
    line = {
        "trackingNumber": made["trackingNumber"], "kind": "returned", "collected": "0",
        "fee": "2000",
    }  # fmt: skip
    settled = a_settlement(api, line).json()

    accepted = api.post(f"/settlements/{settled['id']}/accept").json()

    assert accepted["netTotal"] == "-2000"
    now = shown(api, order)
    assert (now["deliveryCost"], now["remittanceStatus"]) == ("2000", "awaiting_collection")
    doctor()


def test_a_parcel_that_came_back_and_went_out_again_still_brings_its_cash(api, store, nawa, link):
    order, made = dispatched(api, store)
    tell(nawa, made, "returning", at=minutes_ago(30), reason="no_answer")
    back = {
        "trackingNumber": made["trackingNumber"], "kind": "returned", "collected": "0",
        "fee": "2000",
    }  # fmt: skip
    first = a_settlement(api, back).json()
    api.post(f"/settlements/{first['id']}/accept")
    tell(nawa, made, "out_for_delivery", at=minutes_ago(20))
    tell(nawa, made, "delivered", at=minutes_ago(10))
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000", "fee": "3000"}

    second = a_settlement(api, line).json()
    accepted = api.post(f"/settlements/{second['id']}/accept")

    assert accepted.status_code == 200, accepted.content
    now = shown(api, order)
    assert (now["remittanceStatus"], now["deliveryCost"]) == ("remitted", "5000")
    assert api.get("/settlements/balances").json()["items"][0]["withCourier"] == "0"
    doctor()


def test_a_reference_is_used_once_for_a_company(api, store, nawa, link):
    line = {"trackingNumber": "NW-1", "collected": "1"}

    first = a_settlement(api, line, reference="A")
    again = a_settlement(api, line, reference="A")
    gone = api.delete(f"/settlements/{first.json()['id']}")

    assert (again.status_code, again.json()["code"]) == (409, "duplicate_reference")
    assert gone.status_code == 204
    assert not SettlementLine.objects.exists()
    assert a_settlement(api, line, slug="boxy").status_code == 409


def form(client, path, content, **fields):
    """A file with fields, as a browser's form sends it."""
    edge = "edge-of-the-form"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="st.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    ).encode()
    body = b"".join([*parts, head, content, f"\r\n--{edge}--\r\n".encode()])
    kind = f"multipart/form-data; boundary={edge}"
    return client.request("post", path, body, Content_Type=kind)


HEAD = {
    "deliveryCompanySlug": "nawa", "reference": "CSV-1", "date": "2026-11-24",
    "declaredTotal": "22000",
}  # fmt: skip


def test_a_settlement_is_uploaded_as_csv(api, store, nawa, link):
    order, made = delivered(api, store, nawa)
    content = (
        f"\ufeffTracking Number;Order;COD;Fee;Net;Kind\r\n"
        f"{made['trackingNumber']};{order['number']};25000;3000;22000;delivered\r\n\r\n"
    ).encode()

    answer = form(api, "/settlements/upload", content, **HEAD)

    assert answer.status_code == 201, answer.content
    settled = answer.json()
    assert (settled["source"], settled["netTotal"], settled["differencesCount"]) == (
        "csv", "22000", 0,
    )  # fmt: skip
    assert settled["lines"][0]["orderId"] == order["id"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"trackingNumber,collected\n", 400),
        (b"a,b\n1,2\n", 400),
        (b"trackingNumber,collected\nNW-1,lots\n", 400),
        (b"trackingNumber,collected\nNW-1,=1+1\n", 400),
        (b"trackingNumber,collected\nNW-1,-5\n", 400),
        (b"trackingNumber,collected\nNW-1,1.5\n", 400),  # no such coin
        (b"trackingNumber,collected,COD\nNW-1,5,6\n", 400),
        (b"trackingNumber,collected\n,5\n", 400),
        (b"trackingNumber,collected\nNW-1," + b"9" * 140_000 + b"\n", 400),
        (b"\xff\xfe\x00", 415),
        (b"trackingNumber,collected\nNW-1\0,5\n", 415),
        (b"trackingNumber,collected\n" + b"NW-1,5\n" * 5001, 400),
    ],
)
def test_a_file_that_is_no_settlement_is_refused(api, store, nawa, link, content, status):
    answer = form(api, "/settlements/upload", content, **HEAD)

    assert answer.status_code == status, answer.content
    assert not Settlement.objects.exists()


def test_settlements_are_the_owners_unless_granted(store, nawa):
    staff = client_of(store, a_member(store))
    reader = client_of(store, a_member(store, grants=["settlements.read"]))

    assert staff.get("/settlements").status_code == 403
    assert reader.get("/settlements").status_code == 200
    refused = reader.post("/settlements", {})
    assert refused.json()["requiredPermission"] == "settlements.accept"


def test_another_stores_parcels_and_cash_do_not_exist(api, store, nawa, link):
    order, made = delivered(api, store, nawa)
    other = a_store()
    stranger = client_of(other)
    stranger.post(LINKS, LOGIN | {"deliveryCompanySlug": "nawa"})
    lines = [
        {"trackingNumber": made["trackingNumber"], "collected": "25000"},
        {"orderId": order["id"], "collected": "25000"},
    ]

    theirs = a_settlement(stranger, *lines).json()
    taken = stranger.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"})

    assert [one["differences"] for one in theirs["lines"]] == [["unknown_order"]] * 2
    assert taken.status_code == 400
    assert stranger.get("/settlements/balances").json()["items"] == []


def test_the_doctor_finds_cash_that_went_astray(api, store, nawa, link):
    order, _ = delivered(api, store, nawa)
    doctor()
    Order.objects.filter(pk=order["id"]).update(remittance_status="remitted")

    out = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", stdout=out)

    assert "C1 a courier's order is remitted by one accepted line: 1 broken" in out.getvalue()
    assert "C2 a courier's cash is what it collected and did not bring: 1 broken" in out.getvalue()
    assert CashEntry.objects.count() == 1


def test_the_doctor_sees_every_way_to_falsify_the_cash(api, store, nawa, link):
    """Each change by hand breaks C1 or C2, and nothing else puts it right."""
    _, waiting = delivered(api, store, nawa)
    _, made = delivered(api, store, nawa)
    line = {"trackingNumber": made["trackingNumber"], "collected": "25000", "fee": "3000"}
    settled = a_settlement(api, line).json()
    api.post(f"/settlements/{settled['id']}/accept")
    doctor()
    boxy = DeliveryCompany.objects.get(slug="boxy").pk
    with_courier = {"order__dispatches__id": waiting["id"]}
    remitted = CashEntry.objects.filter(kind="remitted")
    collected = CashEntry.objects.filter(kind="collected", **with_courier)

    falsifications = {
        "less was collected": lambda: collected.update(amount=20_000),
        "another company has it": lambda: collected.update(company=boxy),
        "another store has it": lambda: collected.update(store=a_store()),
        "nothing was collected": lambda: collected.delete(),
        "more was brought": lambda: remitted.update(amount=-26_000),
        "another brought it": lambda: CashEntry.objects.exclude(
            order__dispatches__id=waiting["id"]
        ).update(company=boxy),
        "brought without a settlement": lambda: remitted.update(line=None),
        "the line is not accepted": lambda: SettlementLine.objects.update(is_accepted=False),
        "the line is another's": lambda: SettlementLine.objects.update(
            order=Order.objects.get(dispatches__id=waiting["id"])
        ),
        "it is still with the courier": lambda: Order.objects.filter(
            remittance_status="remitted"
        ).update(remittance_status="with_courier"),
        "cash nobody collected": lambda: CashEntry.objects.create(
            store=store, company_id=boxy, order=collected.get().order, kind="correction", amount=1
        ),
    }
    unseen = []
    for name, falsify in falsifications.items():
        with suppress(Undo), transaction.atomic():
            falsify()
            try:
                doctor()
            except CommandError:
                pass
            else:
                unseen.append(name)
            raise Undo
    doctor()

    assert unseen == []


class Undo(Exception):
    """Rolls a falsification back."""


# The whole way


def test_an_order_goes_from_the_storefront_to_its_cash(api, key, store, nawa, link, settings):
    settings.OTP_PROVIDERS = ["nawa"]
    product = a_product(store, price=10_000)

    key.post("/orders/send-otp", {"phone": PHONE})
    code = nawa.codes[-1]["code"]
    customer = {"name": "Sara", "primaryPhone": PHONE}
    body = an_order_body(store, (product, 2), customer=customer) | {"otpCode": code}
    placed = key.post("/orders/storefront", body)
    assert placed.status_code == 201, placed.content
    order = placed.json()
    api.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})
    made = api.post("/dispatches", {"orderId": order["id"], "deliveryCompanySlug": "nawa"}).json()
    work()
    for status, minutes in [("in_transit", 30), ("picked_up", 40), ("delivered", 5)]:
        tell(nawa, made, status, at=minutes_ago(minutes), times=2)
    arrived = shown(api, order)
    number = arrived["trackingNumber"]
    line = {"trackingNumber": number, "collected": "25000", "fee": "3000"}
    settled = a_settlement(api, line, declaredTotal="22000").json()
    api.post(f"/settlements/{settled['id']}/accept")

    assert (order["otpVerified"], order["channel"]) == (True, "storefront")
    assert (arrived["status"], arrived["remittanceStatus"]) == ("delivered", "with_courier")
    done = shown(api, order)
    assert (done["remittanceStatus"], done["paymentStatus"]) == ("remitted", "paid")
    assert done["deliveryCost"] == "3000"
    doctor()
