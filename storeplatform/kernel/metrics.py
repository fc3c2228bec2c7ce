"""What Prometheus reads at `/metrics` (DOCS/operations.md).

Every process of a host writes its numbers into files of one folder, and whichever answers a scrape
adds them up. What the database knows is asked at the scrape, by statements that an index answers.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from psycopg_pool import PoolTimeout

FOLDER: Path = settings.METRICS_DIR
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOLDER)  # read when the library loads
FOLDER.mkdir(parents=True, exist_ok=True)

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 2.0  # between looks at what runs
KEPT_SECONDS = 5.0  # the database is asked again after this
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
PID = re.compile(r"_(\d+)\.db$")

REQUESTS = Counter(
    "store_requests", "Answered requests.", ["method", "route", "status"], registry=None
)
DURATION = Histogram(
    "store_request_seconds",
    "From the first byte read by Django to the answer.",
    ["method", "route"],
    buckets=SECONDS,
    registry=None,
)
PROBLEMS = Counter("store_problems", "Refusals and faults by code.", ["code"], registry=None)
EVENTS = Counter("store_events_handled", "Outbox events handled.", ["type"], registry=None)
FAILED = Counter("store_work_failed", "Failed tries of background work.", ["kind"], registry=None)
AGENT_CALLS = Counter(
    "store_agent_calls", "Calls of AI agents.", ["tool", "outcome"], registry=None
)
AGENT_SECONDS = Histogram(
    "store_agent_call_seconds",
    "From the first byte of an agent's call to its record.",
    ["tool"],
    buckets=SECONDS,
    registry=None,
)
LIVE = Gauge(
    "store_process",
    "What the processes hold at this moment, added up: running requests, waiting for a database"
    " connection, open connections, hub connections.",
    ["what"],
    registry=None,
    multiprocess_mode="livesum",
)

MOST = 100_000  # rows that a gauge counts

Source = Callable[[], dict[str, float]]
_sources: dict[str, tuple[str, Source]] = {}
_samples: dict[str, Callable[[], float]] = {}
_kept: dict[str, Any] = {"until": 0.0, "families": []}


def from_database(name: str, tells: str) -> Callable[[Source], Source]:
    """Registers a gauge whose values, by their `state`, the database knows. Its statement must be
    answered by an index."""

    def register(source: Source) -> Source:
        _sources[name] = (tells, source)
        return source

    return register


def at_most(rows: Any) -> int:
    """How many rows, counted up to a hundred thousand."""
    counted: int = rows.order_by()[:MOST].count()
    return counted


def from_process(what: str, sample: Callable[[], float]) -> None:
    """Registers a number that this process knows; `sample_all` writes it down."""
    _samples[what] = sample


def sample_all() -> None:
    for what, sample in _samples.items():
        LIVE.labels(what).set(sample())


async def keep_sampling() -> None:
    """As long as the process serves."""
    while True:
        try:
            sample_all()
        except Exception:
            log.exception("sampling_failed")
        await asyncio.sleep(SAMPLE_SECONDS)


def answered(method: str, route: str, status: int, seconds: float) -> None:
    REQUESTS.labels(method, route, status).inc()
    DURATION.labels(method, route).observe(seconds)


def refused(code: str) -> None:
    PROBLEMS.labels(code).inc()


def pool_facts(name: str) -> Callable[[], float]:
    def read() -> float:
        pools = getattr(connections["default"], "_connection_pools", {})
        pool = pools.get("default")
        return float(pool.get_stats().get(name, 0)) if pool else 0.0

    return read


from_process("database_connections", pool_facts("pool_size"))
from_process("database_waiting", pool_facts("requests_waiting"))


class Known:
    """The database's gauges as a collector."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if _kept["until"] < time.monotonic():
            _kept["families"] = list(self.ask())
            _kept["until"] = time.monotonic() + KEPT_SECONDS
        yield from _kept["families"]

    def ask(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("store_database_up", "1 when the database answers.")
        try:
            for name, (tells, source) in _sources.items():
                family = GaugeMetricFamily(name, tells, labels=["state"])
                for state, value in source().items():
                    family.add_metric([state], value)
                yield family
            up.add_metric([], 1)
        except (DatabaseError, PoolTimeout) as error:
            log.warning("metrics_without_database", error=type(error).__name__)
            up.add_metric([], 0)
        yield up


def live(what: str) -> float:
    """A number of `store_process`, of all processes of this host."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(FOLDER))  # type: ignore[no-untyped-call]
    return registry.get_sample_value("store_process", {"what": what}) or 0.0


def pids() -> Iterator[tuple[Path, int]]:
    for file in FOLDER.glob("*.db"):
        if found := PID.search(file.name):
            yield file, int(found[1])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def forget_dead() -> None:
    """Remove what processes of an earlier start left; called before a start."""
    for file, pid in pids():
        if not is_alive(pid):
            file.unlink(missing_ok=True)


def text() -> bytes:
    for pid in {pid for _, pid in pids()}:
        if not is_alive(pid):
            mark_process_dead(pid, str(FOLDER))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(FOLDER))  # type: ignore[no-untyped-call]
    registry.register(Known())
    return generate_latest(registry)
