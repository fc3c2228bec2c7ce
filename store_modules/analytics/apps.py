from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Follows orders as they change; sums days up; cuts days anew for another time zone."""

    name = "store_modules.analytics"

    def ready(self) -> None:
        from store_modules.analytics import figures
        from store_modules.orders.figures import put_in, take_out
        from store_modules.stores.trading import timezone_changed
        from storeplatform.kernel.housekeeping import every

        take_out.register(figures.take_out)
        put_in.register(figures.put_in)
        timezone_changed.register(figures.rebuild)
        every(30, "day_figures")(figures.sum_up)
