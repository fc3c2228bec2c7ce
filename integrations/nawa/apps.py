from django.apps import AppConfig


class NawaConfig(AppConfig):
    """Offers Nawa for messages and shipments, and carries out what it tells us."""

    name = "integrations.nawa"

    def ready(self) -> None:
        from integrations.nawa import webhooks
        from integrations.nawa.messages import NawaMessages
        from integrations.nawa.shipments import NawaShipments
        from store_modules.delivery.providers import PROVIDERS as DELIVERY
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.messaging import PROVIDERS as MESSAGING

        MESSAGING["nawa"] = NawaMessages()
        DELIVERY["nawa"] = NawaShipments()
        every(1, "nawa_events")(webhooks.process_due)
        every(3600, "nawa_purge")(webhooks.purge)
