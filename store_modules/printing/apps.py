from django.apps import AppConfig


class PrintingConfig(AppConfig):
    """Answers the till whether a template for receipts exists."""

    name = "store_modules.printing"

    def ready(self) -> None:
        from store_modules.cashier.drawer import receipt_template_exists
        from store_modules.printing.models import PrintTemplate

        receipt_template_exists.register(
            lambda store_id, template_id: (
                PrintTemplate.objects.of(store_id)
                .filter(pk=template_id, type=PrintTemplate.Type.RECEIPT)
                .exists()
            )
        )
