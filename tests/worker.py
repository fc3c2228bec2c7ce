"""What the background worker does, called by hand."""

from django.utils import timezone

from integrations.nawa import webhooks as inbound
from integrations.webhooks import sending
from storeplatform.kernel import background, outbox
from storeplatform.kernel.models import BackgroundTask, OutboxEvent


def work():
    """Everything until nothing is left to do now."""
    count = 1
    while count:
        count = inbound.process_due() + outbox.drain() + run_tasks() + sending.send_all()


def run_tasks():
    """The calls that are due now, once each; returns how many there were."""
    due = BackgroundTask.objects.filter(
        done_at=None, due_at__lte=timezone.now(), attempts__lt=background.MAX_ATTEMPTS
    )
    ids = list(due.values_list("pk", flat=True))
    for task_id in ids:
        background.run.call(str(task_id))
    return len(ids)


def make_due():
    """What waits for another try waits no longer."""
    BackgroundTask.objects.filter(done_at=None).update(due_at=timezone.now())
    OutboxEvent.objects.filter(done_at=None).update(due_at=timezone.now())
