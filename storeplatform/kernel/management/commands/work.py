"""The background worker: outbox events, webhooks, background tasks and the housekeeping."""

import signal
import threading
import time
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from storeplatform.kernel import housekeeping, outbox

log = structlog.get_logger(__name__)
IDLE_SECONDS = 0.3


class Command(BaseCommand):
    help = "Handle events, webhooks, background tasks and housekeeping until SIGTERM."

    def handle(self, *_: Any, **__: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        loops = housekeeping.start_loops(stop)
        while not stop.is_set():
            try:
                handled = outbox.drain()
                housekeeping.run_due(time.monotonic())
            except DatabaseError as error:
                log.warning("worker_waits", error=type(error).__name__)
                close_old_connections()
                handled = 0
            if not handled:
                stop.wait(IDLE_SECONDS)
        for loop in loops:
            loop.join()
