from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Reads the outbox, and gives the worker its sending loop."""

    name = "integrations.webhooks"

    def ready(self) -> None:
        from integrations.webhooks import sending, services
        from integrations.webhooks.models import Endpoint
        from integrations.webhooks.sealing import context_of
        from storeplatform.kernel import outbox
        from storeplatform.kernel.housekeeping import always, every
        from storeplatform.kernel.rotation import sealed_column

        sealed_column(Endpoint, "secret", context_of)
        sealed_column(Endpoint, "previous_secret", context_of)
        outbox.on_batch(services.fan_out)
        always("webhooks")(sending.send_due)
        every(3600, "webhook_purge")(services.purge)
