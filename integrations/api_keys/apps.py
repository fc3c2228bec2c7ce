from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """Tells the hub what a key may do now, and hears of keys that were shown to it."""

    name = "integrations.api_keys"

    def ready(self) -> None:
        from chat.hub_tokens import actor_of_key, key_exposed
        from integrations.api_keys.authentication import standing_actor
        from integrations.api_keys.services import note_exposed

        actor_of_key.register(standing_actor)
        key_exposed.register(note_exposed)
