from django.apps import AppConfig


class DiscountsConfig(AppConfig):
    """Answers whether a store has amounts of money."""

    name = "store_modules.discounts"

    def ready(self) -> None:
        from store_modules.discounts.models import DiscountCode, DiscountRule
        from store_modules.stores.trading import has_money

        has_money.register(lambda store_id: DiscountRule.objects.of(store_id).exists())
        has_money.register(lambda store_id: DiscountCode.objects.of(store_id).exists())
