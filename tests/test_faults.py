"""Servers that go away and come back: reliability.md, section 4."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from storeplatform.local_servers import LocalServers
from tests.servers import ROOT, RunningServer
from tests.servers_plugin import fill


@pytest.fixture
def servers():
    folder = Path(tempfile.mkdtemp(prefix="store-fault-"))
    with LocalServers(folder, durable=True) as own:
        yield own
    shutil.rmtree(folder)


@pytest.fixture
def server(servers):
    environment = {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "STATE_DIR": str(servers.state_dir),
        "RATE_LIMITS": "on",
    }
    fill(servers.database_url)
    subprocess.run(
        [sys.executable, "manage.py", "create_demo"],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    running = RunningServer(workers=1, **environment)
    yield running
    running.stop()


def key_of(servers):
    text = (servers.state_dir / "demo.json").read_text()
    return {"X-API-Key": text.partition('"apiKey": "')[2].partition('"')[0]}


def test_a_database_that_goes_away_is_told_and_forgotten(server, servers):
    products = f"{server.url}/api/v1/store/integrations/catalog/products"
    http = httpx.Client(headers=key_of(servers), timeout=30)
    assert http.get(products).status_code == 200
    servers.postgres.send_signal(signal.SIGINT)
    servers.postgres.wait()

    started = time.monotonic()
    away = http.get(products)
    took = time.monotonic() - started
    ready, live = (http.get(f"{server.url}/health/{name}") for name in ("ready", "live"))
    servers.start_postgres()
    deadline = time.monotonic() + 20
    while http.get(products).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.2)

    assert away.status_code == 503
    assert away.json()["code"] == "unavailable"
    assert away.headers["Retry-After"] == "1"
    assert took < 5
    assert (ready.status_code, live.status_code) == (503, 200)
    assert http.get(products).status_code == 200
    assert http.get(f"{server.url}/health/ready").status_code == 200
    http.close()


def test_without_valkey_requests_are_served_unlimited(server, servers):
    products = f"{server.url}/api/v1/store/integrations/catalog/products"
    assert "RateLimit" in httpx.get(products, headers=key_of(servers)).headers
    servers.valkey.terminate()
    servers.valkey.wait()

    away = httpx.get(products, headers=key_of(servers))
    health = httpx.get(f"{server.url}/health/ready")
    servers.start_valkey()
    back = httpx.get(products, headers=key_of(servers))

    assert away.status_code == 200
    assert (health.status_code, health.json()["broker"]) == (200, "away")
    assert "RateLimit" not in away.headers
    assert "RateLimit" in back.headers
