from django.apps import AppConfig


class PurchasingConfig(AppConfig):
    """Tells the catalogue what is on order, and the stores whether amounts are written."""

    name = "store_modules.purchasing"

    def ready(self) -> None:
        from store_modules.catalog.services import on_open_purchase_order
        from store_modules.purchasing.models import PurchaseOrder
        from store_modules.purchasing.services import is_on_order
        from store_modules.stores.trading import has_money

        on_open_purchase_order.register(is_on_order)
        has_money.register(lambda store_id: PurchaseOrder.objects.of(store_id).exists())
