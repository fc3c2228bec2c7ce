"""What the background worker does besides events: jobs from time to time, and loops that run as
long as it does. Areas register theirs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.db import close_old_connections

log = structlog.get_logger(__name__)

Loop = Callable[[threading.Event], None]


@dataclass(slots=True)
class Job:
    """A function to call every so many seconds; it answers how many rows it dealt with."""

    name: str
    every: float
    function: Callable[[], int]
    due: float = field(default=0.0)


_jobs: list[Job] = []
_loops: dict[str, Loop] = {}


def every(seconds: float, name: str) -> Callable[[Callable[[], int]], Callable[[], int]]:
    def register(function: Callable[[], int]) -> Callable[[], int]:
        _jobs.append(Job(name, seconds, function))
        return function

    return register


def always(name: str) -> Callable[[Loop], Loop]:
    """Registers a function that has a thread of the worker for itself until its event is set."""

    def register(loop: Loop) -> Loop:
        _loops[name] = loop
        return loop

    return register


def start_loops(stop: threading.Event) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=keep, args=(name, loop, stop), name=name)
        for name, loop in _loops.items()
    ]
    for thread in threads:
        thread.start()
    return threads


def keep(name: str, loop: Loop, stop: threading.Event) -> None:
    """Run a loop, and again a second after it failed."""
    while not stop.is_set():
        try:
            loop(stop)
        except Exception:
            log.exception("loop_failed", loop=name)
            close_old_connections()
            stop.wait(1)
    close_old_connections()


def run_due(now: float) -> None:
    """Run what is due; a failing job is logged and waits for its next time."""
    for job in _jobs:
        if job.due > now:
            continue
        job.due = now + job.every
        try:
            count = job.function()
        except Exception:
            log.exception("job_failed", job=job.name)
            close_old_connections()
        else:
            if count:
                log.info("job_done", job=job.name, count=count)
