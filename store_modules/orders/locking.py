"""The first step of every change of a stored order."""

from uuid import UUID

from store_modules.orders.models import Order
from storeplatform.kernel.errors import NotFound


def locked_order(store_id: UUID, order_id: UUID) -> Order:
    """The store's order, locked until the transaction ends. Locks of its customer, discounts and
    inventory rows come after it, in this order."""
    order: Order | None = (
        Order.objects.of(store_id).select_for_update(of=("self",)).filter(pk=order_id).first()
    )
    if order is None:
        raise NotFound
    return order
