from django.apps import AppConfig


class ExpensesConfig(AppConfig):
    """Answers whether a store has amounts of money."""

    name = "store_modules.expenses"

    def ready(self) -> None:
        from store_modules.expenses.models import Expense
        from store_modules.stores.trading import has_money

        has_money.register(lambda store_id: Expense.objects.of(store_id).exists())
