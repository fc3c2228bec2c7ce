from django.apps import AppConfig


class CashierConfig(AppConfig):
    """Unpins products that are gone; answers whether a store has amounts of money."""

    name = "store_modules.cashier"

    def ready(self) -> None:
        from store_modules.cashier.drawer import has_amounts
        from store_modules.cashier.pinning import forget_product
        from store_modules.catalog.services import product_gone
        from store_modules.stores.trading import has_money

        product_gone.register(forget_product)
        has_money.register(has_amounts)
