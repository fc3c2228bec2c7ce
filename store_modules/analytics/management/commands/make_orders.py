"""Fill a store with finished orders of the past, to measure and to show reports on."""

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_date

from store_modules.analytics.figures import rebuild
from store_modules.analytics.sample_orders import Sample, make_orders
from store_modules.catalog.models import Product
from store_modules.stores.models import StoreSettings

BAR = 40


class Command(BaseCommand):
    help = (
        "Make finished orders of the past, spread evenly over days, of the store's own products,"
        " and rebuild the figures. Stock, codes and webhooks hear nothing of them. Some 100,000"
        " orders take a minute. Not for a store that trades."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--store", type=UUID, required=True, help="a store's id")
        parser.add_argument("--count", type=int, required=True, help="how many orders")
        parser.add_argument("--days", type=int, default=365, help="over how many days (365)")
        parser.add_argument("--until", help="the day before which they end; now without it")

    def handle(self, *_: Any, store: UUID, count: int, days: int, until: str | None, **__: Any):  # type: ignore[no-untyped-def]
        trade = StoreSettings.objects.filter(store_id=store).first()
        if trade is None:
            raise CommandError("This store has no settings yet, or there is no such store.")
        if count < 1 or days < 1:
            raise CommandError("At least one order, over at least one day.")
        if not Product.objects.live().of(store).filter(price__gt=0).exists():
            raise CommandError("The store has no product with a price.")
        end = timezone.now()
        if until:
            day = parse_date(until)
            if day is None:
                raise CommandError("--until is a day such as 2026-01-31.")
            end = min(end, datetime.combine(day, time(), ZoneInfo(trade.timezone)))
        for done in make_orders(Sample(store, count, days, end)):
            self.show(done, count)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE orders_order, orders_orderitem, orders_orderpayment")
        rebuild(store)
        since = end - timedelta(days=days)
        self.stdout.write(f"{count} orders from {since:%Y-%m-%d} to {end:%Y-%m-%d}")

    def show(self, done: int, count: int) -> None:
        """A bar on a terminal, nothing in a log."""
        if self.stdout.isatty():
            filled = "#" * (BAR * done // count)
            end = "\n" if done == count else ""
            self.stdout.write(f"\r[{filled:{BAR}}] {done:,} of {count:,}", ending=end)
