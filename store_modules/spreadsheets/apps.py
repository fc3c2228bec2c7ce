from django.apps import AppConfig


class SpreadsheetsConfig(AppConfig):
    """Takes files in as their events come due."""

    name = "store_modules.spreadsheets"

    def ready(self) -> None:
        from store_modules.spreadsheets import importing, services
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.outbox import on

        on(importing.EVENT)(importing.take_turn)
        every(3600, "import_sweep")(services.sweep)
