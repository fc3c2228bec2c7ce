"""The official TypeScript clients, from discovery to revocation, against two workers."""

import json
import subprocess

import httpx
import pytest

from integrations.mcp.models import AgentCall
from integrations.mcp.oauth.models import Agent
from tests.factories import a_product
from tests.mcp.clients import FOLDER, node


@pytest.mark.parametrize("library", ["sdk", "client"])
def test_a_typescript_agent_goes_all_the_way(server, shop, browser, library):
    a_product(shop, quantity=5)
    options = json.dumps({"library": library, "url": server.mcp})
    agent = node(FOLDER / "official.mjs", options, stdin=subprocess.PIPE)
    facts = {}
    links = []
    for line in agent.stdout:
        fact = json.loads(line)
        facts |= fact
        if "link" in fact:
            links.append(fact["link"])
            agent.stdin.write(json.dumps(browser.decide(fact["link"])) + "\n")
            agent.stdin.flush()
    agent.stdin.close()
    agent.stdout.close()
    agent.wait(timeout=30)

    assert "fault" not in facts, (facts["stack"], links)
    assert facts["tools"][0] == "get_store_info"
    assert facts["products"] == facts["refreshed"] == 1
    assert facts["onHand"] == 4
    assert len(links) == 2
    assert "inventory%3Awrite" in links[1]
    assert Agent.objects.get().application.name == "TypeScript agent"
    assert AgentCall.objects.filter(tool="adjust_inventory", outcome="ok").count() == 1
    revoke(server, facts)


def revoke(server, facts):
    """What the user does on leaving; the refresh token opens nothing afterwards."""
    given = {"client_id": facts["client"]}
    oauth = f"{server.url}/api/v1/oauth"
    revoked = httpx.post(f"{oauth}/revoke", data=given | {"token": facts["refresh"]})
    refreshed = httpx.post(
        f"{oauth}/token",
        data=given | {"grant_type": "refresh_token", "refresh_token": facts["refresh"]},
    )
    assert revoked.status_code == 200
    assert refreshed.status_code == 400
