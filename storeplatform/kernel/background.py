"""Work that a request leaves to others: functions called later, by django-tasks or Celery.

`@background` declares a function, `enqueue` stores a call of it in the caller's transaction. The
engine (settings.TASK_ENGINE) only carries the call's id to some process. Whether it runs, how often
it is tried and when it is given up stands in the call's own row, so both engines keep the same
promises: a call runs after its commit or not at all; a process that dies loses none; a failing call
waits longer each time and stops after eight tries; what it writes, it writes once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django_tasks import task

from storeplatform.kernel import metrics
from storeplatform.kernel.models import BackgroundTask

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
LEASE = timedelta(seconds=60)
LOST_AFTER = timedelta(seconds=30)  # a due call that no process took is sent again
KEPT = timedelta(days=7)
RESCUED = 500


@dataclass(frozen=True, slots=True)
class Work:
    """A declared function. `in_transaction`: its writes and the mark that it is done commit as
    one, so it has its effect once, and must not wait for a network. Otherwise it may run twice."""

    function: Callable[..., Any]
    in_transaction: bool


_declared: dict[str, Work] = {}


def background(*, in_transaction: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Declares a function that `enqueue` may call. Its arguments are JSON and hold no secret."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        _declared[name_of(function)] = Work(function, in_transaction)
        return function

    return declare


def name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}"


def enqueue(
    function: Callable[..., Any], *, delay: timedelta = timedelta(), **arguments: Any
) -> UUID:
    """Have a declared function called once this transaction has committed, `delay` later."""
    name = name_of(function)
    if name not in _declared:
        raise LookupError(f"{name} is not declared with @background")
    due = timezone.now() + delay
    row = BackgroundTask.objects.create(name=name, arguments=arguments, due_at=due)
    send(row.pk, due if delay else None)
    return row.pk


def send(task_id: UUID, due: datetime | None = None) -> None:
    """Give the call's id to the engine."""
    run.using(run_after=due).enqueue(str(task_id))


@task()
def run(task_id: str) -> None:
    """Try a call. An id that comes twice, too early or for a finished call does nothing."""
    now = timezone.now()
    mine = BackgroundTask.objects.filter(pk=task_id, done_at=None)
    taken = mine.filter(due_at__lte=now + timedelta(milliseconds=50), attempts__lt=MAX_ATTEMPTS)
    if not taken.update(attempts=F("attempts") + 1, due_at=now + LEASE):
        return
    row = mine.get()
    work = _declared.get(row.name)
    try:
        if work is None:
            raise LookupError(f"{row.name} is not declared")
        if work.in_transaction:
            with transaction.atomic():
                finish_once(row, work)
        else:
            work.function(**row.arguments)
            mine.update(done_at=timezone.now(), last_error="")
    except Exception as error:  # any fault of the function must leave the call for another try
        put_back(row, error)


def finish_once(row: BackgroundTask, work: Work) -> None:
    """The call's effect with its mark. The row's lock keeps out a second process whose lease
    began when this one's ended."""
    locked = BackgroundTask.objects.select_for_update(skip_locked=True)
    if locked.filter(pk=row.pk, done_at=None).first() is None:
        return
    work.function(**row.arguments)
    BackgroundTask.objects.filter(pk=row.pk).update(done_at=timezone.now(), last_error="")


def put_back(row: BackgroundTask, error: Exception) -> None:
    metrics.FAILED.labels("task").inc()
    log.error("task_failed", task_id=str(row.pk), name=row.name, exc_info=error)
    due = timezone.now() + timedelta(seconds=min(2**row.attempts, 3600))
    BackgroundTask.objects.filter(pk=row.pk).update(due_at=due, last_error=str(error)[:500])
    if row.attempts < MAX_ATTEMPTS:
        send(row.pk, due)


@metrics.from_database("store_tasks", "Background calls not done: waiting, given up.")
def standing() -> dict[str, float]:
    """By the index of undone calls."""
    undone = BackgroundTask.objects.filter(done_at=None)
    return {
        "waiting": metrics.at_most(undone.filter(attempts__lt=MAX_ATTEMPTS)),
        "given_up": metrics.at_most(undone.filter(attempts__gte=MAX_ATTEMPTS)),
    }


def rescue() -> int:
    """Send calls again whose process died or whose message was lost; returns how many."""
    late = timezone.now() - LOST_AFTER
    lost = BackgroundTask.objects.filter(
        done_at=None, attempts__lt=MAX_ATTEMPTS, due_at__lte=late
    ).order_by("due_at")
    ids = list(lost.values_list("pk", flat=True)[:RESCUED])
    for task_id in ids:
        send(task_id)
    return len(ids)


def revive(tasks: QuerySet[BackgroundTask]) -> int:
    """Try given-up calls again from the start; returns how many."""
    ids = list(tasks.filter(done_at=None, attempts__gte=MAX_ATTEMPTS).values_list("pk", flat=True))
    BackgroundTask.objects.filter(pk__in=ids).update(
        attempts=0, due_at=timezone.now(), last_error=""
    )
    for task_id in ids:
        send(task_id)
    return len(ids)


def purge() -> int:
    """Forget finished calls older than a week, and the engine's own rows older than a day."""
    from django_tasks_db.models import DBTaskResult

    now = timezone.now()
    gone, _ = BackgroundTask.objects.filter(
        done_at__isnull=False, created_at__lt=now - KEPT
    ).delete()
    carried = DBTaskResult.objects.exclude(status="READY")
    carried.filter(enqueued_at__lt=now - timedelta(days=1)).delete()
    return gone
