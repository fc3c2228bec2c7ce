"""Moving an order on: confirm, prepare, ship, deliver, send back, cancel (domain.md, 6.2)."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.catalog import stock
from store_modules.catalog.models import InventoryItem, Product
from store_modules.discounts import services as discounts
from store_modules.orders.credits import (
    amount_due,
    count_for_customer,
    credit_units,
    round_cash_again,
)
from store_modules.orders.figures import counted_anew
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent, OrderItem, PaymentMethod
from store_modules.orders.money import book_payment, collect_at_the_door
from store_modules.orders.placement import event_row, outbox_row, set_aside
from store_modules.orders.status import (
    FulfillmentStatus,
    PaymentStatus,
    Reason,
    RemittanceStatus,
    Status,
    allowed,
)
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.models import OutboxEvent
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
            details={"current": {"status": order.status}, "allowed": list(ways)},
        )
    before, paid, remittance = order.status, order.amount_paid, order.remittance_status
    with counted_anew(order):
        EFFECTS[to](order, actor, reason, lines)
        order.status = to
        order.version += 1
        order.save()
    kind = OrderEvent.Kind.STATUS
    event_row(order, actor, kind, from_status=before, to_status=to, reason=reason).save(
        force_insert=True
    )
    events = [EVENTS.get(to, "order.status_changed")]
    if order.amount_paid > paid:
        events.append("payment.collected")
    if order.remittance_status == RemittanceStatus.REMITTED != remittance:
        events.append("payment.remitted")
    OutboxEvent.objects.bulk_create([outbox_row(order, event) for event in events])
    return order


@transaction.atomic
def clear_risk(actor: Actor, order_id: UUID, flags: Sequence[str]) -> Order:
    """Take flags off an order, all without a name, and write down who did."""
    order = locked_order(actor.store_id, order_id)
    cleared = [flag for flag in order.risk_flags if not flags or flag in flags]
    if not cleared:
        return order
    order.risk_flags = [flag for flag in order.risk_flags if flag not in cleared]
    order.version += 1
    order.save(update_fields=["risk_flags", "version", "updated_at"])
    event_row(order, actor, OrderEvent.Kind.NOTE, data={"clearedRiskFlags": cleared}).save(
        force_insert=True
    )
    outbox_row(order, "order.updated").save(force_insert=True)
    return order


def move_to_customer(source_id: UUID, target_id: UUID) -> int:
    """Give a customer's orders to another one; in the caller's transaction."""
    orders = list(Order.objects.filter(customer=source_id).order_by("pk").select_for_update())
    for order in orders:
        with counted_anew(order):
            order.customer_id = target_id
            order.save(update_fields=["customer_id"])
    return len(orders)


def place_draft(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """What placing does and a draft leaves out. Raises Refusal `not_sellable` for products that are
    no longer for sale."""
    items = list(order.items.all())
    refuse_withdrawn(order.store_id, items)
    if order.payment_method == PaymentMethod.PREPAID and amount_due(order) > 0:
        book_payment(order, actor, amount_due(order), PaymentMethod.PREPAID)
    count_for_customer(order, orders_count=1)
    discounts.redeem_kept(
        order.store_id,
        order.pk,
        order.discounts,
        phone=order.customer_phone,
        customer_id=order.customer_id,
    )
    take_present_shelves(order.store_id, items)
    set_aside(items)
    OrderItem.objects.bulk_update(items, ["quantity_reserved", "inventory_item"])
    order.placed_at = timezone.now()


def refuse_withdrawn(store_id: UUID, items: Sequence[OrderItem]) -> None:
    """Products that were deleted or switched off since the draft was written."""
    wanted = {item.product_id for item in items if item.product_id}
    for_sale = Product.objects.sellable().of(store_id).filter(pk__in=wanted, is_active=True)
    withdrawn = wanted - set(for_sale.values_list("pk", flat=True))
    message = "This product is not for sale."
    errors = {
        f"items.{place}.sku": [message]
        for place, item in enumerate(items)
        if item.product_id in withdrawn
    }
    if errors:
        raise Refusal("not_sellable", message, errors=errors)


def confirm(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    order.confirmed_at = timezone.now()


def prepare(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    order.processing_at = timezone.now()


def ship(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """What was reserved leaves the shelf; a line from before tracking takes what is available.
    A parcel on its way back is sent out once more, unless some of it was unpacked already."""
    if order.status == Status.RETURNING:
        if any(item.quantity_credited for item in order.items.all()):
            raise Conflict("invalid_transition", "Part of it was checked in already.")
        count_for_customer(order, refused_count=-1)
    else:
        items = list(order.items.all())
        attach_untracked(order.store_id, items)
        shelves = stock.locked_items(i.inventory_item_id for i in items if i.inventory_item_id)
        take_present_costs(items)  # a receipt that held the shelves may have changed them
        for item in items:
            if item.inventory_item_id is None:
                continue
            shelf = shelves[item.inventory_item_id]
            available = shelf.quantity_on_hand - shelf.quantity_reserved
            shelf.quantity_reserved -= item.quantity_reserved
            item.quantity_reserved = 0
            free = shelf.quantity_on_hand - shelf.quantity_reserved
            if free < item.quantity:
                raise stock.insufficient(
                    [{"sku": item.sku, "requested": item.quantity, "available": free}]
                )
            stock.move(
                shelf,
                -item.quantity,
                stock.Reason.SALE,
                actor=actor,
                unit_cost=item.unit_cost,
                ref_type="order",
                ref_id=order.pk,
                was=available,
            )
        OrderItem.objects.bulk_update(items, ["quantity_reserved", "inventory_item", "unit_cost"])
        order.shipped_at = timezone.now()
    order.fulfillment_status = FulfillmentStatus.PICKED_UP


def attach_untracked(store_id: UUID, items: Sequence[OrderItem]) -> None:
    """Lines placed before their product was tracked find its inventory row now."""
    loose = [item for item in items if item.product_id and item.inventory_item_id is None]
    take_present_shelves(store_id, loose)


def take_present_shelves(store_id: UUID, items: Sequence[OrderItem]) -> None:
    """The inventory row of each line whose product is tracked now, none for the others."""
    tracked = Product.objects.of(store_id).filter(
        pk__in=[item.product_id for item in items if item.product_id], track_inventory=True
    )
    rows: dict[Any, UUID] = dict(
        InventoryItem.objects.filter(product__in=tracked).values_list("product_id", "pk")
    )
    for item in items:
        item.inventory_item_id = rows.get(item.product_id)


def take_present_costs(items: Sequence[OrderItem]) -> None:
    """Sold goods keep the cost that they have when they leave (domain.md, section 7)."""
    wanted = [item.product_id for item in items if item.product_id]
    costs = dict(Product.objects.filter(pk__in=wanted).values_list("pk", "cost_price"))
    for item in items:
        cost = costs.get(item.product_id) if item.product_id else None
        item.unit_cost = item.unit_cost if cost is None else cost


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
    missing = {}
    for item in items.values():
        item.quantity_delivered = arrived.get(item.pk, 0)
        missing[item.pk] = item.quantity - item.quantity_delivered
    values = credit_units(order, items.values(), missing)
    OrderItem.objects.bulk_update(items.values(), ["quantity_delivered", "quantity_credited"])
    order.fulfillment_status = FulfillmentStatus.RETURN_TO_HUB
    round_cash_again(order)
    finish_delivery(order, actor, credited=sum(values.values(), ZERO))


def finish_delivery(order: Order, actor: Actor, *, credited: Decimal = ZERO) -> None:
    """The customer paid at the door; without a courier in between the cash is the store's.
    `credited` is the net value that did not arrive."""
    order.delivered_at = timezone.now()
    collect_at_the_door(order, actor)
    net = order.subtotal - order.discount_total - credited
    count_for_customer(order, delivered_count=1, total_spent=net)


def send_back(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    if reason not in Reason.values:
        message = f"One of: {', '.join(Reason.values)}."
        raise Refusal("validation_error", "Say why it comes back.", reason=[message])
    order.fulfillment_status = FulfillmentStatus.RETURN_TO_HUB
    add_attempt(order, reason)
    count_for_customer(order, refused_count=1)


def add_attempt(order: Order, reason: str | None) -> None:
    number = len(order.attempts) + 1
    at = timezone.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    order.attempts = [*order.attempts, {"number": number, "reason": reason, "at": at}]


def cancel(order: Order, actor: Actor, reason: str | None, lines: Lines) -> None:
    """Reservations go back; money that was paid stays due as a negative amount."""
    if order.status in HOLDING:
        discounts.give_back(order.pk)
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
