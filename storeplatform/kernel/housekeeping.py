"""Jobs that the background worker runs from time to time; areas register theirs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.db import close_old_connections

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Job:
    """A function to call every so many seconds; it answers how many rows it dealt with."""

    name: str
    every: float
    function: Callable[[], int]
    due: float = field(default=0.0)


_jobs: list[Job] = []


def every(seconds: float, name: str) -> Callable[[Callable[[], int]], Callable[[], int]]:
    def register(function: Callable[[], int]) -> Callable[[], int]:
        _jobs.append(Job(name, seconds, function))
        return function

    return register


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
