"""Make the reports' figures anew from the orders."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand

from store_modules.analytics.figures import rebuild
from store_modules.stores.models import StoreSettings


class Command(BaseCommand):
    help = "Rebuild the figures of one store or of all stores; reports stay right meanwhile."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--store", type=UUID, help="a store's id; all stores without it")

    def handle(self, *_: Any, store: UUID | None = None, **__: Any) -> None:
        stores = StoreSettings.objects.order_by("store_id").values_list("store_id", flat=True)
        for store_id in stores.filter(store_id=store) if store else stores:
            rebuild(store_id)
            self.stdout.write(f"{store_id}: rebuilt")
