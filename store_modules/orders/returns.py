"""Goods that come back: checked in from a courier, or asked for by a customer (domain.md, 6.2)."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.catalog import stock
from store_modules.orders.credits import (
    amount_due,
    count_for_customer,
    credit_units,
    worth,
)
from store_modules.orders.figures import counted_anew
from store_modules.orders.locking import locked_order
from store_modules.orders.models import CheckIn, Order, OrderEvent, OrderItem, ReturnLine
from store_modules.orders.models import ReturnRequest as Request
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import (
    FulfillmentStatus,
    PaymentStatus,
    RemittanceStatus,
    Status,
)
from storeplatform.kernel.errors import Conflict, NotFound, refuse
from storeplatform.kernel.money import format_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

Lines = Sequence[Mapping[str, Any]]  # {item_id, restock, damaged, lost}
ZERO = Decimal(0)
WITH_CUSTOMER = (Status.DELIVERED, Status.PARTIALLY_DELIVERED)
COMING_BACK = (Status.RETURNING, Status.PARTIALLY_DELIVERED)


# Checking goods in


@transaction.atomic
def check_in(
    actor: Actor, order_id: UUID, lines: Lines, *, waive_delivery_fee: bool = False
) -> Order:
    """Take what a courier brings back: into stock, as damaged, or as lost; of a delivered order
    the goods of its approved return request. When nothing of a returning order is outstanding any
    more it is returned. Raises Conflict `invalid_transition` where nothing comes back, Refusal
    `over_check_in` for more than is outstanding."""
    order = locked_order(actor.store_id, order_id)
    if order.status == Status.DELIVERED:
        approved = order.return_requests.filter(status=Request.Status.APPROVED).first()
        if approved is not None:
            receive(actor, approved.pk, lines)
            return order
    if order.status not in COMING_BACK:
        raise Conflict(
            "invalid_transition",
            f"Nothing of an order that is {order.status} is on its way back.",
            details={"current": {"status": order.status}, "allowed": list(COMING_BACK)},
        )
    items = {item.pk: item for item in order.items.all()}
    counts = counted(items, lines, {pk: outstanding(item) for pk, item in items.items()})
    with counted_anew(order):
        if order.status == Status.RETURNING:
            values = credit_units(order, items.values(), counts)
        else:  # credited when the rest was delivered
            values = {pk: tail_value(order, items[pk], count) for pk, count in counts.items()}
        put_away(actor, order, items, lines, values, from_customer=False)
        if not any(outstanding(item) for item in items.values()):
            order.fulfillment_status = FulfillmentStatus.RETURNED_TO_STORE
        finish_if_all_is_back(order, items.values(), waive_delivery_fee=waive_delivery_fee)
        save_change(order, actor, items.values(), OrderEvent.Kind.CHECK_IN, lines)
    return order


def outstanding(item: OrderItem) -> int:
    """Units that neither stay with the customer nor were checked in."""
    return item.quantity - item.quantity_delivered + item.quantity_returned - checked_in(item)


def checked_in(item: OrderItem) -> int:
    count: int = item.quantity_restocked + item.quantity_damaged + item.quantity_lost
    return count


def tail_value(order: Order, item: OrderItem, count: int) -> Decimal:
    """What the next `count` undelivered units to be checked in are worth."""
    first = item.quantity_delivered + checked_in(item) - item.quantity_returned
    currency = order.currency_code
    return worth(item, first + count, currency) - worth(item, first, currency)


def counted(
    items: Mapping[UUID, OrderItem], lines: Lines, most: Mapping[UUID, int]
) -> dict[UUID, int]:
    """Units by line id; Refusal for unknown and repeated lines and for more than `most`."""
    counts: dict[UUID, int] = {}
    for place, line in enumerate(lines):
        pk = line["item_id"]
        if pk not in items:
            raise refuse(f"lines.{place}.itemId", "not_found", "There is no such line.")
        if pk in counts:
            raise refuse(f"lines.{place}.itemId", "invalid", "A line stands twice.")
        count = line["restock"] + line["damaged"] + line["lost"]
        if not count:
            raise refuse(f"lines.{place}", "required", "How many pieces came back.")
        if count > most.get(pk, 0):
            message = f"Only {most.get(pk, 0)} of this line are outstanding."
            raise refuse(f"lines.{place}", "over_check_in", message)
        counts[pk] = count
    return counts


def put_away(
    actor: Actor,
    order: Order,
    items: Mapping[UUID, OrderItem],
    lines: Lines,
    values: Mapping[UUID, Decimal],
    *,
    from_customer: bool,
    reason: str = stock.Reason.RETURN,
) -> None:
    """Movements of what came back, the lines' counters, and the record of it."""
    now = timezone.now()
    ids = [items[line["item_id"]].inventory_item_id for line in lines]
    shelves = stock.locked_items(pk for pk in ids if pk)
    rows = []
    for line in sorted(lines, key=lambda line: str(items[line["item_id"]].inventory_item_id)):
        item = items[line["item_id"]]
        restock, damaged, lost = line["restock"], line["damaged"], line["lost"]
        shelf = shelves.get(item.inventory_item_id) if item.inventory_item_id else None
        if shelf is not None:
            about: dict[str, Any] = {
                "actor": actor, "unit_cost": item.unit_cost, "ref_type": "order",
                "ref_id": order.pk,
            }  # fmt: skip
            stock.move(shelf, restock + damaged, reason, **about)
            stock.move(shelf, -damaged, stock.Reason.DAMAGE, **about)
        item.quantity_restocked += restock
        item.quantity_damaged += damaged
        item.quantity_lost += lost
        rows.append(
            CheckIn(
                store_id=order.store_id,
                order=order,
                item=item,
                restock=restock,
                damaged=damaged,
                lost=lost,
                value=values[item.pk],
                from_customer=from_customer,
                at=now,
                actor_kind=actor.kind,
                actor_id=actor.id,
            )
        )
    CheckIn.objects.bulk_create(rows)


def finish_if_all_is_back(
    order: Order, items: Collection[OrderItem], *, waive_delivery_fee: bool = False
) -> None:
    """With every unit credited and none outstanding the order is returned. The delivery stays due
    unless it is waived; the rounding goes with the goods."""
    if any(outstanding(item) or item.quantity_credited < item.quantity for item in items):
        return
    order.status = Status.RETURNED
    order.fulfillment_status = FulfillmentStatus.RETURNED_TO_STORE
    order.returned_at = timezone.now()
    fee = ZERO if waive_delivery_fee else order.delivery_fee - order.delivery_discount
    order.returns_total = order.total - min(fee, order.total)
    if not order.amount_paid:
        order.remittance_status = RemittanceStatus.NOT_APPLICABLE
        if amount_due(order) <= 0:
            order.payment_status = PaymentStatus.VOIDED
    count_for_customer(order, returned_count=1)


def save_change(order: Order, actor: Actor, items: Any, kind: str, lines: Lines) -> None:
    OrderItem.objects.bulk_update(
        items,
        [
            "quantity_returned", "quantity_restocked", "quantity_damaged", "quantity_lost",
            "quantity_credited",
        ],
    )  # fmt: skip
    order.version += 1
    order.save()
    data = {
        "lines": [
            {
                "itemId": str(line["item_id"]),
                "restock": line["restock"],
                "damaged": line["damaged"],
                "lost": line["lost"],
            }
            for line in lines
        ]
    }
    event_row(order, actor, kind, to_status=order.status, data=data).save(force_insert=True)
    returned = order.status == Status.RETURNED
    outbox_row(order, "order.returned" if returned else "order.updated").save(force_insert=True)


# What customers ask for


@transaction.atomic
def ask_for_return(
    actor: Actor,
    order_id: UUID,
    lines: Sequence[Mapping[str, Any]] | None,
    *,
    reason: str | None,
    note: str | None,
    number: str,
) -> Request:
    """Open a request for units that the customer has; without lines for all of them. Raises
    Conflict `not_returnable`, or `return_request_open` by its constraint."""
    order = locked_order(actor.store_id, order_id)
    items = {item.pk: item for item in order.items.all()}
    left = {pk: item.quantity_delivered - item.quantity_returned for pk, item in items.items()}
    if order.status not in WITH_CUSTOMER or not any(left.values()):
        raise Conflict("not_returnable", "There is nothing of this order to give back.")
    wanted = asked_units(lines, left)
    request: Request = Request.objects.create(
        store_id=order.store_id, number=number, order=order, reason=reason, note=note, credit=ZERO
    )
    ReturnLine.objects.bulk_create(
        ReturnLine(request=request, item_id=pk, quantity=count) for pk, count in wanted.items()
    )
    tell(request, "return_request.created")
    return request


def asked_units(
    lines: Sequence[Mapping[str, Any]] | None, left: Mapping[UUID, int]
) -> dict[UUID, int]:
    if not lines:
        return {pk: count for pk, count in left.items() if count}
    wanted: dict[UUID, int] = {}
    for place, line in enumerate(lines):
        pk = line["item_id"]
        if pk not in left:
            raise refuse(f"lines.{place}.itemId", "not_found", "There is no such line.")
        if pk in wanted:
            raise refuse(f"lines.{place}.itemId", "invalid", "A line stands twice.")
        if line["quantity"] > left[pk]:
            message = f"The customer has {left[pk]} of this line."
            raise refuse(f"lines.{place}.quantity", "over_return", message)
        wanted[pk] = line["quantity"]
    return wanted


def return_number(store_id: UUID) -> str:
    return f"RET-{take_numbers(store_id, 'return')[0]}"


def locked_request(store_id: UUID, request_id: UUID) -> tuple[Order, Request]:
    """The order, then its request, both locked."""
    found = Request.objects.of(store_id).filter(pk=request_id).values_list("order_id", flat=True)
    order_id = found.first()
    if order_id is None:
        raise NotFound
    order = locked_order(store_id, order_id)
    request: Request = Request.objects.select_for_update(of=("self",)).get(pk=request_id)
    return order, request


def move_request(request: Request, to: str, sources: Sequence[str], stamp: str) -> bool:
    """Whether a locked request has a new status now; the one it has already is no change."""
    if request.status == to:
        return False
    if request.status not in sources:
        raise Conflict(
            "invalid_transition",
            f"A return request that is {request.status} does not become {to}.",
            details={"current": {"status": request.status}, "allowed": list(sources)},
        )
    request.status = to
    request.version += 1
    setattr(request, stamp, timezone.now())
    request.save()
    tell(request, "return_request.updated")
    return True


@transaction.atomic
def approve(actor: Actor, request_id: UUID) -> None:
    _, request = locked_request(actor.store_id, request_id)
    move_request(request, Request.Status.APPROVED, [Request.Status.PENDING], "approved_at")


@transaction.atomic
def reject(actor: Actor, request_id: UUID) -> None:
    _, request = locked_request(actor.store_id, request_id)
    move_request(request, Request.Status.REJECTED, [Request.Status.PENDING], "closed_at")


@transaction.atomic
def withdraw(actor: Actor, request_id: UUID) -> None:
    _, request = locked_request(actor.store_id, request_id)
    sources = [Request.Status.PENDING, Request.Status.APPROVED]
    move_request(request, Request.Status.CANCELLED, sources, "closed_at")


@transaction.atomic
def receive(actor: Actor, request_id: UUID, lines: Lines) -> None:
    """The goods of an approved request arrived. Without lines all of them go back into stock."""
    order, request = locked_request(actor.store_id, request_id)
    about = {line.item_id: line for line in request.lines.all()}
    if not move_request(request, Request.Status.RECEIVED, [Request.Status.APPROVED], "received_at"):
        return
    items = {item.pk: item for item in order.items.all()}
    lines = lines or [
        {"item_id": pk, "restock": left_of(line, items[pk]), "damaged": 0, "lost": 0}
        for pk, line in about.items()
    ]
    counts = counted(items, lines, {pk: left_of(line, items[pk]) for pk, line in about.items()})
    with counted_anew(order):
        values = {}
        for pk, count in counts.items():
            item, currency = items[pk], order.currency_code
            kept = item.quantity_delivered - item.quantity_returned
            values[pk] = worth(item, kept, currency) - worth(item, kept - count, currency)
            item.quantity_returned += count
            about[pk].received = count
        put_away(actor, order, items, lines, values, from_customer=True)
        ReturnLine.objects.bulk_update(about.values(), ["received"])
        save_change(order, actor, items.values(), OrderEvent.Kind.RETURN, lines)


def left_of(line: ReturnLine, item: OrderItem) -> int:
    """Units of a request that the customer still has."""
    return min(line.quantity, item.quantity_delivered - item.quantity_returned)


@transaction.atomic
def complete(actor: Actor, request_id: UUID) -> None:
    """Credit what was received; the money itself goes back by a refund. An order of which the
    customer keeps nothing is returned."""
    order, request = locked_request(actor.store_id, request_id)
    if not move_request(
        request, Request.Status.COMPLETED, [Request.Status.RECEIVED], "completed_at"
    ):
        return
    items = {item.pk: item for item in order.items.all()}
    before = order.returns_total
    with counted_anew(order):
        received = {line.item_id: line.received for line in request.lines.all()}
        values = credit_units(order, items.values(), received)
        count_for_customer(order, total_spent=-sum(values.values(), ZERO))
        finish_if_all_is_back(order, items.values())
        save_change(order, actor, items.values(), OrderEvent.Kind.RETURN, [])
    request.credit = order.returns_total - before
    request.save(update_fields=["credit"])


def tell(request: Request, event_type: str) -> None:
    emit(
        event_type,
        store_id=request.store_id,
        subject_id=request.pk,
        sequence=request.version,
        data={
            "id": str(request.pk),
            "number": request.number,
            "orderId": str(request.order_id),
            "status": request.status,
            "credit": format_money(request.credit, request.order.currency_code),
        },
    )
