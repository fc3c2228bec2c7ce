from django.apps import AppConfig
from django.conf import settings


class KernelConfig(AppConfig):
    """Registers the start-up checks and sets up logging."""

    name = "storeplatform.kernel"
    label = "kernel"

    def ready(self) -> None:
        from storeplatform.kernel import checks, logging  # noqa: F401, PLC0415 # need loaded apps

        logging.configure(settings.ENV.LOG_LEVEL)
