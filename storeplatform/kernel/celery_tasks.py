"""The other engine: calls go through Redis to Celery workers on any number of machines, which
load `storeplatform.celery_worker`."""

from typing import Any
from uuid import uuid4

from celery import Celery, Task
from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils import timezone
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import TaskResult, TaskResultStatus


def broker_url(redis_url: str) -> str:
    """A Redis address as Celery spells it; sockets are `redis+socket://`."""
    if redis_url.startswith("unix://"):
        path, _, database = redis_url.removeprefix("unix://").partition("?db=")
        return f"redis+socket://{path}?virtual_host={database or 0}"
    return redis_url


def make_app() -> Celery:
    app = Celery("storeplatform", broker=broker_url(settings.REDIS_URL))
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,  # a message of a dead worker comes again; the call's row decides
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": 3600,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
        },
        task_publish_retry=False,  # a lost message is sent again by `background.rescue`
        enable_utc=True,
    )
    return app


app = make_app()


class CallTask(Task):
    """Runs our `background.run` with the connection handling of a request."""

    name = "storeplatform.run"

    def run(self, task_id: str) -> None:
        from storeplatform.kernel import background

        close_old_connections()
        try:
            background.run.call(task_id)
        finally:
            close_old_connections()


app.register_task(CallTask())


class CeleryBackend(BaseTaskBackend):
    """django-tasks' way to Celery. A message is sent after the commit; one that cannot be sent, or
    is lost, is sent again by `background.rescue`."""

    supports_defer = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        self.validate_task(task)
        transaction.on_commit(lambda: publish(args[0], task.run_after), robust=True)
        return TaskResult(
            task=task,
            id=str(uuid4()),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )


def publish(task_id: str, due: Any) -> None:
    app.send_task(CallTask.name, args=[task_id], eta=due)
