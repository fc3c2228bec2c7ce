from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Answers lower areas about a store's and a customer's orders; expires unconfirmed ones."""

    name = "store_modules.orders"

    def ready(self) -> None:
        from store_modules.customers.services import has_open_order, move_orders
        from store_modules.orders.expiry import cancel_unconfirmed
        from store_modules.orders.lifecycle import move_to_customer
        from store_modules.orders.models import Order
        from store_modules.shipping.services import package_in_use
        from store_modules.stores.trading import has_money, has_orders
        from storeplatform.kernel.housekeeping import every

        every(300, "unconfirmed_orders")(cancel_unconfirmed)
        has_money.register(lambda store_id: Order.objects.of(store_id).exists())
        has_orders.register(lambda store_id: Order.objects.of(store_id).exists())
        package_in_use.register(
            lambda package_id: Order.objects.filter(package_size=package_id).exists()
        )
        has_open_order.register(
            lambda customer_id: Order.objects.open().filter(customer_id=customer_id).exists()
        )
        move_orders.register(move_to_customer)
