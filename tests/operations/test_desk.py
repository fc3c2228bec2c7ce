"""The operators' desk over HTTP: sign-in, first page, deeds and their audit, large tables."""

import re
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.test import Client, TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from integrations.api_keys.models import ApiKey
from integrations.webhooks.models import Delivery, Endpoint
from integrations.webhooks.sealing import sealed
from store_modules.stores.models import Store, User
from storeplatform.kernel import admin as desks
from storeplatform.kernel import outbox
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import AuditEvent, OutboxEvent
from tests.clients import key_client_of
from tests.factories import a_product, a_store, an_order_body

PASSWORD = "a long enough password"


@pytest.fixture
def operator(db):
    return User.objects.create_superuser("op@platform.example", PASSWORD, full_name="Nadia")


def sign_in(browser, code="", password=PASSWORD):
    form = {"username": "op@platform.example", "password": password, "code": code}
    return browser.post("/admin/login/?next=/admin/", form)


@pytest.fixture
def desk(operator):
    browser = Client()
    assert sign_in(browser).status_code == 302
    return browser


def act(desk, path, action, *rows):
    with TestCase.captureOnCommitCallbacks(execute=True):
        answer = desk.post(
            f"/admin/{path}/",
            {"action": action, "_selected_action": [str(row.pk) for row in rows]},
            follow=True,
        )
    assert answer.status_code == 200
    return answer.content.decode()


def current_code(user, drift=0):
    device = TOTPDevice.objects.get(user=user)
    return f"{totp(device.bin_key, device.step, device.t0, device.digits, drift):06}"


def test_guesses_lock_the_account_they_are_made_at_and_no_other(operator):
    other = User.objects.create_superuser("other@platform.example", PASSWORD, full_name="Omar")
    wrong = [sign_in(Client(), code="123456", password="a guess").status_code for _ in range(5)]

    right = sign_in(Client())
    colleague = Client().post("/admin/login/", {"username": other.email, "password": PASSWORD})

    assert wrong == [200, 200, 200, 200, 429]
    assert right.status_code == 429
    assert colleague.status_code == 302
    assert "123456" not in AccessAttempt.objects.get().post_data


# The second factor


def test_a_second_factor_is_set_up_and_asked_for(desk, operator):
    shown = desk.get("/admin/second-factor/").content.decode()
    wrong = desk.post("/admin/second-factor/", {"code": "000000"}).content.decode()
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    codes = desk.post("/admin/second-factor/", {"code": current_code(operator)}).content.decode()

    assert "<svg" in shown
    assert TOTPDevice.objects.get().bin_key  # the key is shown for those who cannot scan
    assert "This code is wrong" in wrong
    assert codes.count("<li>") >= 10
    assert desk.get("/admin/").status_code == 200
    TOTPDevice.objects.update(last_t=-1)
    for code, status in (("", 200), ("123456", 200)):
        assert sign_in(Client(), code).status_code == status
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    other = Client()
    assert sign_in(other, current_code(operator)).status_code == 302
    assert other.get("/admin/").status_code == 200
    assert AuditEvent.objects.filter(action="admin.second_factor_set_up").count() == 1
    assert AuditEvent.objects.filter(action="admin.second_factor_failed").count() == 2


def test_a_code_is_good_once_and_a_recovery_code_too(desk, operator):
    desk.get("/admin/second-factor/")
    code = current_code(operator)
    shown = desk.post("/admin/second-factor/", {"code": code})
    recovery = shown.context["codes"][0]

    used = sign_in(Client(), code)
    rested = {"throttling_failure_count": 0, "throttling_failure_timestamp": None}
    StaticDevice.objects.update(**rested)  # a wrong code makes the next one wait
    by_recovery = sign_in(Client(), recovery)
    again = sign_in(Client(), recovery)

    assert used.status_code == 200  # it confirmed the set-up a moment ago
    assert by_recovery.status_code == 302
    assert again.status_code == 200


def test_a_server_that_asks_for_it_lets_nobody_past_the_set_up(desk, operator, settings):
    settings.ADMIN_SECOND_FACTOR = "required"

    led = desk.get("/admin/orders/order/")
    page = desk.get("/admin/second-factor/")
    desk.post("/admin/second-factor/", {"code": current_code(operator)})
    after = desk.get("/admin/orders/order/")

    assert (led.status_code, led["Location"]) == (302, "/admin/second-factor/")
    assert page.status_code == 200
    assert after.status_code == 200


def test_an_older_session_needs_the_code_once_there_is_one(desk, operator):
    other = Client()
    sign_in(other)
    desk.get("/admin/second-factor/")
    desk.post("/admin/second-factor/", {"code": current_code(operator)})

    assert other.get("/admin/").status_code == 302
    assert other.get("/admin/second-factor/").status_code == 302


def test_a_lost_phone_is_mended_by_a_command(desk, operator, capsys):
    desk.get("/admin/second-factor/")
    desk.post("/admin/second-factor/", {"code": current_code(operator)})

    call_command("reset_second_factor", "OP@platform.example")

    assert sign_in(Client()).status_code == 302
    assert AuditEvent.objects.filter(
        action="admin.second_factor_removed", actor_label="command line"
    ).exists()


def test_the_page_is_for_operators_only(db):
    User.objects.create_user("op@platform.example", PASSWORD, full_name="Nobody")
    stranger = Client()

    assert stranger.get("/admin/second-factor/").status_code == 302
    assert sign_in(stranger).status_code == 200
    assert stranger.get("/admin/second-factor/").status_code == 302
    assert not TOTPDevice.objects.exists()


def test_browsers_tell_the_desk_where_its_forms_come_from(operator):
    """Under no-referrer they would send `Origin: null`, and no form would pass the CSRF check."""
    page = Client().get("/admin/login/")
    answer = Client().get("/api/v1/store/orders")

    assert page["Referrer-Policy"] == "same-origin"
    assert answer["Referrer-Policy"] == "no-referrer"


# The first page


def test_the_first_page_tells_how_things_stand(desk, store):
    key = key_client_of(store)
    made = key.post("/orders", an_order_body(store, (a_product(store), 1)))
    assert made.status_code == 201, made.content
    OutboxEvent.objects.create(
        store_id=store.pk, type="x", subject_id=uuid7(), attempts=outbox.MAX_ATTEMPTS
    )
    an_endpoint(store, failing_since=timezone.now())

    cards = {card.title: card for card in desk.get("/admin/").context["cards"]}

    assert cards["Orders today"].value == "1"
    assert (cards["Events stuck"].value, cards["Events stuck"].is_bad) == ("1", True)
    assert (cards["Webhooks failing"].value, cards["Webhooks failing"].is_bad) == ("1", True)
    assert cards["Codes verified"].value == "–"
    assert cards["Hub connections"].value.isdigit()
    for card in cards.values():
        assert desk.get(card.link).status_code == 200, card.title


def an_endpoint(store, **values):
    made = Endpoint(store=store, url="https://shop.example/hook", events=["*"], **values)
    made.secret = sealed(made, b"x" * 32)
    made.save(force_insert=True)
    return made


# Deeds


def test_a_store_is_suspended_and_trades_again(desk, store):
    key = key_client_of(store)

    act(desk, "stores/store", "suspend", store)
    refused = key.get("/whoami")
    act(desk, "stores/store", "resume", store)

    assert refused.status_code in (200, 403)  # up to five seconds old
    assert Store.objects.get(pk=store.pk).status == "active"
    rows = AuditEvent.objects.filter(store_id=store.pk, actor_label="operator Nadia")
    assert list(rows.order_by("id").values_list("action", flat=True)) == [
        "store.suspended",
        "store.resumed",
    ]


def test_keys_are_revoked(desk, store):
    key_client_of(store)
    row = ApiKey.objects.get(store=store)

    act(desk, "api_keys/apikey", "revoke", row)

    row.refresh_from_db()
    assert row.revoked_at
    told = AuditEvent.objects.get(action="api_key.revoked")
    assert (told.actor_label, told.store_id) == ("operator Nadia", store.pk)


def test_webhooks_and_dead_letters_are_sent_again(desk, store):
    delivery = Delivery.objects.create(
        store=store, endpoint=an_endpoint(store), event_id=uuid7(), event="order.created",
        body="{}", status="failed",
    )  # fmt: skip
    dead = OutboxEvent.objects.create(
        store_id=store.pk, type="x", subject_id=uuid7(), attempts=outbox.MAX_ATTEMPTS
    )

    act(desk, "webhooks/delivery", "send_again", delivery)
    act(desk, "kernel/outboxevent", "run_again", dead)

    delivery.refresh_from_db()
    dead.refresh_from_db()
    assert delivery.status == "pending"
    assert dead.attempts == 0
    for action in ("admin.delivery_sent_again", "admin.outboxevent_run_again"):
        row = AuditEvent.objects.get(action=action)
        assert row.actor_label == "operator Nadia"
        assert len(row.changes["ids"]) == 1


# Large tables

SMALL = {"Province", "CourierAreaMap", "CourierStatus", "DeliveryCompany"}  # reference data


def indexed_first(model):
    """Columns that an index or unique constraint begins with."""
    for field in model._meta.concrete_fields:
        if field.primary_key or field.unique or field.db_index:
            yield field.attname
    for index in [*model._meta.indexes, *model._meta.constraints]:
        names = getattr(index, "fields", ())
        if names:
            yield model._meta.get_field(names[0].removeprefix("-")).attname
        for expression in getattr(index, "expressions", ()):
            yield from re.findall(r"F\((\w+)\)", repr(expression))


def desks_with_search():
    own = {desks.ReadMostly}
    return [one for one in admin.site._registry.values() if own & set(type(one).__mro__)]


def test_every_model_of_the_desk_is_read_mostly():
    others = {model.__name__ for model in admin.site._registry} - {
        one.model.__name__ for one in desks_with_search()
    }

    assert others <= {"AccessAttempt", "AccessFailureLog", "AccessLog", "DBTaskResult"}, others


@pytest.mark.parametrize("name", [one.model._meta.label for one in desks_with_search()])
def test_every_search_has_an_index(name):
    (one,) = [found for found in desks_with_search() if found.model._meta.label == name]
    if one.model.__name__ in SMALL or "get_search_results" in type(one).__dict__:
        return
    for path in one.search_fields:
        *way, _ = path.split("__")
        model = one.model
        for step in way:
            model = model._meta.get_field(step).related_model
        column = desks.field_at(one.model, path).attname
        assert column in set(indexed_first(model)), f"{name}: no index begins with {path}"


def test_lists_of_large_tables_are_not_counted(desk, store, monkeypatch):
    monkeypatch.setattr(desks, "MANY", -1)

    for path in ("orders/order", "customers/customer", "kernel/outboxevent", "webhooks/delivery"):
        with CaptureQueriesContext(connection) as seen:
            assert desk.get(f"/admin/{path}/").status_code == 200
            assert desk.get(f"/admin/{path}/?q=0770").status_code == 200
        counted = [one["sql"] for one in seen if "COUNT(" in one["sql"]]
        assert not [sql for sql in counted if "EXPLAIN" not in sql], path


def test_people_are_found_by_what_is_typed(desk, store):
    User.objects.create_user("sara@shop.example", None, full_name="Sara", phone="+9647701234567")

    for term in ("sara@shop.example", "SARA@shop.example ", "0770 123 4567", "٠٧٧٠١٢٣٤٥٦٧"):
        shown = desk.get("/admin/stores/user/", {"q": term}).content.decode()
        assert "sara@shop.example" in shown, term
    assert "sara@" not in desk.get("/admin/stores/user/", {"q": "nobody"}).content.decode()


@pytest.mark.parametrize("one", desks_with_search(), ids=lambda one: one.model._meta.label)
def test_every_list_and_its_search_open(desk, one):
    path = f"/admin/{one.model._meta.app_label}/{one.model._meta.model_name}/"

    for query in ("", "?q=0770", "?q=01890000-0000-7000-8000-000000000000", "?q=%D8%A3"):
        assert desk.get(path + query).status_code == 200, query


def test_orders_of_yesterday_are_compared_up_to_the_same_time(desk):
    a_store()
    (card,) = [c for c in desk.get("/admin/").context["cards"] if c.title == "Orders today"]

    assert "yesterday by this time" in card.note
    assert timezone.now() - timedelta(days=1) < timezone.now()


def test_who_guesses_locks_out_itself_and_not_the_operator(operator, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    stranger = Client(headers={"X-Forwarded-For": "203.0.113.66"})

    guessed = [sign_in(stranger, password="a guess").status_code for _ in range(5)]
    found = sign_in(stranger)
    own = sign_in(Client(headers={"X-Forwarded-For": "198.51.100.7"}))

    assert guessed == [200, 200, 200, 200, 429]
    assert found.status_code == 429  # the right password comes too late
    assert own.status_code == 302
