"""Both engines keep the same promises: reliability.md, section 7."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from storeplatform.kernel import background, outbox
from storeplatform.kernel.models import BackgroundTask, OutboxEvent
from tests import tasks
from tests.factories import a_store
from tests.servers import ROOT

ENGINES = {
    "database": ["manage.py", "work"],
    "celery": [
        "-m", "celery", "--app", "storeplatform.celery_worker", "worker", "--pool", "solo",
        "--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ],
}  # fmt: skip


class Engine:
    """The worker process of an engine, and this process enqueueing for it."""

    def __init__(self, name):
        self.name = name
        self.processes = []

    def start(self):
        environment = os.environ | {"TASKS": self.name, "LOG_LEVEL": "ERROR"}
        environment["DJANGO_SETTINGS_MODULE"] = "tests.task_settings"
        self.processes.append(
            subprocess.Popen([sys.executable, *ENGINES[self.name]], cwd=ROOT, env=environment)
        )

    def kill(self):
        self.processes[-1].kill()
        self.processes[-1].wait()

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(params=ENGINES)
def engine(request, settings, parallel):
    backend = {
        "database": "django_tasks_db.DatabaseBackend",
        "celery": "storeplatform.kernel.celery_tasks.CeleryBackend",
    }[request.param]
    settings.TASKS = {"default": {"BACKEND": backend, "QUEUES": ["default"]}}
    chosen = Engine(request.param)
    yield chosen
    chosen.stop()


def effects(label):
    return OutboxEvent.objects.filter(type="test.effect", data__label=label).count()


@transaction.atomic
def undone_mark(store):
    background.enqueue(tasks.leave_a_mark, store_id=store, label="undone")
    raise ZeroDivisionError


def until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_an_engine_keeps_its_promises(engine):
    store = str(a_store().pk)
    engine.start()

    # Once per effect, however often the id comes; nothing of a transaction that was undone.
    with transaction.atomic():
        task_id = background.enqueue(tasks.leave_a_mark, store_id=store, label="once")
    with pytest.raises(ZeroDivisionError):
        undone_mark(store)
    until(lambda: effects("once"))
    for _ in range(3):
        BackgroundTask.objects.filter(pk=task_id).update(due_at=timezone.now())
        background.send(task_id)

    # A delay is kept.
    begin = timezone.now()
    delay = timedelta(seconds=3)
    background.enqueue(tasks.leave_a_mark, delay=delay, store_id=store, label="late")

    # A failing call leaves nothing behind, is tried again, and succeeds once.
    background.enqueue(tasks.fail_at_first, store_id=store, label="second try")
    poison = background.enqueue(tasks.always_fail, store_id=store, label="poison")
    until(lambda: effects("second try"))
    until(lambda: effects("late"))
    assert timezone.now() - begin >= delay - timedelta(milliseconds=100)

    # A poison call stops in the end and can be run again by hand.
    row = BackgroundTask.objects.filter(pk=poison)
    until(lambda: row.get().last_error)
    for _ in range(background.MAX_ATTEMPTS):
        if row.get().attempts >= background.MAX_ATTEMPTS:
            break
        row.update(due_at=timezone.now(), last_error="")  # written with the next time to try
        background.send(poison)
        until(lambda: row.get().last_error)
    row.update(due_at=timezone.now() - background.LEASE)
    background.send(poison)
    background.rescue()
    background.enqueue(tasks.leave_a_mark, store_id=store, label="behind it")
    until(lambda: effects("behind it"))
    time.sleep(1)
    assert row.get().attempts == background.MAX_ATTEMPTS
    assert row.get().done_at is None
    assert effects("poison") == 0
    assert background.revive(BackgroundTask.objects.all()) == 1

    # A worker that is killed in the middle leaves half an effect to nobody.
    dying = background.enqueue(tasks.die_in_the_middle, store_id=store, label="crash")
    until(lambda: engine.processes[-1].poll() is not None)
    assert effects("crash") == 0
    BackgroundTask.objects.filter(pk=dying).update(due_at=timezone.now() - background.LEASE)
    engine.start()
    background.rescue()
    until(lambda: effects("crash"))
    time.sleep(1)

    expected = {"once": 1, "undone": 0, "late": 1, "second try": 1, "crash": 1}
    assert {label: effects(label) for label in expected} == expected


def test_what_is_not_declared_is_not_enqueued(db):
    with pytest.raises(LookupError):
        background.enqueue(print, text="x")


# The outbox by batches


def emit(store, count, subject=None):
    for number in range(count):
        outbox.emit(
            "test.many", store_id=store.pk, subject_id=subject or store.pk, data={"n": number}
        )


def test_many_events_take_few_statements(store, queries):
    seen = []
    outbox.on_batch(seen.append)
    emit(store, 400)

    with queries() as statements:
        outbox.handle(outbox.claim())

    outbox._batch_handlers.pop()
    assert [event.data["n"] for event in seen[0]] == list(range(400))
    assert len(statements) < 12


def test_a_failing_event_holds_back_its_subject_only(store):
    seen = []

    def fail_once(event):
        seen.append((str(event.subject_id)[:1], event.data["n"], event.attempts))
        if event.data["n"] == 0 and event.attempts == 1 and event.subject_id == store.pk:
            raise RuntimeError("not yet")

    outbox.on("test.many")(fail_once)
    other = a_store()
    emit(store, 3)
    emit(other, 1)
    try:
        outbox.drain()
        waiting = OutboxEvent.objects.filter(done_at=None, subject_id=store.pk).count()
        done = OutboxEvent.objects.filter(done_at__isnull=False, subject_id=other.pk).count()
        outbox.drain()
        OutboxEvent.objects.filter(attempts=1).update(due_at=timezone.now())
        for _ in range(3):
            outbox.drain()
    finally:
        outbox._handlers.pop("test.many")

    assert (waiting, done) == (3, 1)
    mine = [(n, attempts) for _, n, attempts in seen if n or attempts > 1]
    assert mine == [(0, 2), (1, 1), (2, 1)]
    assert not OutboxEvent.objects.filter(done_at=None).exists()


def test_positions_follow_one_another_and_survive_another_try(store):
    emit(store, 5)
    outbox.claim()
    before = dict(OutboxEvent.objects.values_list("id", "position"))
    OutboxEvent.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    outbox.drain()

    assert [before[key] for key in sorted(before)] == sorted(before.values())
    assert dict(OutboxEvent.objects.values_list("id", "position")) == before


def test_given_up_events_are_run_again(store):
    emit(store, 1)
    OutboxEvent.objects.update(attempts=outbox.MAX_ATTEMPTS)
    assert outbox.drain() == 0
    assert outbox.dead().count() == 1

    assert outbox.revive(OutboxEvent.objects.all()) == 1

    assert outbox.drain() == 1
    assert outbox.dead().count() == 0


@pytest.mark.usefixtures("parallel")
def test_the_outbox_handles_many_events_in_few_batches():
    store = a_store()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO kernel_outboxevent (id, store_id, type, subject_id, sequence, data,"
            " request_id) SELECT gen_random_uuid(), %s, 'order.created', gen_random_uuid(), 1,"
            " '{}', '' FROM generate_series(1, 5000)",
            [store.pk],
        )

    batches = 0
    while outbox.drain():
        batches += 1

    assert not OutboxEvent.objects.filter(done_at=None).exists()
    assert batches <= 5000 / outbox.BATCH
