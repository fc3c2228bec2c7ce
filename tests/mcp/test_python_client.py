"""The official Python SDK's client, from discovery to revocation, against two workers."""

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from integrations.mcp.models import AgentCall
from integrations.mcp.oauth.models import Agent, Application
from tests.clients import client_of
from tests.factories import a_product

CALLBACK = "http://127.0.0.1:7777/callback"


class Storage:
    """What a desktop agent keeps."""

    def __init__(self):
        self.tokens = self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, info):
        self.client = info


class Desktop:
    """A desktop agent with the SDK's own OAuth; its user decides in `browser`."""

    def __init__(self, server, browser):
        self.server, self.browser = server, browser
        self.storage, self.asked = Storage(), []
        self.answer = None
        self.auth = OAuthClientProvider(
            server.mcp,
            OAuthClientMetadata(
                client_name="Desktop agent",
                redirect_uris=[CALLBACK],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
                token_endpoint_auth_method="none",
            ),
            self.storage,
            redirect_handler=self.open_browser,
            callback_handler=self.come_back,
        )

    async def open_browser(self, url):
        self.asked.append(url)
        self.answer = await anyio.to_thread.run_sync(lambda: self.browser.decide(url))

    async def come_back(self):
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer["state"], iss=self.answer["iss"]
        )

    def run(self, work, mode="auto"):
        async def main():
            async with httpx2.AsyncClient(auth=self.auth, timeout=30) as http:
                transport = streamable_http_client(self.server.mcp, http_client=http)
                async with Client(transport, mode=mode) as client:
                    return await work(client)

        return anyio.run(main)


@pytest.fixture
def desktop(server, browser):
    return Desktop(server, browser)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_finds_its_way_in_and_reads_the_catalogue(desktop, shop, mode):
    a_product(shop, name="White shirt", sku="SHIRT-M")

    async def work(client):
        tools = await client.list_tools()
        found = await client.call_tool("search_products", {"query": "shirt"})
        return tools, found

    tools, found = desktop.run(work, mode)

    names = [tool.name for tool in tools.tools]
    assert names[:3] == ["get_store_info", "list_provinces", "list_areas"]
    assert not found.is_error, found.content
    (item,) = found.structured_content["items"]
    assert item["sku"] == "SHIRT-M"
    assert item["price"] == {"amount": "10000", "currency": "IQD"}
    agent = Agent.objects.get()
    assert agent.store_id == shop.pk
    assert agent.user_id == shop.owner.pk
    assert Application.objects.get().name == "Desktop agent"
    call = AgentCall.objects.get(tool="search_products")
    assert call.outcome == "ok"
    assert call.client_name == "Desktop agent"


def test_a_tool_that_needs_more_asks_for_more_consent(desktop, shop):
    product = a_product(shop, quantity=3)

    async def work(client):
        return await client.call_tool(
            "adjust_inventory",
            {"sku": product.sku, "delta": -1, "reason": "damage", "idempotency_key": "damage-0001"},
        )

    done = desktop.run(work)

    assert not done.is_error, done.content
    assert done.structured_content["quantity_on_hand"] == 2
    assert len(desktop.asked) == 2
    assert "inventory%3Awrite" in desktop.asked[1]
    assert AgentCall.objects.filter(outcome="insufficient_scope").count() == 1


def test_an_agent_refreshes_by_itself_until_it_is_disconnected(desktop, shop):
    a_product(shop)

    async def work(client):
        return await client.call_tool("list_products", {})

    desktop.run(work)
    first = desktop.storage.tokens
    desktop.auth.context.token_expiry_time = 1.0  # long ago
    again = desktop.run(work)
    second = desktop.storage.tokens
    asked = len(desktop.asked)
    old = httpx2.post(desktop.server.mcp, headers=bearer(first.access_token), json={})
    agent = Agent.objects.get()
    client_of(shop).delete(f"/oauth-mcp/agents/{agent.pk}")
    ended = httpx2.post(desktop.server.mcp, headers=bearer(second.access_token), json={})
    anew = desktop.run(work)

    assert not again.is_error
    assert first.access_token != second.access_token
    assert first.refresh_token != second.refresh_token
    assert asked == 1
    assert old.status_code == ended.status_code == 401
    assert not anew.is_error
    assert len(desktop.asked) == 2


def test_an_agent_that_leaves_revokes_what_it_holds(desktop, shop):
    async def work(client):
        return await client.call_tool("list_products", {})

    desktop.run(work)
    tokens, client = desktop.storage.tokens, desktop.storage.client
    found = httpx2.get(f"{desktop.server.url}/.well-known/oauth-authorization-server").json()
    own = {"client_id": client.client_id}
    left = httpx2.post(found["revocation_endpoint"], data=own | {"token": tokens.refresh_token})
    called = httpx2.post(desktop.server.mcp, headers=bearer(tokens.access_token), json={})
    refreshed = httpx2.post(
        found["token_endpoint"],
        data=own | {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token},
    )

    assert left.status_code == 200
    assert called.status_code == 401
    assert refreshed.status_code == 400
    assert refreshed.json()["error"] == "invalid_grant"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
