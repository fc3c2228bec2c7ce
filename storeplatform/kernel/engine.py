"""Runs the calls that django-tasks keeps in the database, on a thread of the background worker."""

import threading

from django.conf import settings
from django.db import close_old_connections, transaction
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

IDLE_SECONDS = 0.3
THREADS = 2


def run_one(worker: Worker) -> bool:
    """Run one due call; False when there is none."""
    with transaction.atomic():
        ready = DBTaskResult.objects.ready().filter(backend_name="default")
        found = ready.get_locked()
        if found is None:
            return False
        found.claim(worker.worker_id)
    worker.run_task(found)
    return True


def run_calls(stop: threading.Event) -> None:
    """The worker's loop, while the database is the engine."""
    worker = Worker(
        queue_names=["default"],
        interval=IDLE_SECONDS,
        batch=False,
        backend_name="default",
        startup_delay=False,
        max_tasks=None,
        worker_id=threading.current_thread().name[:64],
        excluded_queue_names=[],
    )
    while not stop.is_set():
        close_old_connections()
        if settings.TASK_ENGINE != "database" or not run_one(worker):
            stop.wait(IDLE_SECONDS)
