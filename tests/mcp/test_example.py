"""The example of store-mcp-server.md, played on a store like the one it speaks of."""

import json
import re

from store_modules.catalog.models import InventoryItem
from store_modules.purchasing.models import Supplier
from tests.clients import client_of
from tests.factories import a_product, an_order_body
from tests.mcp.agents import Wire, a_token, an_agent
from tests.test_documents import DOCS

PAGE = (DOCS / "store-mcp-server.md").read_text()
EXAMPLE = PAGE.partition("## An example")[2].partition("\n## ")[0]
STEP = re.compile(r"^`(\w+)`\n```json\n(.*?)\n```\n```json\n(.*?)\n```", re.MULTILINE | re.DOTALL)
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def the_store_of_the_page(shop):
    Supplier.objects.create(store=shop, name="Basra Trading")
    few = a_product(shop, name="White shirt, M", sku="SHIRT-M", price=15_000, quantity=4)
    many = a_product(shop, name="White shirt, L", sku="SHIRT-L", price=15_000, quantity=80)
    InventoryItem.objects.filter(product=few).update(reorder_point=12)
    api = client_of(shop)
    order = api.post("/orders", an_order_body(shop, (many, 1))).json()
    ticket = {"subject": "Wrong size", "description": "I asked for M, and L came."}
    made = api.post("/tickets", ticket | {"priority": "high", "orderId": order["id"]})
    assert made.status_code == 201, made.content


def shown(part, whole, names):
    """Whether the answer has what the page shows of it. The page's ids stand for the real ones."""
    if isinstance(part, dict):
        return whole.keys() >= part.keys() and all(
            shown(value, whole[name], names) for name, value in part.items()
        )
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(shown, part, whole, [names] * len(part)))
    if isinstance(part, str) and ID.fullmatch(part):
        return names.setdefault(part, whole) == whole
    return part == whole


def test_the_example_of_the_page_is_what_the_server_says(server, shop, settings):
    settings.MCP_RESOURCE = server.mcp
    the_store_of_the_page(shop)
    wire = Wire(server.mcp, a_token(an_agent(shop)))
    names = {}
    steps = STEP.findall(EXAMPLE)

    for tool, arguments, answer in steps:
        for written, real in names.items():
            arguments = arguments.replace(written, real)
        given = wire.result(tool, **json.loads(arguments))
        assert shown(json.loads(answer), given, names), (tool, given)

    assert [tool for tool, _, _ in steps] == [
        "list_inventory", "draft_purchase_order", "search_tickets", "get_ticket", "get_order",
        "reply_to_ticket", "update_ticket",
    ]  # fmt: skip
    assert len(names) == 2


def test_the_page_lists_every_tool(server, shop, settings):
    settings.MCP_RESOURCE = server.mcp
    wire = Wire(server.mcp, a_token(an_agent(shop)))
    listed = PAGE.partition("## Tools")[2].partition("`tools/list`")[0]

    named = set(re.findall(r"`([a-z_]+)`", listed))

    tools = {one["name"] for one in wire.post("tools/list").json()["result"]["tools"]}
    assert named == tools | {"refund_order"}
