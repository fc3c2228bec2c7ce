from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """Has stores told of keys that end soon."""

    name = "integrations.api_keys"

    def ready(self) -> None:
        from integrations.api_keys import services
        from storeplatform.kernel.housekeeping import every

        every(3600, "api_keys_expiring")(services.tell_expiring)
