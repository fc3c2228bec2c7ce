from django.apps import AppConfig
from django.conf import settings


class KernelConfig(AppConfig):
    """Registers the start-up checks and sets up logging."""

    name = "storeplatform.kernel"
    label = "kernel"

    def ready(self) -> None:
        from storeplatform.kernel import background, checks, idempotency, logging, outbox  # noqa: F401
        from storeplatform.kernel.engine import THREADS, run_calls
        from storeplatform.kernel.housekeeping import always, every

        logging.configure(settings.ENV.LOG_LEVEL)
        every(3600, "idempotency_purge")(idempotency.purge)
        every(3600, "outbox_purge")(outbox.purge)
        every(3600, "task_purge")(background.purge)
        every(10, "task_rescue")(background.rescue)
        for number in range(THREADS):
            always(f"tasks-{number}")(run_calls)
