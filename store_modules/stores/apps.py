from django.apps import AppConfig


class StoresConfig(AppConfig):
    """Registers the forgetting of old sign-ins, failures and tokens."""

    name = "store_modules.stores"

    def ready(self) -> None:
        from store_modules.stores import checks  # noqa: F401  # registers itself
        from store_modules.stores.people import purge
        from storeplatform.kernel.housekeeping import every

        every(3600, "sign_in_purge")(purge)
