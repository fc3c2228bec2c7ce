from django.apps import AppConfig


class DeliveryConfig(AppConfig):
    """Answers lower areas about delivery companies, keeps their cash accounts, and asks companies
    for parcels that were not heard of."""

    name = "store_modules.delivery"

    def ready(self) -> None:
        from store_modules.delivery import dispatching, settlements, tracking
        from store_modules.delivery.linking import context_of, is_linked
        from store_modules.delivery.models import CompanyLink, Dispatch
        from store_modules.orders.editing import is_with_a_company
        from store_modules.orders.money import courier_collected
        from store_modules.shipping.services import company_linked
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.rotation import sealed_column

        sealed_column(CompanyLink, "credentials", lambda row: context_of(row.pk))
        company_linked.register(is_linked)
        courier_collected.register(settlements.collected)
        is_with_a_company.register(
            lambda order_id: Dispatch.objects.filter(
                order=order_id, state__in=Dispatch.ACTIVE
            ).exists()
        )
        every(60, "delivery_sync")(tracking.sync)
        every(60, "delivery_unanswered")(dispatching.ask_again)
