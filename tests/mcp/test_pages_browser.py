"""The pages for people in a real browser: a merchant signs in, lets an agent in, ends it."""

import os
from pathlib import Path
from urllib.parse import urlencode

import pytest

from chat.models import Conversation, Visitor
from integrations.mcp.models import PendingAction
from integrations.mcp.oauth.models import Agent, Grant
from store_modules.catalog.models import InventoryItem
from store_modules.stores.models import Store
from tests.browser import Browser
from tests.clients import client_of
from tests.factories import a_channel, a_member, a_product, a_store, an_order_body
from tests.mcp.agents import a_pending_action, an_agent, an_application
from tests.mcp.conftest import an_owner
from tests.mcp.people import PASSWORD
from tests.mcp.people import Browser as Person
from tests.mcp.test_oauth import CHALLENGE
from tests.servers import until

EVERYTHING = (
    "store:read catalog:read orders:read customers:read catalog:write orders:write messaging:write"
)


@pytest.fixture
def chromium():
    running = Browser()
    yield running
    running.close_windows()
    running.stop()


def keep(window, name):
    """What a window shows, in the folder SCREENSHOTS when that is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        window.shot(Path(folder) / f"{name}.png")


def sign_in(window, user):
    window.type("#login", user.email)
    window.type("#password", PASSWORD)
    window.press("Enter")


def link(server, client, callback, **values):
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": callback,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "xyz",
        "scope": EVERYTHING,
    } | values
    return f"{server.url}/api/v1/oauth/authorize?{urlencode(query)}"


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ar", 390)])
def test_a_merchant_signs_in_lets_an_agent_in_and_ends_it(server, shop, chromium, language, width):
    second = a_store()
    Store.objects.filter(pk=second.pk).update(name="متجر البصرة")
    a_member(second, user=shop.owner, role="store_owner")
    callback = f"http://127.0.0.1:{server.port}/agents"  # another origin, where a page is
    client = an_application(name="Desk helper", redirect_uris=callback)
    window = chromium.window(
        "shop", link(server, client, callback), width=width, height=844, language=language
    )
    keep(window, f"sign-in-{language}-{width}")
    sign_in(window, shop.owner)
    window.see(".client", "Desk helper")
    keep(window, f"consent-{language}-{width}")
    assert window.look("document.documentElement.scrollWidth <= innerWidth")
    assert window.look("document.dir") == ("rtl" if language == "ar" else "ltr")
    window.click(f"input[name=store][value='{shop.pk}']")
    window.click("input[name=grant][value='messaging:write']")
    window.click("button.go")
    window.see("#login")  # the other origin knows nobody
    assert "code%3D" in window.look("location.search")
    window = chromium.window(
        "own", f"{server.url}/agents", width=width, height=844, language=language
    )
    sign_in(window, shop.owner)
    window.see(".agent .client", "Desk helper")
    keep(window, f"connected-{language}-{width}")
    assert window.look("document.documentElement.scrollWidth <= innerWidth")
    window.click("button.stop")
    until(lambda: Agent.objects.get().revoked_at)

    assert [one for one in window.faults if "favicon" not in one] == []
    agent = Agent.objects.get()
    assert agent.store_id == shop.pk
    assert "orders:write" in agent.scopes
    assert "messaging:write" not in agent.scopes
    assert agent.revoked_at
    assert not Grant.objects.exists()


WAITING = {
    "en": (
        "Waiting for your decision",
        "Change the stock of a product",
        "Done as it was asked.",
        "Damage",
        "Cancelled",
    ),
    "ar": ("بانتظار قرارك", "تغيير مخزون منتج", "تم التنفيذ كما طُلب.", "تلف", "ملغي"),
}


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("ar", 390)])
def test_a_merchant_approves_and_refuses_what_agents_ask(server, shop, chromium, language, width):
    title, deed, done, damage, cancelled = WAITING[language]
    product = a_product(shop, quantity=10)
    client = an_application(name="Desk helper")
    agent = an_agent(shop, application=client)
    gone, kept = (
        PendingAction.objects.create(
            store=shop,
            agent=agent,
            tool="adjust_inventory",
            arguments={"sku": product.sku, "delta": delta, "reason": "damage"},
            scope=agent.scope,
        )
        for delta in (-3, -4)
    )
    other = a_pending_action(a_store())
    body = an_order_body(shop, (a_product(shop), 1))
    order = client_of(shop).post("/orders", body).json()
    visitor = Visitor.objects.create(store=shop, name="Layla Hasan")
    talk = Conversation.objects.create(
        store=shop, channel=a_channel(shop), visitor=visitor, number="C-77"
    )
    for tool, given in (
        ("update_order_status", {"id": order["id"], "to": "cancelled", "reason": "damage"}),
        ("send_message", {"id": str(talk.pk), "text": "<b>It is late.</b>"}),
        ("adjust_inventory", {"formerly": "asked before the tool changed"}),
    ):
        PendingAction.objects.create(
            store=shop, agent=agent, tool=tool, arguments=given, scope=agent.scope
        )

    window = chromium.window(
        "own", f"{server.url}/agents", width=width, height=844, language=language
    )
    sign_in(window, shop.owner)
    window.see("h3", title)
    window.see(".waiting .client", deed)
    window.see(".waiting dd", f"{product.name} · {product.sku}")
    window.see(".waiting dd", damage)
    window.see(".waiting dd", f"{order['number']} · Sara")
    window.see(".waiting dd", cancelled)
    window.see(".waiting dd", "damage")  # of an order it is a person's word
    window.see(".waiting dd", "Layla Hasan · C-77")
    window.see(".waiting dd", "<b>It is late.</b>")
    keep(window, f"waiting-{language}-{width}")
    assert window.look("document.documentElement.scrollWidth <= innerWidth")
    window.see(".waiting dd", "asked before the tool changed")
    assert window.count(".waiting") == 5
    assert window.count(f"input[value='{other.pk}']") == 0
    window.click(f"form:has(input[value='{gone.pk}']) button[value=approve]")
    window.see("[role=status]", done)
    keep(window, f"approved-{language}-{width}")
    window.click(f"form:has(input[value='{kept.pk}']) button[value=refuse]")
    until(lambda: PendingAction.objects.get(pk=kept.pk).status == "rejected")

    assert [one for one in window.faults if "favicon" not in one] == []
    assert PendingAction.objects.get(pk=gone.pk).status == "approved"
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 7
    assert PendingAction.objects.get(pk=other.pk).status == "pending"


def test_who_does_not_manage_agents_decides_nothing_on_the_page(server, shop):
    action = a_pending_action(shop)
    user = an_owner(a_store())
    a_member(shop, denies=["agents.manage"], user=user)
    clerk = Person(user, server.url)

    page = clerk.get("/agents")
    clerk.http.post(
        "/agents",
        data={
            "action": str(action.pk),
            "decision": "approve",
            "csrfmiddlewaretoken": clerk.http.cookies["csrftoken"],
        },
        headers={"Origin": server.url},
    )
    clerk.close()

    assert page.status_code == 200
    assert "Waiting for your decision" not in page.text
    assert PendingAction.objects.get(pk=action.pk).status == "pending"
