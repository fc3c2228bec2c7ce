"""Money that customers pay and get back (domain.md, 6.3). Append-only; the order keeps the sums."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.orders.credits import amount_due
from store_modules.orders.figures import counted_anew
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent, OrderPayment, PaymentMethod
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import PaymentStatus, RemittanceStatus, Status
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.errors import Conflict, Denied, refuse
from storeplatform.kernel.money import format_money
from storeplatform.kernel.ports import Port
from storeplatform.kernel.tenancy import Actor

OVER_LIMIT = "orders.refund_over_limit"
NOT_PAYABLE = (Status.DRAFT, Status.CANCELLED)

# A delivery company took this much of the order at the door; its books are filled by deliveries.
courier_collected: Port[[Order, Decimal], None] = Port("courier_collected")


@transaction.atomic
def take_payment(
    actor: Actor,
    order_id: UUID,
    *,
    amount: Decimal,
    method: str,
    reference: str | None = None,
    at: datetime | None = None,
) -> OrderPayment:
    """Book what a customer paid. Raises Conflict `not_payable`, Refusal `overpaid`."""
    order = locked_order(actor.store_id, order_id)
    if order.status in NOT_PAYABLE:
        raise Conflict("not_payable", f"An order that is {order.status} takes no payment.")
    due = amount_due(order)
    if amount > due:
        shown = format_money(max(due, Decimal(0)), order.currency_code)
        raise refuse("amount", "overpaid", f"Only {shown} are due.")
    with counted_anew(order):
        payment = book_payment(order, actor, amount, method, reference=reference, at=at)
        settle_nothing_to_collect(order)
        saved(order, actor, payment, "payment.collected")
    return payment


@transaction.atomic
def give_refund(
    actor: Actor,
    order_id: UUID,
    *,
    amount: Decimal,
    method: str,
    reason: str,
    reference: str | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
) -> OrderPayment:
    """Book what went back to the customer; `lines` {item_id, quantity} are kept with the event.
    Raises Refusal `refund_exceeds_paid`, Denied above the store's limit without the permission."""
    order = locked_order(actor.store_id, order_id)
    check_lines(order, lines)
    left = order.amount_paid - order.amount_refunded
    if amount > left:
        shown = format_money(left, order.currency_code)
        raise refuse("amount", "refund_exceeds_paid", f"Only {shown} were paid and not refunded.")
    check_refund_limit(actor, order, amount)
    with counted_anew(order):
        refund = book_refund(order, actor, amount, method, reason=reason, reference=reference)
        saved(order, actor, refund, "order.updated", lines)
    return refund


def check_lines(order: Order, lines: Sequence[Mapping[str, Any]]) -> None:
    known = set(order.items.values_list("pk", flat=True)) if lines else set()
    for place, line in enumerate(lines):
        if line["item_id"] not in known:
            raise refuse(f"lines.{place}.itemId", "not_found", "There is no such line.")


def check_refund_limit(actor: Actor, order: Order, amount: Decimal) -> None:
    """Refunds of one order that exceed the store's limit, together or alone, need a permission of
    their own."""
    limit = StoreSettings.objects.get(store_id=order.store_id).refund_limit
    together = order.amount_refunded + amount
    if limit is not None and together > limit and not actor.may(OVER_LIMIT):
        raise Denied(
            "missing_permission",
            f"Refunds of one order above the limit need {OVER_LIMIT}.",
            details={"requiredPermission": OVER_LIMIT},
        )


def saved(
    order: Order,
    actor: Actor,
    booked: OrderPayment,
    event_type: str,
    lines: Sequence[Mapping[str, Any]] = (),
) -> None:
    order.version += 1
    order.save()
    data: dict[str, Any] = {
        "kind": booked.kind,
        "method": booked.method,
        "amount": format_money(booked.amount, order.currency_code),
    }
    if lines:
        data["lines"] = [
            {"itemId": str(line["item_id"]), "quantity": line["quantity"]} for line in lines
        ]
    kind = OrderEvent.Kind.PAYMENT
    event_row(order, actor, kind, reason=booked.reason, data=data).save(force_insert=True)
    outbox_row(order, event_type).save(force_insert=True)


def book_payment(
    order: Order,
    actor: Actor,
    amount: Decimal,
    method: str,
    *,
    reference: str | None = None,
    at: datetime | None = None,
) -> OrderPayment:
    """A payment's row and its effect on the locked, unsaved order."""
    payment = new_row(order, actor, OrderPayment.Kind.PAYMENT, amount, method)
    payment.reference, payment.at = reference, at or timezone.now()
    payment.save(force_insert=True)
    order.amount_paid += amount
    order.payment_status = (
        PaymentStatus.PAID if amount_due(order) <= 0 else PaymentStatus.PARTIALLY_PAID
    )
    return payment


def book_refund(
    order: Order,
    actor: Actor,
    amount: Decimal,
    method: str,
    *,
    reason: str | None,
    reference: str | None = None,
) -> OrderPayment:
    """A refund's row and its effect on the locked, unsaved order."""
    refund = new_row(order, actor, OrderPayment.Kind.REFUND, amount, method)
    refund.reason, refund.reference, refund.at = reason, reference, timezone.now()
    refund.save(force_insert=True)
    order.amount_refunded += amount
    everything = order.amount_refunded == order.amount_paid
    order.payment_status = (
        PaymentStatus.REFUNDED if everything else PaymentStatus.PARTIALLY_REFUNDED
    )
    return refund


def new_row(order: Order, actor: Actor, kind: str, amount: Decimal, method: str) -> OrderPayment:
    return OrderPayment(
        store_id=order.store_id,
        order=order,
        kind=kind,
        method=method,
        amount=amount,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def owed_anew(order: Order) -> None:
    """What the statuses say after the total or the way of payment changed before shipping."""
    if order.payment_status in (PaymentStatus.PAID, PaymentStatus.PARTIALLY_PAID):
        is_paid = amount_due(order) <= 0
        order.payment_status = PaymentStatus.PAID if is_paid else PaymentStatus.PARTIALLY_PAID
    is_cod = order.payment_method == PaymentMethod.COD
    order.remittance_status = (
        RemittanceStatus.AWAITING_COLLECTION if is_cod else RemittanceStatus.NOT_APPLICABLE
    )
    if order.amount_paid:
        settle_nothing_to_collect(order)


def settle_nothing_to_collect(order: Order) -> None:
    """A cod order that was paid before its delivery leaves nothing for the courier."""
    waits = order.remittance_status == RemittanceStatus.AWAITING_COLLECTION
    if waits and order.payment_method == PaymentMethod.COD and amount_due(order) <= 0:
        order.remittance_status = RemittanceStatus.NOT_APPLICABLE


def collect_at_the_door(order: Order, actor: Actor) -> None:
    """The customer of a cod order paid the courier. Without a delivery company the cash is the
    store's at once; with one it is on its way until a settlement brings it."""
    if order.payment_method != PaymentMethod.COD:
        return
    due = amount_due(order)
    if due <= 0:
        order.remittance_status = RemittanceStatus.NOT_APPLICABLE
        return
    book_payment(order, actor, due, PaymentMethod.COD)
    if order.delivery_company_id is None:
        order.remittance_status = RemittanceStatus.REMITTED
        order.remitted_at = timezone.now()
    else:
        order.remittance_status = RemittanceStatus.WITH_COURIER
        courier_collected(order, due)
