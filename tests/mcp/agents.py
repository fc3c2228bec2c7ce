"""Agents let into stores without a browser, and a client that speaks the protocol by hand."""

import itertools
import json
from datetime import timedelta

import httpx
from django.conf import settings
from django.utils import timezone
from oauth2_provider.models import set_token_value

from integrations.mcp.models import PendingAction
from integrations.mcp.oauth.agents import let_in
from integrations.mcp.oauth.models import AccessToken, Application
from integrations.mcp.oauth.scopes import SCOPES
from store_modules.stores.models import Membership
from tests.factories import a_member

_numbers = itertools.count(1)
ALL_SCOPES = tuple(SCOPES)
MODERN = "2026-07-28"


def an_application(**values):
    defaults = {
        "name": f"Agent {next(_numbers)}",
        "client_type": "public",
        "authorization_grant_type": "authorization-code",
        "redirect_uris": "https://agent.example/callback",
        "registration_source": "dcr",
    }
    return Application.objects.create(**defaults | values)


def an_agent(store, scopes=ALL_SCOPES, member=None, application=None):
    member = member or Membership.objects.filter(store=store, role="store_owner").first()
    member = member or a_member(store, role="store_owner")
    return let_in(member, application or an_application(), list(scopes))


def a_pending_action(store):
    return PendingAction.objects.create(
        store=store,
        agent=an_agent(store),
        tool="adjust_inventory",
        arguments={"sku": "GONE-1", "delta": -1, "reason": "loss"},
        scope="",
    )


def a_token(agent, scopes=None, resource=None, **values):
    """The raw token of an agent."""
    raw = f"token-{next(_numbers)}-{agent.pk.hex}"
    row = AccessToken(
        application=agent.application,
        user=agent.user,
        agent=agent,
        store_id=agent.store_id,
        scope=agent.scope if scopes is None else " ".join(scopes),
        expires=timezone.now() + timedelta(minutes=15),
        resource=[settings.MCP_RESOURCE] if resource is None else resource,
    )
    for name, value in values.items():
        setattr(row, name, value)
    set_token_value(row, raw)
    row.save()
    return raw


class Wire:
    """JSON-RPC by hand: the modern era by default, the handshake one on demand."""

    opened = []

    def __init__(self, url, token=None):
        self.opened.append(self)
        self.url = url
        self.token = token
        self.http = httpx.Client(timeout=30)
        self.numbers = itertools.count(1)

    def post(self, method, params=None, *, era=MODERN, headers=(), content=None):
        sent = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }
        params = dict(params or {})
        if era == MODERN:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": era,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            sent |= {"mcp-protocol-version": era, "mcp-method": method}
            if name := params.get("name") or params.get("uri"):
                sent["mcp-name"] = name
        elif era:
            sent["mcp-protocol-version"] = era
        if self.token:
            sent["authorization"] = f"Bearer {self.token}"
        sent |= dict(headers)
        body = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": params}
        return self.http.post(
            self.url, content=content or json.dumps(body), headers={**sent, **dict(headers)}
        )

    def call(self, tool, arguments=None, **more):
        return self.post("tools/call", {"name": tool, "arguments": arguments or {}}, **more)

    def result(self, tool, **arguments):
        """What the tool answers; asserts that it does."""
        answer = self.call(tool, arguments)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        result = answer.json()["result"]
        assert not result.get("isError"), result["content"]
        return result["structuredContent"]

    def refusal(self, tool, **arguments):
        """The sentence with which the tool says no."""
        answer = self.call(tool, arguments)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        result = answer.json()["result"]
        assert result["isError"], result
        return result["content"][0]["text"]
