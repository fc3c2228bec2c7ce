"""What Prometheus and a trace collector get."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from storeplatform.kernel import ids, metrics, outbox, tracing
from storeplatform.kernel.ids import first_of, uuid7
from storeplatform.kernel.models import OutboxEvent
from tests.clients import ApiClient
from tests.servers import RunningServer

LINE = re.compile(r"^(\w+)(?:\{(.*)\})? ([\d.e+-]+)$", re.MULTILINE)


def numbers(text):
    return {(name, labels): float(value) for name, labels, value in LINE.findall(text)}


def read(**headers):
    answer = ApiClient("").request("get", "/metrics", **headers)
    assert answer.status_code == 200, answer.content
    return numbers(answer.content.decode())


@pytest.fixture(autouse=True)
def _asked_anew():
    metrics._kept["until"] = 0


def test_requests_and_problems_are_counted_by_route(api):
    route = 'method="GET",route="api/v1/store/^customers\\\\Z"'
    before = read()

    api.get("/customers")
    api.get("/customers?page=0")

    after = read()
    found = [key for key in after if key[0] == "store_requests_total" and "customers" in key[1]]
    grown = {key[1]: after[key] - before.get(key, 0) for key in found}
    assert sum(grown.values()) == 2, (route, grown)
    assert any('status="200"' in labels for labels, by in grown.items() if by == 1)
    refused = ("store_problems_total", 'code="validation_error"')
    assert after[refused] - before.get(refused, 0) == 1
    assert any(name == "store_request_seconds_bucket" for name, _ in after)


def test_what_callers_make_up_is_no_label(api):
    api.request("BREW", "/customers")
    api.get("/no/such/route-0001")

    text = str(read())

    assert "BREW" not in text
    assert "route-0001" not in text


def test_the_database_tells_what_waits(db, store):
    read()
    old = timezone.now() - timedelta(minutes=5)
    waits = OutboxEvent(store_id=store.pk, type="x", subject_id=uuid7(), created_at=old)
    dead = OutboxEvent(
        store_id=store.pk, type="x", subject_id=uuid7(), attempts=outbox.MAX_ATTEMPTS
    )
    OutboxEvent.objects.bulk_create([waits, dead])
    metrics._kept["until"] = 0

    told = read()

    assert told["store_outbox", 'state="waiting"'] >= 1
    assert told["store_outbox", 'state="given_up"'] == 1
    assert told["store_outbox", 'state="oldest_seconds"'] >= 299
    assert told["store_database_up", ""] == 1
    for name in ("store_tasks", "store_webhooks", "store_otp_day"):
        assert any(found == name for found, _ in told), name


def test_the_page_has_a_token(db, settings):
    settings.METRICS_TOKEN = "a-token-of-a-scraper"

    none = ApiClient("").request("get", "/metrics")
    wrong = ApiClient("").request("get", "/metrics", Authorization="Bearer a-token")
    right = ApiClient("").request("get", "/metrics", Authorization="Bearer a-token-of-a-scraper")

    assert (none.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert none["WWW-Authenticate"] == "Bearer"


def test_production_without_a_token_has_no_page(db, settings):
    settings.DEVELOPMENT = False

    assert ApiClient("").request("get", "/metrics").status_code == 404


def test_ids_begin_where_their_time_does(monkeypatch):
    monkeypatch.setattr(ids, "_last", 0)  # a test before may have gone into the future
    now = timezone.now()

    assert first_of(now - timedelta(milliseconds=2)) < uuid7() < first_of(now + timedelta(hours=1))


def test_all_workers_count_together(parallel, tmp_path):
    server = RunningServer(workers=2, METRICS_DIR=str(tmp_path), METRICS_TOKEN="token-of-the-test")
    try:
        with ThreadPoolExecutor(8) as pool:
            got = list(
                pool.map(lambda _: httpx.get(f"{server.url}/.well-known/jwks.json"), range(60))
            )
        assert {one.status_code for one in got} == {404}  # no public keys under HS256
        time.sleep(2.5)  # every process has sampled
        headers = {"Authorization": "Bearer token-of-the-test"}
        texts = [httpx.get(f"{server.url}/metrics", headers=headers).text for _ in range(6)]
    finally:
        server.stop()

    counts = set()
    for text in texts:
        told = numbers(text)
        counts.add(
            sum(
                value
                for (name, labels), value in told.items()
                if name == "store_requests_total" and "jwks" in labels
            )
        )
        assert told["store_process", 'what="database_connections"'] >= 2
        assert told["store_process", 'what="hub_connections"'] == 0
        assert told["store_process", 'what="database_waiting"'] == 0
    assert counts == {60}
    assert len({file.name for file in tmp_path.glob("counter_*.db")}) == 2
    metrics_left = [pid for _, pid in pids_in(tmp_path)]
    assert not any(metrics.is_alive(pid) for pid in metrics_left)


def pids_in(folder):
    for file in folder.glob("*.db"):
        yield file, int(metrics.PID.search(file.name)[1])


def test_a_request_is_a_span_of_the_callers_trace(db, api, monkeypatch):
    kept = InMemorySpanExporter()
    made = tracing.tracer_to(SimpleSpanProcessor(kept))
    monkeypatch.setattr(tracing, "tracer", lambda: made)
    trace = "0af7651916cd43dd8448eb211c80319c"

    answer = api.get("/customers", Traceparent=f"00-{trace}-b7ad6b7169203331-01")
    api.get("/customers?page=0")

    first, second = kept.get_finished_spans()
    assert f"{first.context.trace_id:032x}" == trace
    assert first.name.startswith("GET api/v1/store/")
    assert first.attributes["http.response.status_code"] == 200
    assert first.attributes["store.request_id"] == answer["X-Request-Id"]
    assert first.attributes["store.queries"] >= 1
    assert second.attributes["http.response.status_code"] == 400
    assert f"{second.context.trace_id:032x}" != trace
