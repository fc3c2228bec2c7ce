from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """Has stores told of keys that end soon; tells the hub what a key may do, and hears of keys
    that were shown to it."""

    name = "integrations.api_keys"

    def ready(self) -> None:
        from chat.hub_tokens import actor_of_key, key_exposed
        from integrations.api_keys import services
        from integrations.api_keys.authentication import standing_actor
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.rotation import counted_by_version

        counted_by_version("API_KEY_PEPPER")(services.keys_by_pepper)
        every(3600, "api_keys_expiring")(services.tell_expiring)
        actor_of_key.register(standing_actor)
        key_exposed.register(services.note_exposed)
