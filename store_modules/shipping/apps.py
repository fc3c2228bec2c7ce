from django.apps import AppConfig


class ShippingConfig(AppConfig):
    """Answers whether a store has amounts of money."""

    name = "store_modules.shipping"

    def ready(self) -> None:
        from store_modules.shipping.models import PackageSize, ShippingRule
        from store_modules.stores.trading import has_money

        has_money.register(lambda store_id: ShippingRule.objects.of(store_id).exists())
        has_money.register(lambda store_id: PackageSize.objects.of(store_id).exists())
