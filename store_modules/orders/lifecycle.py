"""Moving an order on: confirm, prepare, ship, deliver, send back, cancel (domain.md, 6.2).

Every function locks the order first, then its customer's counters, then inventory rows.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.catalog import stock
from store_modules.catalog.models import InventoryItem, Product
from store_modules.customers.services import count_order
from store_modules.orders.models import (
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
)
from store_modules.orders.placement import event_row, outbox_row, set_aside
from store_modules.orders.status import (
    FulfillmentStatus,
    PaymentStatus,
    RemittanceStatus,
    Status,
    allowed,
)
from store_modules.orders.totals import share_of_tax, value_of_units
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.errors import Conflict, NotFound, Refusal
from storeplatform.kernel.money import round_to_multiple
from storeplatform.kernel.tenancy import Actor

ZERO = Decimal(0)
HOLDING = (Status.PENDING, Status.CONFIRMED, Status.PROCESSING)  # stock is reserved
Lines = Sequence[Mapping[str, Any]]

EVENTS = {
    Status.DELIVERED: "order.delivered",
    Status.PARTIALLY_DELIVERED: "order.partially_delivered",
    Status.CANCELLED: "order.cancelled",
}


def letter_of(actor: Actor) -> str:
    """The actor in the transition table."""
    if actor.kind == "user":
        return "O" if actor.is_owner else "S"
    return {"api_key": "K", "visitor": "U", "provider": "C"}.get(actor.kind, "Y")


def locked_order(store_id: UUID, order_id: UUID) -> Order:
    order: Order | None = (
        Order.objects.of(store_id).select_for_update(of=("self",)).filter(pk=order_id).first()
    )
    if order is None:
        raise NotFound
    return order


@transaction.atomic
def transition(
    actor: Actor, order_id: UUID, to: Status, *, reason: str | None = None, lines: Lines = ()
) -> Order:
    """Move an order to `to`. The status it has already is no change. Raises Conflict
    `invalid_transition` with what is allowed."""
    order = locked_order(actor.store_id, order_id)
    if order.status == to:
        return order
    ways = allowed(order.status, letter_of(actor))
    if to not in ways:
        raise Conflict(
            "invalid_transition",
            f"An order that is {order.status} does not become {to} like this.",
            details={"allowed": list(ways), "status": order.status},
        )
    before = order.status
    EFFECTS[to](order, actor, reason, lines)
    order.status = to
    order.version += 1
    order.save()
    kind = OrderEvent.Kind.STATUS
    event_row(order, actor, kind, from_status=before, to_status=to, reason=reason).save(
        force_insert=True
    )
    outbox_row(order, EVENTS.get(to, "order.status_changed")).save(force_insert=True)
    return order


def place_draft(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    if order.customer_id:
        count_order(order.customer_id, orders_count=1)
    items = list(order.items.all())
    set_aside(items)
    OrderItem.objects.bulk_update(items, ["quantity_reserved"])
    order.placed_at = timezone.now()


def confirm(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    order.confirmed_at = timezone.now()


def prepare(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    order.processing_at = timezone.now()


def ship(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """What was reserved leaves the shelf; a line from before tracking takes what is available."""
    if order.shipped_at is None:
        items = list(order.items.all())
        attach_untracked(order.store_id, items)
        shelves = stock.locked_items(i.inventory_item_id for i in items if i.inventory_item_id)
        for item in items:
            if item.inventory_item_id is None:
                continue
            shelf = shelves[item.inventory_item_id]
            shelf.quantity_reserved -= item.quantity_reserved
            item.quantity_reserved = 0
            if shelf.quantity_on_hand - shelf.quantity_reserved < item.quantity:
                available = shelf.quantity_on_hand - shelf.quantity_reserved
                raise stock.insufficient(
                    [{"sku": item.sku, "requested": item.quantity, "available": available}]
                )
            stock.move(
                shelf,
                -item.quantity,
                stock.Reason.SALE,
                actor=actor,
                unit_cost=item.unit_cost,
                ref_type="order",
                ref_id=order.pk,
            )
        OrderItem.objects.bulk_update(items, ["quantity_reserved", "inventory_item"])
        order.shipped_at = timezone.now()
    order.fulfillment_status = FulfillmentStatus.PICKED_UP


def attach_untracked(store_id: UUID, items: Sequence[OrderItem]) -> None:
    """Lines placed before their product was tracked find its inventory row now."""
    loose = [item for item in items if item.product_id and item.inventory_item_id is None]
    tracked = Product.objects.of(store_id).filter(
        pk__in=[item.product_id for item in loose], track_inventory=True
    )
    rows: dict[Any, UUID] = dict(
        InventoryItem.objects.filter(product__in=tracked).values_list("product_id", "pk")
    )
    for item in loose:
        item.inventory_item_id = rows.get(item.product_id)


def deliver(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    items = list(order.items.all())
    for item in items:
        item.quantity_delivered = item.quantity
    OrderItem.objects.bulk_update(items, ["quantity_delivered"])
    order.fulfillment_status = FulfillmentStatus.DELIVERED
    finish_delivery(order, actor)


def deliver_partly(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """Some units arrived; the value of the others is credited and they travel back."""
    items = {item.pk: item for item in order.items.all()}
    arrived = {line["item_id"]: line["quantity"] for line in lines}
    if len(arrived) < len(lines):
        message = "A line of the order stands twice."
        raise Refusal("validation_error", message, lines=[message])
    if unknown := [str(item_id) for item_id in arrived if item_id not in items]:
        message = "There is no such line in this order."
        raise Refusal("not_found", message, lines=[f"{item_id}: {message}" for item_id in unknown])
    if any(count > items[item_id].quantity for item_id, count in arrived.items()):
        message = "More was delivered than ordered."
        raise Refusal("validation_error", message, lines=[message])
    total = sum(arrived.values())
    if not 0 < total < order.units_count:
        message = "Partly delivered is more than nothing and less than everything."
        raise Refusal("validation_error", message, lines=[message])
    net = order.subtotal - order.discount_total
    credited = ZERO
    for item in items.values():
        item.quantity_delivered = arrived.get(item.pk, 0)
        missing = item.quantity - item.quantity_delivered
        value = value_of_units(
            item.line_total, item.quantity, item.quantity_delivered, missing, order.currency_code
        )
        order.returns_total += value + share_of_tax(
            value, net, order.tax_total, order.currency_code, before=credited
        )
        credited += value
    OrderItem.objects.bulk_update(items.values(), ["quantity_delivered"])
    order.fulfillment_status = FulfillmentStatus.RETURN_TO_HUB
    round_cash_again(order)
    finish_delivery(order, actor, credited=credited)


def round_cash_again(order: Order) -> None:
    """What is left to collect in cash is a multiple of the store's smallest note again."""
    if order.payment_method == PaymentMethod.COD:
        trade = StoreSettings.objects.get(store_id=order.store_id)
        due = amount_due(order)
        order.returns_total += due - round_to_multiple(due, trade.cash_rounding)


def finish_delivery(order: Order, actor: Actor, *, credited: Decimal = ZERO) -> None:
    """The customer paid at the door; without a courier in between the cash is the store's.
    `credited` is the net value that did not arrive."""
    order.delivered_at = timezone.now()
    due = amount_due(order)
    if order.payment_method == PaymentMethod.COD:
        if due > 0:
            book_payment(order, actor, due, PaymentMethod.COD)
        order.remittance_status = RemittanceStatus.REMITTED
    if order.customer_id:
        count_order(
            order.customer_id,
            delivered_count=1,
            total_spent=order.subtotal - order.discount_total - credited,
        )


def amount_due(order: Order) -> Decimal:
    """What the customer still owes; negative when money has to go back."""
    paid = order.amount_paid - order.amount_refunded
    due: Decimal = order.total - order.returns_total - paid
    return due


def book_payment(order: Order, actor: Actor, amount: Decimal, method: str) -> None:
    OrderPayment.objects.create(
        store_id=order.store_id,
        order=order,
        kind=OrderPayment.Kind.PAYMENT,
        method=method,
        amount=amount,
        at=timezone.now(),
        actor_kind=actor.kind,
        actor_id=actor.id,
    )
    order.amount_paid += amount
    order.payment_status = (
        PaymentStatus.PAID if amount_due(order) <= 0 else PaymentStatus.PARTIALLY_PAID
    )


def send_back(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    order.fulfillment_status = FulfillmentStatus.RETURN_TO_HUB
    number = len(order.attempts) + 1
    at = timezone.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    order.attempts = [*order.attempts, {"number": number, "reason": reason, "at": at}]
    if order.customer_id:
        count_order(order.customer_id, refused_count=1)


def cancel(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """Reservations go back; money that was paid stays due as a negative amount."""
    if order.status in HOLDING:
        release_all(order)
    order.cancelled_at = timezone.now()
    order.cancel_reason = reason
    order.fulfillment_status = FulfillmentStatus.CANCELLED
    order.remittance_status = RemittanceStatus.NOT_APPLICABLE
    order.returns_total = order.total
    if not order.amount_paid:
        order.payment_status = PaymentStatus.VOIDED


def release_all(order: Order) -> None:
    items = [item for item in order.items.all() if item.quantity_reserved]
    held: dict[Any, int] = {}
    for item in items:
        held[item.inventory_item_id] = held.get(item.inventory_item_id, 0) + item.quantity_reserved
        item.quantity_reserved = 0
    stock.release(held)
    OrderItem.objects.bulk_update(items, ["quantity_reserved"])


Effect = Callable[[Order, Actor, str | None, Lines], None]
EFFECTS: dict[Status, Effect] = {
    Status.PENDING: place_draft,
    Status.CONFIRMED: confirm,
    Status.PROCESSING: prepare,
    Status.SHIPPED: ship,
    Status.DELIVERED: deliver,
    Status.PARTIALLY_DELIVERED: deliver_partly,
    Status.RETURNING: send_back,
    Status.CANCELLED: cancel,
}
