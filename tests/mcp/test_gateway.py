"""Every row of the table of mcp.md, section 5, on a real server of two workers."""

import json
import re
from datetime import timedelta

import anyio
import httpx
import pytest
from django.db import connection, transaction
from django.utils import timezone

from integrations.mcp.gateway import Gateway
from integrations.mcp.models import AgentCall, AgentSettings
from integrations.mcp.oauth.models import AccessToken, Agent, RefreshToken
from integrations.mcp.oauth.views import new_service_token
from integrations.mcp.server import pool
from store_modules.catalog.models import InventoryItem
from store_modules.orders.models import Order
from store_modules.purchasing.models import Supplier
from store_modules.stores.models import Membership, Store
from storeplatform.kernel import limits
from storeplatform.kernel.limits import POLICIES, Bucket
from tests.clients import client_of, key_client_of
from tests.factories import a_member, a_product, a_store, an_area, an_order_body
from tests.mcp.agents import Wire, a_token, an_agent, an_application
from tests.mcp.test_oauth import CALLBACK, OAUTH, VERIFIER, link
from tests.servers import at_once, until

NOWHERE = "01890000-0000-7000-8000-000000000000"
FIRST = 'scope="store:read catalog:read orders:read"'


@pytest.fixture
def agent(shop):
    return an_agent(shop)


@pytest.fixture
def wire(server, agent, settings):
    """An agent with every scope. Tokens are made for the server's own address."""
    settings.MCP_RESOURCE = server.mcp
    return Wire(server.mcp, a_token(agent))


def challenge(server, *parts):
    document = f"{server.url}/.well-known/oauth-protected-resource/api/v1/store/mcp"
    return "Bearer " + ", ".join([*parts, f'resource_metadata="{document}"'])


def test_without_credentials_the_challenge_names_no_error(server, wire):
    wire.token = None

    answer = wire.call("list_products")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge(server, FIRST)
    assert answer.content == b""


def expired(agent, settings):
    return a_token(agent, expires=timezone.now() - timedelta(seconds=1))


def of_another_resource(agent, settings):
    return a_token(agent, resource=[settings.MCP_RESOURCE + "/more"])


def of_no_resource(agent, settings):
    return a_token(agent, resource=[])


def of_two_resources(agent, settings):
    return a_token(agent, resource=[settings.MCP_RESOURCE, "https://other.example/"])


def revoked(agent, settings):
    token = a_token(agent)
    Agent.objects.update(revoked_at=timezone.now())
    return token


def without_membership(agent, settings):
    Membership.objects.all().delete()
    return a_token(agent)


def of_a_disabled_member(agent, settings):
    Membership.objects.update(status="disabled")
    return a_token(agent)


def of_an_inactive_user(agent, settings):
    agent.user.is_active = False
    agent.user.save()
    return a_token(agent)


def of_a_suspended_store(agent, settings):
    Store.objects.update(status="suspended")
    return a_token(agent)


def a_refresh_token(agent, settings):
    from oauth2_provider.models import set_token_value

    row = RefreshToken(
        user=agent.user, application=agent.application, agent=agent, store_id=agent.store_id
    )
    set_token_value(row, "refresh-me")
    row.save()
    return "refresh-me"


def a_dashboard_token(agent, settings):
    return client_of(agent.store).headers["Authorization"].removeprefix("Bearer ")


def an_api_key(agent, settings):
    return key_client_of(agent.store).headers["X_API_Key"]


def a_registration_token(agent, settings):
    from oauth2_provider.views.dynamic_client_registration import _issue_registration_token

    return _issue_registration_token(agent.application, None)


def of_a_service(agent, settings):
    return new_service_token(days=1)


def of_another_member(agent, settings):
    """A row whose parts do not belong together."""
    return a_token(agent, user=a_member(agent.store).user)


def of_another_store(agent, settings):
    return a_token(agent, store_id=a_store().pk)


def unknown(agent, settings):
    return "never-issued"


@pytest.mark.parametrize(
    "make",
    [
        unknown, expired, of_another_resource, of_no_resource, of_two_resources, revoked,
        without_membership, of_a_disabled_member, of_an_inactive_user, of_a_suspended_store,
        a_refresh_token, a_dashboard_token, an_api_key, a_registration_token, of_a_service,
        of_another_member, of_another_store,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_whatever_is_wrong_with_a_token_the_answer_is_one(server, wire, agent, settings, make):
    wire.token = make(agent, settings)

    answer = wire.call("list_products")

    assert answer.status_code == 401
    wanted = challenge(server, 'error="invalid_token"', FIRST)
    assert answer.headers["www-authenticate"] == wanted
    assert answer.content == b""


def test_a_token_of_an_agent_is_none_of_the_rest_surface(server, wire):
    for path in ("store/products", "store/integrations/orders", "auth/me"):
        answer = httpx.get(
            f"{server.url}/api/v1/{path}", headers={"Authorization": f"Bearer {wire.token}"}
        )
        assert answer.status_code == 401, path


def test_a_call_that_needs_more_names_every_scope_at_once(server, wire, agent):
    wire.token = a_token(agent, scopes=["catalog:read"])

    answer = wire.call("adjust_inventory", {"sku": "x"})

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == challenge(
        server, 'error="insufficient_scope"', 'scope="catalog:read inventory:write"'
    )
    assert AgentCall.objects.get().outcome == "insufficient_scope"


def test_a_resource_that_needs_more_is_refused_alike(wire, agent):
    wire.token = a_token(agent, scopes=["catalog:read"])

    answer = wire.post("resources/read", {"uri": "store://profile"})

    assert answer.status_code == 403
    assert 'scope="store:read catalog:read"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25", ""])
def test_the_scope_is_decided_by_the_body_not_by_a_header(wire, agent, era):
    wire.token = a_token(agent, scopes=["catalog:read"])

    answer = wire.call("adjust_inventory", {}, era=era, headers={"mcp-name": "list_products"})

    assert answer.status_code == 403


def test_write_includes_read(wire, agent):
    wire.token = a_token(agent, scopes=["catalog:write"])

    assert wire.result("list_products") == {"items": [], "next_cursor": None, "has_more": False}


@pytest.mark.parametrize("where", ["query", "body"])
def test_a_token_elsewhere_is_ignored(wire, where):
    token, wire.token = wire.token, None
    if where == "query":
        wire.url += f"?access_token={token}"

    answer = wire.post("tools/list", {"access_token": token} if where == "body" else {})

    assert answer.status_code == 401


def test_what_the_role_forbids_is_told_and_no_consent_asked_for(wire, shop, agent):
    member = a_member(shop, denies=["inventory.write"])
    limited = an_agent(shop, member=member, application=agent.application)
    wire.token = a_token(limited, scopes=["inventory:write"])

    said = wire.refusal("adjust_inventory", sku="X")
    wire.token = a_token(limited, scopes=["catalog:read"])
    again = wire.refusal("adjust_inventory", sku="X")

    assert said == again == "Your role in this store does not allow this."
    names = [t["name"] for t in wire.post("tools/list").json()["result"]["tools"]]
    assert "adjust_inventory" not in names
    assert "list_inventory" in names


def until_limited(wire, tool):
    """The answers up to the first 429; a slow machine gets a few more of the others."""
    answers = [wire.call(tool)]
    while answers[-1].status_code != 429 and len(answers) < 300:
        answers.append(wire.call(tool))
    return answers


def drained(policy, partition):
    """Takes what is left of a bucket; it fills again at once, but slowly."""
    while limits.charge([Bucket(POLICIES[policy], str(partition))])[0].allowed:
        pass
    return True


def test_over_the_limit_says_when_to_come_back(django_db_setup, shop, agent, settings):
    from tests.servers import RunningServer

    limited = RunningServer(workers=2, RATE_LIMITS="on")
    try:
        settings.MCP_RESOURCE = f"http://localhost:{limited.port}/api/v1/store/mcp"
        wire = Wire(settings.MCP_RESOURCE, a_token(agent))
        answers = until_limited(wire, "list_products")
        writes = Wire(settings.MCP_RESOURCE, a_token(agent))
        written = until_limited(writes, "add_order_note")
        stranger = Wire(settings.MCP_RESOURCE, "wrong")
        failures = until_limited(stranger, "list_products")
        third = Wire(settings.MCP_RESOURCE, a_token(an_agent(shop)))
        until(
            lambda: (
                drained("agent-store", shop.pk) and third.call("list_products").status_code == 429
            )
        )
    finally:
        limited.stop()

    for many, least in ((answers, 60), (written, 10), (failures, 30)):
        assert many[-1].status_code == 429
        assert len(many) > least
        assert int(many[-1].headers["retry-after"]) >= 1
        assert many[-1].json()["code"] == "rate_limited"
    assert answers[0].status_code == written[0].status_code == 200
    assert failures[0].status_code == 401
    told = set(AgentCall.objects.filter(outcome="rate_limited").values_list("tool", flat=True))
    assert told == {"list_products", "add_order_note"}


def test_an_unknown_version_is_refused_by_its_code(wire):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2031-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}

    answer = wire.post(
        "tools/list",
        content=json.dumps(body).encode(),
        headers={"mcp-protocol-version": "2031-01-01"},
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32022


def test_calls_are_counted_for_prometheus(server, wire, agent):
    def told():
        text = httpx.get(f"{server.url}/metrics").text
        return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines()}

    before = told()
    wire.result("list_products")
    wire.call("burn_store")
    wire.token = "unknown"
    wire.call("list_products")

    after = told()
    grown = {name for name, value in after.items() if before.get(name, "0") != value}
    assert 'store_agent_calls_total{outcome="ok",tool="list_products"}' in grown
    assert any('route="api/v1/store/mcp",status="401"' in name for name in grown)
    assert "burn_store" not in str(after)


def test_a_version_that_differs_from_its_header_is_refused(wire):
    answer = wire.post("tools/list", headers={"mcp-protocol-version": "2031-01-01"})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in (-32022, -32020)


def test_headers_that_disagree_with_the_body_are_refused(wire):
    answer = wire.call("list_products", headers={"mcp-name": "get_order"})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32020


def test_an_unknown_method_is_not_found(wire):
    answer = wire.post("tools/burn")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "burn_store", "arguments": {}}),
        ("prompts/get", {"name": "nothing", "arguments": {}}),
        ("resources/read", {"uri": "store://secrets"}),
        ("resources/read", {"uri": "product://01890000-0000-7000-8000-000000000000"}),
    ],
)
@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
def test_what_does_not_exist_is_an_invalid_parameter(wire, method, params, era):
    answer = wire.post(method, params, era=era)

    assert answer.json()["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("list_products", {"limit": 101}, "limit: It must be at most 100."),
        ("list_products", {"limit": True}, "limit: It must be a whole number."),
        ("list_products", {"store_id": "x"}, "store_id: There is no such argument."),
        ("search_products", {}, "query: It is required."),
        ("get_product", {"id": "7"}, "id: It must be an id as the tools give them."),
        ("get_order", {}, "Give either id or number."),
        ("get_order", {"number": "ORD-1"}, "try search_orders"),
        ("get_customer", {"id": "01890000-0000-7000-8000-000000000000"}, "try search_customers"),
        ("list_products", {"cursor": "AAAA"}, "begin again without it"),
        ("list_areas", {"province": "XX"}, "list_provinces has the codes"),
        ("get_analytics_summary", {"from": "2024-01-01", "to": "2026-01-01"}, "at most 366 days"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told_in_a_sentence(wire, tool, arguments, said):
    answer = wire.refusal(tool, **arguments)

    assert said in answer
    assert not re.search(r"pydantic|Traceback|SELECT|http", answer)


def test_a_fault_of_ours_names_only_a_reference(wire, shop):
    order = client_of(shop).post("/orders", an_order_body(shop, (a_product(shop), 1))).json()
    Order.objects.update(province_code="IQ-BG")
    from django.db import connection

    with connection.cursor() as cursor:  # a table that is away
        cursor.execute("ALTER TABLE orders_orderpayment RENAME TO away")
    try:
        answer = wire.call("get_order", {"id": order["id"]})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO orders_orderpayment")

    error = answer.json()["error"]
    assert error["code"] == -32603
    assert re.fullmatch(r"Internal error; reference req_[0-9a-f]{32}\.", error["message"])
    assert AgentCall.objects.get().outcome == "internal_error"


# Before the bearer


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_post_is_served(server, shop, method):
    answer = httpx.request(method, server.mcp)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_preflight_needs_no_credential_but_an_origin_of_ours(server, shop):
    ours = httpx.options(server.mcp, headers={"origin": server.url})
    other = httpx.options(server.mcp, headers={"origin": "https://evil.example"})

    assert ours.status_code == 204
    assert ours.headers["access-control-allow-origin"] == server.url
    assert "authorization" in ours.headers["access-control-allow-headers"].lower()
    assert other.status_code == 403


def test_another_origin_is_refused_before_the_token_is_read(wire):
    wire.token = None

    assert wire.call("x", headers={"origin": "https://evil.example"}).status_code == 403


def test_another_host_is_refused(wire):
    assert wire.call("list_products", headers={"host": "evil.example"}).status_code == 400


def test_a_body_has_a_limit(wire):
    answer = wire.post("tools/list", content=b"{" + b" " * 2**20 + b"}")

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", -32700),
        (b"[" * 5000, -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "tools/list"}', -32700),
        (b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "tools/list"}', -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}]', -32600),
        (b"null", -32600),
        (b'"x"', -32600),
        (b"{}", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', -32600),
    ],
)
@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
def test_what_is_no_single_request_is_refused_in_the_protocols_words(wire, content, code, era):
    answer = wire.post("tools/list", content=content, era=era)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert not re.search(r"pydantic|validation error|line \d", answer.text)
    assert AgentCall.objects.get().outcome == "protocol_error"


def smuggled(tool, arguments, era, extra, encoding):
    """A call as some parsers read it, and others do not."""
    params = {"name": tool, "arguments": arguments}
    if era == "2026-07-28":
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": era,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params | extra}
    return json.dumps(body).encode(encoding)


@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
@pytest.mark.parametrize(
    ("extra", "encoding"),
    [
        ({"x": float("nan")}, "utf-8"),
        ({"x": float("inf")}, "utf-8"),
        ({"x": "\ud800"}, "utf-8"),
        ({}, "utf-16"),
        ({}, "utf-32"),
    ],
)
def test_no_spelling_of_a_body_hides_a_tool_from_its_scope(wire, shop, agent, era, extra, encoding):
    product = a_product(shop, quantity=10)
    wire.token = a_token(agent, scopes=["catalog:read"])
    damage = {"sku": product.sku, "delta": -3, "reason": "damage", "idempotency_key": "hidden-001"}
    content = smuggled("adjust_inventory", damage, era, extra, encoding)

    answer = wire.call("adjust_inventory", era=era, content=content)

    assert answer.status_code == 400
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 10


def test_characters_that_no_table_keeps_leave_a_record_all_the_same(wire):
    for method, params in (
        ("tools/call", {"name": "list_products\0", "arguments": {}}),
        ("tools/burn\0", {}),
        ("resources/read", {"uri": "store://profile\0"}),
        ("prompts/get", {"name": "\0", "arguments": {}}),
    ):
        answer = wire.post(method, params, era="2025-11-25")
        assert answer.json()["error"]["code"] in (-32601, -32602), answer.text

    told = [(call.method, call.tool) for call in AgentCall.objects.order_by("id")]
    assert told == [
        ("tools/call", "list_products"), ("tools/burn", ""), ("resources/read", "store://profile"),
        ("prompts/get", ""),
    ]  # fmt: skip


def test_a_reading_tool_has_its_time_and_one_record(parallel, settings):
    """Over the gateway in this process, so that the time can be a short one."""
    settings.MCP_READ_SECONDS = 0.2
    shop = a_store()
    token = a_token(an_agent(shop))
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "list_products", "arguments": {}},
    }  # fmt: skip
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
    }

    async def ask():
        gateway = Gateway()
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post(settings.MCP_PATH, json=body, headers=headers)
        await gateway.stop()
        return answer

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE catalog_product IN ACCESS EXCLUSIVE MODE")
        answer = anyio.run(ask)
    until(idle)

    result = answer.json()["result"]
    assert result["isError"] is True
    assert "This took too long" in result["content"][0]["text"]
    call = AgentCall.objects.get()
    assert call.outcome == "tool_error"
    assert 200 <= call.milliseconds < 5000


def idle():
    """Whether the gateway's threads wait for work again."""
    return pool._idle_semaphore._value >= len(pool._threads)


# Isolation


def test_another_stores_rows_do_not_exist(wire, shop):
    other = a_store()
    product = a_product(other)
    order = client_of(other).post("/orders", an_order_body(other, (product, 1))).json()

    AgentSettings.objects.create(store=shop, allow_refunds=True)
    key = {"idempotency_key": "stolen-0001"}
    phone, buyer = order["customer"]["primaryPhone"], order["customer"]["id"]
    line = [{"sku": product.sku, "quantity": 1}]
    supplier = Supplier.objects.create(store=other, name="Theirs")
    own = a_product(shop, sku="OWN-1")
    draft = {"items": [{"sku": own.sku, "quantity": 1, "unit_cost": "1"}], **key}
    place = {
        "payment_method": "cod", "customer": {"name": "S", "primary_phone": phone},
        "address_province_code": "IQ-BG", "address_area_id": str(an_area().pk),
    }  # fmt: skip
    for tool, named, arguments in (
        ("get_product", "id", {"id": str(product.pk)}),
        ("get_product", "sku", {"sku": product.sku}),
        ("update_product", "id", {"id": str(product.pk), "version": 1, "name": "stolen"}),
        ("get_order", "id", {"id": order["id"]}),
        ("get_order", "number", {"number": order["number"]}),
        ("track_order", "number", {"number": order["number"], "phone": phone}),
        ("add_order_note", "id", {"id": order["id"], "text": "x", **key}),
        ("update_order_status", "id", {"id": order["id"], "to": "cancelled", **key}),
        (
            "refund_order", "id",
            {"id": order["id"], "amount": "1", "method": "cash", "reason": "x", **key},
        ),
        ("get_inventory_history", "sku", {"sku": product.sku}),
        ("adjust_inventory", "sku", {"sku": product.sku, "delta": 1, "reason": "manual", **key}),
        ("get_customer", "id", {"id": buyer}),
        ("update_customer", "id", {"id": buyer, "version": 1, "note": "stolen"}),
        ("create_ticket", "order_id", {"subject": "x", "order_id": order["id"], **key}),
        ("create_ticket", "customer_id", {"subject": "x", "customer_id": buyer, **key}),
        ("draft_purchase_order", "supplier", {"supplier": str(supplier.pk), **draft}),
        ("draft_purchase_order", "supplier", {"supplier": "Theirs", **draft}),
        ("create_storefront_order", "items", {"items": line, **place, **key}),
    ):  # fmt: skip
        none = {"sku": "NOPE-1", "number": "ORD-9", "items": [{"sku": "NOPE-1", "quantity": 1}]}
        none |= {"supplier": "Nobody" if arguments.get("supplier") == "Theirs" else NOWHERE}
        said = wire.refusal(tool, **arguments)
        missing = wire.refusal(tool, **arguments | {named: none.get(named, NOWHERE)})
        assert said.replace(product.sku, "NOPE-1") == missing, (tool, named)
    assert wire.result("search_orders")["items"] == []
    assert wire.result("search_orders", customer_id=buyer)["items"] == []
    assert wire.result("list_inventory", sku=product.sku)["items"] == []
    assert wire.result("search_products", query=product.name)["items"] == []
    assert wire.result("search_customers")["items"] == []
    for uri in (f"product://{product.pk}", f"order://{order['id']}"):
        assert wire.post("resources/read", {"uri": uri}).json()["error"]["code"] == -32602


def test_a_key_of_another_store_is_unknown(wire, shop):
    other = a_store()
    stranger = Wire(wire.url, a_token(an_agent(other)))
    body = {"delta": -3, "reason": "damage", "idempotency_key": "same-key-01"}
    for store in (shop, other):
        a_product(store, sku="SAME", quantity=10)

    wire.result("adjust_inventory", sku="SAME", **body)
    theirs = stranger.result("adjust_inventory", sku="SAME", **body)

    assert theirs["quantity_on_hand"] == 7
    assert set(InventoryItem.objects.values_list("quantity_on_hand", flat=True)) == {7}


def test_a_cursor_of_another_store_is_unknown(wire, shop, settings):
    other = a_store()
    for store in (shop, other):
        for _ in range(3):
            a_product(store)
    mine = wire.result("list_products", limit=2)
    stranger = Wire(wire.url, a_token(an_agent(other)))

    said = stranger.refusal("list_products", limit=2, cursor=mine["next_cursor"])

    assert "begin again without it" in said
    assert len(wire.result("list_products", limit=2, cursor=mine["next_cursor"])["items"]) == 1
    assert "begin again" in wire.refusal(
        "list_products", limit=2, in_stock=True, cursor=mine["next_cursor"]
    )


# Codes, over two workers


def test_a_code_that_comes_many_times_at_once_leaves_nothing(server, shop, browser, settings):
    settings.MCP_RESOURCE = server.mcp
    client = an_application()
    code = browser.decide(server.url + link(client))["code"]
    asked = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
        "client_id": client.client_id, "code_verifier": VERIFIER,
    }  # fmt: skip

    answers = at_once(6, lambda _: httpx.post(f"{server.url}{OAUTH}/token", data=asked, timeout=60))

    assert sorted(one.status_code for one in answers) == [200] + [400] * 5
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.filter(revoked=None).exists()
