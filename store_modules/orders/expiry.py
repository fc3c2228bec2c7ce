"""Orders that nobody confirmed in time (settings.unconfirmedTtlHours) are cancelled."""

from datetime import timedelta

import structlog
from django.utils import timezone

from store_modules.orders.lifecycle import transition
from store_modules.orders.models import Order
from store_modules.orders.status import Status
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.tenancy import Actor, StoreFacts

log = structlog.get_logger(__name__)
BATCH = 200
REASON = "not confirmed in time"


def cancel_unconfirmed() -> int:
    """Cancel what is overdue, a batch a store; returns how many orders that were."""
    cancelled = 0
    for trade in StoreSettings.objects.filter(unconfirmed_ttl_hours__isnull=False):
        since = timezone.now() - timedelta(hours=trade.unconfirmed_ttl_hours or 0)
        actor = Actor(
            store=StoreFacts(trade.store_id, currency_code=trade.currency_code),
            grants=frozenset(),
            kind="system",
            id="",
            label="unconfirmed orders",
        )
        overdue = Order.objects.of(trade.store_id).filter(
            status=Status.PENDING, placed_at__lt=since
        )
        for order_id in overdue.order_by("placed_at").values_list("pk", flat=True)[:BATCH]:
            try:
                transition(actor, order_id, Status.CANCELLED, reason=REASON)
            except Refusal as refusal:  # somebody moved it meanwhile
                log.info("not_expired", order_id=str(order_id), code=refusal.code)
            else:
                cancelled += 1
    return cancelled
