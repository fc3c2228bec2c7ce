from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Answers whether a store has amounts of money."""

    name = "store_modules.catalog"

    def ready(self) -> None:
        from store_modules.catalog.models import Product
        from store_modules.stores.trading import has_money

        has_money.register(lambda store_id: Product.objects.filter(store_id=store_id).exists())
