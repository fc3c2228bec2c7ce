"""What handing out parcels and following them share: the locks, the courier as actor, the note in
the order's history, and the end of a dispatch."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from store_modules.delivery.models import Dispatch
from store_modules.orders.fulfillment import CHAIN
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import FulfillmentStatus
from storeplatform.kernel.tenancy import Actor, StoreFacts


def courier(made: Dispatch) -> Actor:
    """The company as the one who acts."""
    company = made.company
    return Actor(
        store=StoreFacts(made.store_id),
        grants=frozenset(),
        kind="provider",
        id=company.slug,
        label=company.name,
    )


def locked(dispatch_id: UUID) -> tuple[Order, Dispatch]:
    """The order, then its dispatch."""
    found = Dispatch.objects.get(pk=dispatch_id)
    order = locked_order(found.store_id, found.order_id)
    made = Dispatch.objects.select_related("company").select_for_update(of=("self",))
    return order, made.get(pk=dispatch_id)


def close(made: Dispatch, order: Order, state: str, actor: Actor, *, error: str = "") -> None:
    """The company does not have the parcel; an order that never left is free for another."""
    made.state, made.error = state, error[:500]
    made.parcel_status = FulfillmentStatus.CANCELLED
    made.version += 1
    made.save()
    if order.shipped_at is None and order.delivery_company_id == made.company_id:
        order.delivery_company_id = order.tracking_number = None
        if order.fulfillment_status in CHAIN:
            order.fulfillment_status = FulfillmentStatus.UNASSIGNED
    data = {"deliveryCompany": made.company.slug, "dispatchId": str(made.pk), "state": state}
    note(order, actor, data | ({"error": made.error} if error else {}))


def note(order: Order, actor: Actor, data: dict[str, Any]) -> None:
    """Save the order with a line in its history, and tell of it."""
    order.version += 1
    order.updated_at = timezone.now()
    order.save()
    event_row(order, actor, OrderEvent.Kind.NOTE, data=data).save(force_insert=True)
    outbox_row(order, "order.updated").save(force_insert=True)
