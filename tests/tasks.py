"""Background functions of the engines' contract test; the workers import them from here."""

import os
import signal
from uuid import UUID

from storeplatform.kernel.background import background
from storeplatform.kernel.models import BackgroundTask
from storeplatform.kernel.outbox import emit


def mark(store_id, label):
    emit("test.effect", store_id=UUID(store_id), subject_id=UUID(store_id), data={"label": label})


@background()
def leave_a_mark(store_id, label):
    mark(store_id, label)


@background()
def fail_at_first(store_id, label):
    mark(store_id, label)
    if BackgroundTask.objects.get(arguments__label=label).attempts == 1:
        raise RuntimeError("the first try")


@background()
def always_fail(store_id, label):
    mark(store_id, label)
    raise RuntimeError("always")


@background()
def die_in_the_middle(store_id, label):
    mark(store_id, label)
    if BackgroundTask.objects.get(arguments__label=label).attempts == 1:
        os.kill(os.getpid(), signal.SIGKILL)
