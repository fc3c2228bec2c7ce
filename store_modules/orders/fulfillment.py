"""The parcel's own way, which drives the order's status (domain.md, 6.2)."""

from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.orders.figures import counted_anew
from store_modules.orders.lifecycle import add_attempt, transition
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import FulfillmentStatus as Parcel
from store_modules.orders.status import Status
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.tenancy import Actor

CHAIN = (
    Parcel.UNASSIGNED, Parcel.AWAITING_PICKUP, Parcel.PICKED_UP, Parcel.AT_HUB,
    Parcel.IN_TRANSIT, Parcel.OUT_FOR_DELIVERY, Parcel.DELIVERED, Parcel.RETURN_TO_HUB,
    Parcel.RETURN_IN_TRANSIT, Parcel.RETURNED_TO_STORE,
)  # fmt: skip
SIDE = (Parcel.POSTPONED, Parcel.ATTEMPT_FAILED, Parcel.ON_HOLD, Parcel.LOST)
ON_THE_WAY = (Parcel.PICKED_UP, Parcel.AT_HUB, Parcel.IN_TRANSIT, Parcel.OUT_FOR_DELIVERY)
NEEDS_REASON = (Parcel.ATTEMPT_FAILED, Parcel.RETURN_TO_HUB)
ACTIVE = (
    Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.RETURNING,
    Status.PARTIALLY_DELIVERED,
)  # fmt: skip


def allowed(order: Order) -> list[Parcel]:
    """Where the parcel may go from where it is: forward, or aside."""
    here = order.fulfillment_status
    if order.status not in ACTIVE:
        return []
    if order.status in (Status.RETURNING, Status.PARTIALLY_DELIVERED):
        return_leg = CHAIN[CHAIN.index(Parcel.RETURN_TO_HUB) :]
        rank = return_leg.index(here) if here in return_leg else -1
        return [*return_leg[rank + 1 :], Parcel.LOST]
    if here in SIDE:  # on from where it was at the least
        rank = CHAIN.index(Parcel.AWAITING_PICKUP) if order.shipped_at else 0
    else:
        rank = CHAIN.index(Parcel(here))
    return [*CHAIN[rank + 1 : CHAIN.index(Parcel.RETURN_TO_HUB) + 1], *SIDE]


@transaction.atomic
def advance(
    actor: Actor,
    order_id: UUID,
    to: Parcel,
    *,
    reason: str | None = None,
    until: date | None = None,
) -> Order:
    """Move the parcel on, and with it the order: picked up means shipped, delivered delivered, on
    its way to the hub returning. Raises Conflict `invalid_transition` with what is allowed."""
    order = locked_order(actor.store_id, order_id)
    if order.fulfillment_status == to and to not in SIDE:
        return order
    ways = allowed(order)
    if to not in ways:
        raise Conflict(
            "invalid_transition",
            f"A parcel that is {order.fulfillment_status} does not become {to}.",
            details={"current": {"status": order.fulfillment_status}, "allowed": list(ways)},
        )
    if to in NEEDS_REASON and not reason:
        raise Refusal("validation_error", "Say why.", reason=["It is required."])
    before = order.fulfillment_status
    order = drive(actor, order, to, reason)
    with counted_anew(order):
        order.fulfillment_status = to
        if to == Parcel.ATTEMPT_FAILED:
            add_attempt(order, reason)
        order.postponed_until = until if to == Parcel.POSTPONED else None
        order.version += 1
        order.updated_at = timezone.now()
        order.save()
    kind = OrderEvent.Kind.FULFILLMENT
    event_row(order, actor, kind, from_status=before, to_status=to, reason=reason).save(
        force_insert=True
    )
    outbox_row(order, "order.updated").save(force_insert=True)
    return order


def drive(actor: Actor, order: Order, to: Parcel, reason: str | None) -> Order:
    """The order's own step that goes with the parcel's."""
    leaves = to in (*ON_THE_WAY, Parcel.DELIVERED, Parcel.RETURN_TO_HUB)
    if leaves and order.status in (Status.CONFIRMED, Status.PROCESSING):
        order = transition(actor, order.pk, Status.SHIPPED)
    if to == Parcel.DELIVERED and order.status == Status.SHIPPED:
        return transition(actor, order.pk, Status.DELIVERED)
    if to == Parcel.RETURN_TO_HUB and order.status == Status.SHIPPED:
        return transition(actor, order.pk, Status.RETURNING, reason=reason)
    return order
