"""The operators' desk in a real browser: the second factor, and a store that is suspended."""

import os
from pathlib import Path

import pytest
from django.db import connection
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from store_modules.stores.models import Store, User
from storeplatform.kernel.models import AuditEvent
from tests.browser import Browser
from tests.factories import a_store
from tests.servers import RunningServer

PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def server():
    running = RunningServer(2, ADMIN_SECOND_FACTOR="required")
    yield f"http://localhost:{running.port}"
    running.stop()


@pytest.fixture
def browser():
    running = Browser()
    yield running
    running.stop()


@pytest.fixture
def operator(parallel):
    return User.objects.create_superuser("op@platform.example", PASSWORD, full_name="Nadia")


def keep(window, name):
    """What a window shows, in the folder SCREENSHOTS when that is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        window.shot(Path(folder) / f"{name}.png")


def sign_in(window, code=""):
    window.type("#id_username", "op@platform.example")
    window.type("#id_password", PASSWORD)
    if code:
        window.type("#id_code", code)
    window.press("Enter")


def test_an_operator_signs_in_with_a_code_and_suspends_a_store(browser, server, operator):
    shop = a_store()
    desk = browser.window("desk", f"{server}/admin/")
    sign_in(desk)
    desk.see("#secret")  # the server asks for a second factor: nothing else is shown before
    keep(desk, "desk-second-factor")
    device = TOTPDevice.objects.get(user=operator)
    desk.type("#code", f"{totp(device.bin_key):06}")
    desk.press("Enter")
    assert len(desk.see("#codes").split()) == 10
    keep(desk, "desk-recovery-codes")

    later = browser.window("later", f"{server}/admin/")
    sign_in(later)
    later.see("#login-form", "Code")
    later.see("body", "missing or wrong")
    TOTPDevice.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
    later.look("location.assign('/admin/login/?next=/admin/stores/store/')")
    later.see("#login-form")
    sign_in(later, f"{totp(device.bin_key, drift=1):06}")
    later.see("#result_list", shop.name)
    later.click("#result_list input.action-select")
    later.choose("select[name=action]", "suspend")
    later.click("button[name=index]")
    later.see("body", "1 stores are suspended from now on.")
    keep(later, "desk-store-suspended")

    assert Store.objects.get(pk=shop.pk).status == "suspended"
    told = AuditEvent.objects.get(action="store.suspended")
    assert (told.store_id, told.actor_label) == (shop.pk, "operator Nadia")
    connection.close()


def test_the_first_page_and_the_lists_show_without_faults(browser, server, operator):
    desk = browser.window("desk", f"{server}/admin/")
    sign_in(desk)
    desk.see("#secret")
    device = TOTPDevice.objects.get(user=operator)
    desk.type("#code", f"{totp(device.bin_key):06}")
    desk.press("Enter")
    desk.see("#codes")

    desk.look("location.assign('/admin/')")
    for title in ("Orders today", "Events stuck", "Webhooks failing", "Codes verified"):
        desk.see("#cards", title)
    keep(desk, "desk-today")
    desk.look("location.assign('/admin/orders/order/')")
    desk.see("body", "orders")
    assert [fault for fault in desk.faults if "favicon" not in fault] == []
