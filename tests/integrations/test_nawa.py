"""Nawa: signed events in, codes, messages and shipments out (platform.md, section 11)."""

import json
import time
from contextlib import suppress
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from integrations.nawa import client as nawa_client
from integrations.nawa import webhooks
from integrations.nawa.messages import queue_message
from integrations.nawa.models import InboundEvent, OutgoingMessage, ProviderAlert
from integrations.otp.models import OtpChallenge
from storeplatform.kernel import outbox
from storeplatform.kernel.providers import Breaker, Paused, Refused, Uncertain, Unreachable
from storeplatform.kernel.providers import reference_of as reference
from tests.clients import ApiClient, anonymous
from tests.factories import a_customer, a_user
from tests.fakes import API_KEY, SECRET, FakeNawa, sign
from tests.worker import make_due, work

PATH = "/api/v1/integrations/nawa/webhooks"
PHONE = "+9647701234567"
BODY = (
    b'{"id":"evt_test_1","type":"shipment.status_changed","created_at":"2026-01-01T00:00:00Z",'
    b'"data":{"reference":"shp_1","status":"delivered"}}'
)


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


def send(body, headers):
    return ApiClient("").request("post", PATH, body, **headers)


def told(nawa, kind, data, **values):
    body = nawa.event(kind, data, **values)
    return send(body, nawa.headers(body))


# The signature


def test_the_vector_of_the_specification_holds():
    wanted = "6e6e0f68b575dd346fd3f5596d987fe680e008ef3788f9eaa6d6a898f7aa0608"

    assert webhooks.signature("nawa_wh_test_0123456789abcdef", "1767225600", BODY) == wanted
    assert sign("nawa_wh_test_0123456789abcdef", "1767225600", BODY) == wanted


def test_a_signed_event_is_stored_before_it_is_answered(db, nawa):
    first = send(BODY, nawa.headers(BODY))
    again = send(BODY, nawa.headers(BODY))

    assert (first.status_code, first.json()) == (200, {"received": True})
    assert again.json() == {"received": True, "duplicate": True}
    event = InboundEvent.objects.get()
    assert (event.provider, event.event_id, event.status) == ("nawa", "evt_test_1", "pending")


@pytest.mark.parametrize("seconds", [-301, -4000, 301, 10**9])
def test_a_stale_or_future_timestamp_is_refused(db, nawa, seconds):
    answer = send(BODY, nawa.headers(BODY, at=time.time() + seconds))

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: headers.pop("X-NAWA-Signature"),
        lambda headers: headers.pop("X-NAWA-Timestamp"),
        lambda headers: headers.update({"X-NAWA-Timestamp": "soon"}),
        lambda headers: headers.update({"X-NAWA-Timestamp": headers["X-NAWA-Timestamp"] + ".0"}),
        lambda headers: headers.update({"X-NAWA-Timestamp": "٣"}),
        lambda headers: headers.update({"X-NAWA-Signature": headers["X-NAWA-Signature"].upper()}),
        lambda headers: headers.update({"X-NAWA-Signature": "0" * 64}),
        lambda headers: headers.update({"X-NAWA-Signature": "é"}),
    ],
)
def test_what_is_not_signed_is_refused_and_not_kept(db, nawa, change):
    headers = nawa.headers(BODY)
    change(headers)

    answer = send(BODY, headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
    assert answer["WWW-Authenticate"]
    assert not InboundEvent.objects.exists()


def test_a_changed_byte_breaks_the_signature(db, nawa):
    assert send(BODY.replace(b"shp_1", b"shp_2"), nawa.headers(BODY)).status_code == 401


def test_without_a_secret_nothing_is_taken(db, nawa, settings):
    settings.NAWA_WEBHOOK_SECRETS = []

    assert send(BODY, nawa.headers(BODY)).status_code == 401


def test_the_previous_secret_holds_while_it_is_set(db, nawa, settings):
    settings.NAWA_WEBHOOK_SECRETS = ["nawa_wh_new_0123456789abcdef", SECRET]
    during = send(BODY, nawa.headers(BODY))
    settings.NAWA_WEBHOOK_SECRETS = ["nawa_wh_new_0123456789abcdef"]
    after = send(BODY, nawa.headers(BODY))

    assert (during.status_code, after.status_code) == (200, 401)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"id":"a","id":"b"}', 400),
        (b'{"id":"a","type":"x","created_at":"2026-01-01T00:00:00Z"}', 400),
        (b'{"id":"a","type":"x","created_at":"yesterday","data":{}}', 400),
        (b'{"id":"a","type":"x","created_at":"2026-01-01T00:00:00Z","data":7}', 400),
        (b'{"id":"a","type":"x","created_at":"2026-01-01T00:00:00Z","data":{"n":1.5}}', 200),
        (b" " * (256 * 1024 + 1), 413),
    ],
)
def test_a_genuine_event_must_be_an_event(db, nawa, body, status):
    assert send(body, nawa.headers(body)).status_code == status


def test_the_route_reads_no_other_credential_and_no_other_method(db, api, key, nawa):
    assert api.post(PATH, {}).status_code == 401
    assert key.post(PATH, {}).status_code == 401
    assert ApiClient("").get(PATH).status_code == 405


def test_the_old_provider_has_no_route(db):
    name = "flow" + "app"
    for path in (f"/api/v1/integrations/{name}/webhooks", f"/api/v1/{name}/webhooks"):
        assert ApiClient("").post(path).status_code == 404


# The worker


def test_types_that_are_not_known_are_kept_and_ignored(db, nawa):
    answer = told(nawa, "wallet.opened", {"x": 1})

    assert answer.status_code == 200
    assert webhooks.process_due() == 0
    assert InboundEvent.objects.get().status == "ignored"


@pytest.mark.parametrize("kind", ["shipment.status_changed", "message.status", "otp.status"])
def test_what_is_not_ours_is_unmatched(db, nawa, kind):
    for name in ("shp_1", f"shp_{uuid4().hex}", f"msg_{uuid4().hex}", f"otp_{uuid4().hex}"):
        told(nawa, kind, {"reference": name, "status": "delivered"})

    webhooks.process_due()

    assert set(InboundEvent.objects.values_list("status", flat=True)) == {"unmatched"}


def test_data_that_makes_no_sense_is_dead_at_once(db, nawa):
    told(nawa, "shipment.status_changed", {"reference": 7})

    webhooks.process_due()

    event = InboundEvent.objects.get()
    assert (event.status, event.attempts) == ("dead", 1)
    assert "reference" in event.last_error


def test_a_failing_event_dies_after_ten_tries_and_is_run_again(db, nawa, monkeypatch):
    told(nawa, "credits.low", {"left": 10})
    event = InboundEvent.objects.get()

    def broken(_):
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch:
        patch.setitem(webhooks.HANDLERS, "credits.low", broken)
        tries = 0
        while webhooks.process_due():
            tries += 1
            waiting = InboundEvent.objects.get()
            if waiting.status == "pending":
                assert waiting.due_at > timezone.now()
                InboundEvent.objects.update(due_at=timezone.now())
    event.refresh_from_db()
    dead = (event.status, event.attempts, event.last_error)
    out = StringIO()
    call_command("rerun_inbound", event.event_id, stdout=out)
    webhooks.process_due()

    assert tries == 10
    assert dead == ("dead", 10, "out of order")
    assert "1 events wait" in out.getvalue()
    event.refresh_from_db()
    assert event.status == "done"
    assert ProviderAlert.objects.get().kind == "credits.low"
    with pytest.raises(CommandError):
        call_command("rerun_inbound", "evt_unknown")


def test_dead_events_are_run_again_from_the_desk(db, nawa):
    told(nawa, "credits.low", {})
    InboundEvent.objects.update(status="dead", attempts=10)
    desk = Client()
    desk.force_login(
        a_user(is_staff=True, is_superuser=True),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    chosen = {"action": "run_again", "_selected_action": [str(InboundEvent.objects.get().pk)]}

    page = desk.get("/admin/nawa/inboundevent/")
    done = desk.post("/admin/nawa/inboundevent/", chosen)

    assert page.status_code == 200
    assert done.status_code == 302
    assert InboundEvent.objects.get().status == "pending"


def test_a_worker_that_died_gives_its_events_back(db, nawa):
    told(nawa, "credits.low", {})

    taken = webhooks.claim()
    meanwhile = webhooks.process_due()
    InboundEvent.objects.update(due_at=timezone.now())
    later = webhooks.process_due()

    assert (len(taken), meanwhile, later) == (1, 0, 1)


def test_an_event_that_kills_its_worker_dies_alone(db, nawa, monkeypatch):
    told(nawa, "credits.low", {})
    told(nawa, "credits.exhausted", {})

    def killed(_):
        raise KeyboardInterrupt  # nothing below runs, as after kill -9

    monkeypatch.setitem(webhooks.HANDLERS, "credits.low", killed)
    for _ in range(15):
        with suppress(KeyboardInterrupt):
            webhooks.process_due()
        InboundEvent.objects.filter(status="pending").update(due_at=timezone.now())

    poison = InboundEvent.objects.get(type="credits.low")
    other = InboundEvent.objects.get(type="credits.exhausted")
    assert (poison.status, poison.attempts) == ("dead", 10)
    assert poison.last_error == "The worker ended in the middle."
    assert (other.status, other.attempts) == ("done", 2)
    assert webhooks.run_again(InboundEvent.objects.all()) == 1


def test_a_worker_that_was_too_slow_undoes_nothing(db, nawa):
    told(nawa, "credits.low", {})
    (slow,) = webhooks.claim()
    InboundEvent.objects.update(due_at=timezone.now())
    webhooks.process_due()

    slow.attempts = webhooks.MAX_ATTEMPTS
    webhooks.put_back(slow, RuntimeError("too late"))

    event = InboundEvent.objects.get()
    assert (event.status, event.last_error) == ("done", "")


def test_exhausted_credits_pause_codes_until_an_operator_has_seen_to_it(
    db, nawa, key, store, settings
):
    settings.OTP_PROVIDERS = ["nawa"]
    told(nawa, "credits.exhausted", {})
    webhooks.process_due()

    paused = key.post("/orders/send-otp", {"phone": PHONE})
    ProviderAlert.objects.update(resolved_at=timezone.now())
    again = key.post("/orders/send-otp", {"phone": PHONE})

    assert (paused.status_code, paused.json()["code"]) == (503, "unavailable")
    assert paused["Retry-After"]
    assert again.status_code == 200


# One-time codes


def test_a_code_goes_out_by_nawa_and_its_way_is_told(db, nawa, key, settings):
    settings.OTP_PROVIDERS = ["nawa"]

    sent = key.post("/orders/send-otp", {"phone": PHONE, "locale": "ar"})
    challenge = OtpChallenge.objects.get()
    name = reference("otp", challenge.pk)
    for status in ("delivered", "sent", "failed"):
        told(nawa, "otp.status", {"reference": name, "status": status})
    webhooks.process_due()

    assert (sent.status_code, sent.json()["channel"]) == (200, "whatsapp")
    assert "deliveryStatus" not in sent.json()
    (code,) = nawa.codes
    assert (code["phone"], code["reference"], code["locale"]) == (PHONE, name, "ar")
    challenge.refresh_from_db()
    assert challenge.delivery_status == "delivered"


def test_a_channel_that_refuses_gives_way_to_the_next(db, nawa, key, settings):
    settings.OTP_PROVIDERS = ["nawa"]
    nawa.misbehave("refuse")

    sent = key.post("/orders/send-otp", {"phone": PHONE})

    assert (sent.status_code, sent.json()["channel"]) == (200, "sms")


@pytest.mark.parametrize("fault", ["fail", "refuse", "busy"])
def test_a_code_that_nobody_takes_is_void(db, nawa, key, settings, fault):
    settings.OTP_PROVIDERS = ["nawa"]
    nawa.misbehave(fault, 99)

    answer = key.post("/orders/send-otp", {"phone": PHONE})
    nawa.faults.clear()
    nawa_client.breaker.reset()
    again = key.post("/orders/send-otp", {"phone": PHONE})

    assert (answer.status_code, answer.json()["code"]) == (502, "otp_delivery_failed")
    assert again.status_code == 200  # nothing was counted


@pytest.mark.parametrize("fault", ["slow", "lose", "garbage", "wrong", "huge", "drip", "redirect"])
def test_a_code_that_may_have_gone_out_stays_valid(db, nawa, key, settings, monkeypatch, fault):
    monkeypatch.setattr("integrations.otp.sms.BUDGET_SECONDS", 1.5)
    settings.OTP_PROVIDERS = ["nawa"]
    nawa.misbehave(fault, 99)

    started = time.monotonic()
    answer = key.post("/orders/send-otp", {"phone": PHONE, "channel": "sms"})

    assert time.monotonic() - started < 3
    assert (answer.status_code, answer.json()["deliveryStatus"]) == (200, "unknown")
    challenge = OtpChallenge.objects.get()
    assert (challenge.voided_at, challenge.delivery_status) == (None, "unknown")
    codes = {code["code"] for code in nawa.codes}
    assert len(codes) <= 1


# Messages


def test_a_message_goes_out_once_and_its_status_only_rises(db, nawa, store):
    message = queue_message(store.pk, phone=PHONE, text="Your parcel is near.")
    nawa.misbehave("lose", 3)

    work()  # sent, but the answers are lost
    lost = OutgoingMessage.objects.get().status
    make_due()
    work()
    for status in ("read", "delivered", "failed"):
        told(nawa, "message.status", {"reference": reference("msg", message.pk), "status": status})
    webhooks.process_due()

    assert lost == "queued"
    assert len(nawa.messages) == 1
    assert {key for _, key, _ in nawa.calls} == {str(message.pk)}
    message.refresh_from_db()
    assert (message.status, message.provider_id) == ("read", "msg-1")


def test_a_refused_message_has_failed(db, nawa, store):
    queue_message(store.pk, phone=PHONE, text="Hello")
    nawa.misbehave("refuse")

    work()

    message = OutgoingMessage.objects.get()
    assert (message.status, message.error) == ("failed", "We do not deliver there.")


# Answers from the phone


def came(nawa, text, *, about, **more):
    data = {"reference": about, "message_id": "wa-1", "phone": PHONE, "text": text, **more}
    assert told(nawa, "message.received", data).json() == {"received": True}
    work()
    return InboundEvent.objects.order_by("-id").first()


def test_an_answer_from_the_phone_becomes_a_conversation_that_the_team_answers(
    api, nawa, store, key
):
    customer = a_customer(store, primary_phone=PHONE)
    text = queue_message(store.pk, phone=PHONE, text="Your parcel is near.")
    work()

    for _ in range(2):  # under two ids of events
        event = came(nawa, "When?", about=reference("msg", text.pk), name="Sara")
    (talk,) = api.get("/chat/conversations").json()["items"]
    path = f"/chat/conversations/{talk['id']}/messages"
    api.post(path, {"text": "In an hour."})
    api.post(path, {"text": "He is always late.", "private": True})
    work()
    outbox.OutboxEvent.objects.update(done_at=None, attempts=0, due_at=timezone.now())
    work()
    answer = OutgoingMessage.objects.exclude(pk=text.pk).get()
    told(nawa, "message.status", {"reference": reference("msg", answer.pk), "status": "read"})
    came(nawa, "Thanks", about=reference("msg", answer.pk), message_id="wa-2")

    assert (event.status, event.store_id) == ("done", store.pk)
    assert (talk["visitor"]["name"], talk["visitor"]["phone"]) == ("Sara", PHONE)
    assert talk["customerId"] == str(customer.pk)
    assert [one["text"] for one in nawa.messages] == ["Your parcel is near.", "In an hour."]
    assert nawa.messages[-1] | {"reference": ""} == {
        "reference": "", "phone": PHONE, "text": "In an hour.", "channel": "whatsapp",
    }  # fmt: skip
    said = api.get(path).json()["items"]
    assert {(one["text"], one["direction"]) for one in said} == {
        ("When?", "inbound"), ("In an hour.", "outbound"), ("He is always late.", "outbound"),
        ("Thanks", "inbound"),
    }  # fmt: skip
    assert [one["status"] for one in said if one["text"] == "In an hour."] == ["read"]


def test_an_answer_to_nothing_of_ours_belongs_to_no_store(db, nawa, store):
    event = came(nawa, "Hello", about=reference("msg", uuid4()))

    assert event.status == "unmatched"


def test_a_blocked_visitor_is_not_heard_from_the_phone(api, nawa, store):
    text = queue_message(store.pk, phone=PHONE, text="Hello", channel="sms")
    about = {"about": reference("msg", text.pk), "channel": "sms"}
    came(nawa, "Go away", **about)
    (talk,) = api.get("/chat/conversations").json()["items"]
    api.post(f"/chat/visitors/{talk['visitor']['id']}/block")

    event = came(nawa, "More", message_id="wa-2", **about)

    assert event.status == "done"
    assert api.get(f"/chat/conversations/{talk['id']}").json()["lastSeq"] == 1


def test_widgets_do_not_open_the_channel_of_phones(api, nawa, store):
    text = queue_message(store.pk, phone=PHONE, text="Hello")
    came(nawa, "Hi", about=reference("msg", text.pk))
    (channel,) = api.get("/chat/channels").json()["items"]

    widget = anonymous().get(f"/widget/{channel['publicKey']}/config", Origin="https://a.example")

    assert (channel["kind"], widget.status_code) == ("whatsapp", 404)


# The client


def call(nawa, key="k"):
    body = {"company": "nawa", "username": "a", "password": "b"}
    return nawa_client.call("/v1/accounts", body, AccountAnswer, key=key)


class AccountAnswer(nawa_client.Shape):
    account: str


@pytest.mark.parametrize("fault", ["fail", "busy", "lose", "garbage", "wrong", "huge", "redirect"])
def test_what_fails_in_passing_is_tried_again_under_the_same_key(nawa, fault):
    nawa.misbehave(fault, 2)

    assert call(nawa).account == "nawa:a"
    assert [key for _, key, _ in nawa.calls] == ["k", "k", "k"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("fail", Unreachable), ("busy", Unreachable), ("lose", Uncertain), ("slow", Uncertain),
        ("garbage", Uncertain), ("wrong", Uncertain), ("huge", Uncertain),
        ("redirect", Uncertain),
    ],
)  # fmt: skip
def test_what_keeps_failing_is_given_up(nawa, settings, fault, error):
    settings.NAWA_TIMEOUT_SECONDS = 0.3
    nawa.misbehave(fault, 3)

    with pytest.raises(error):
        call(nawa)

    assert len(nawa.calls) == 3


def test_a_refusal_is_final(nawa):
    nawa.misbehave("refuse")

    with pytest.raises(Refused) as refused:
        call(nawa)

    assert refused.value.code == "not_served"
    assert len(nawa.calls) == 1


def test_a_refusal_after_a_lost_answer_says_nothing_of_the_first_try(nawa):
    nawa.misbehave("lose")
    nawa.misbehave("refuse")

    with pytest.raises(Uncertain):
        call(nawa)

    assert call(nawa).account == "nawa:a"


@pytest.mark.parametrize("status", [408, 425])
def test_a_try_that_is_still_under_way_is_no_refusal(status):
    with pytest.raises(Uncertain):
        nawa_client.read(nawa_client.Answer(status, b"{}", 0.0), AccountAnswer)


def test_a_wrong_key_of_ours_is_nobodys_refusal(nawa, settings):
    settings.NAWA_API_KEY = "former"

    with pytest.raises(Unreachable):
        call(nawa)


def test_a_server_that_is_not_there_is_unreachable(nawa, settings):
    settings.NAWA_BASE_URL = "http://127.0.0.1:9"

    with pytest.raises(Unreachable):
        call(nawa)


def test_a_dripping_answer_ends_in_time(nawa, settings):
    settings.NAWA_TIMEOUT_SECONDS = 0.8
    nawa.misbehave("drip", 3)
    started = time.monotonic()

    with pytest.raises(Uncertain):
        call(nawa)

    assert time.monotonic() - started < 4


def test_the_breaker_spares_a_failing_provider(nawa):
    nawa.misbehave("fail", 99)
    for _ in range(2):
        with pytest.raises(Unreachable):
            call(nawa)
    asked = len(nawa.calls)

    with pytest.raises(Paused):
        call(nawa)

    assert asked == len(nawa.calls) == 5  # then it opened


def test_the_breaker_lets_one_try_after_its_pause():
    clock = [0.0]
    breaker = Breaker(limit=5, pause=30, clock=lambda: clock[0])
    for _ in range(5):
        breaker.check()
        breaker.failed()
    with pytest.raises(Paused):
        breaker.check()
    clock[0] = 30.0

    breaker.check()
    with pytest.raises(Paused):
        breaker.check()
    breaker.succeeded()

    breaker.check()


# By hand


def test_the_fake_tells_what_it_has_and_can_be_made_to_fail(nawa):
    import httpx

    httpx.post(f"{nawa.url}/control/faults", json={"name": "fail", "times": 2})
    state = httpx.get(nawa.url).json()

    assert state["faults"] == {"fail": 2}
    assert json.dumps(state["canMisbehave"])
