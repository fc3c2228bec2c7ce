"""Placing a priced order: the writes, under locks, in the caller's transaction."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.utils import timezone

from store_modules.catalog import stock
from store_modules.discounts import services as discounts
from store_modules.orders.figures import put_in
from store_modules.orders.models import (
    Channel,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
)
from store_modules.orders.quoting import Buyer, Quote
from store_modules.orders.status import PaymentStatus, RemittanceStatus, Status
from store_modules.orders.totals import Totals
from store_modules.shipping.services import check_company
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import NotFound
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.money import format_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.problems import on_violation
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.writing import insert


@on_violation("order_external_ref_taken")
def who_has_the_reference(values: dict[str, str]) -> dict[str, Any]:
    found = Order.objects.filter(store_id=values["store_id"], external_ref=values["external_ref"])
    return {"orderId": found.values_list("pk", flat=True).first()}


def order_number(store_id: UUID) -> str:
    """The next ORD number, taken outside the order's transaction."""
    return f"ORD-{take_numbers(store_id, 'order')[0]}"


def place_order(
    actor: Actor,
    values: Mapping[str, Any],
    priced: Quote,
    *,
    channel: Channel,
    number: str,
    otp_verified_at: datetime | None = None,
) -> Order:
    """Store a priced order and set its stock aside; call it inside the caller's transaction.
    Raises Conflict `insufficient_stock`, or `duplicate_external_ref` by its constraint."""
    check_company(actor.store_id, values.get("delivery_company_id"))
    is_draft = bool(values.get("is_draft"))
    now = timezone.now()
    customer = values.get("customer") or buyer_as_customer(priced.shelf.buyer)
    order = order_row(actor, values, priced, customer, channel=channel, number=number, now=now)
    order.customer_id = store_customer(
        actor, customer, order.currency_code, now, counts=not is_draft
    )
    if otp_verified_at:
        order.otp_verified, order.otp_verified_at = True, otp_verified_at
    settle_status(order, priced, is_draft=is_draft, now=now)
    lines = item_rows(order, priced)
    if not is_draft:
        discounts.redeem(
            order.store_id,
            order.pk,
            priced.discounts,
            phone=order.customer_phone,
            customer_id=order.customer_id,
        )
        set_aside(lines)
        if order.payment_method == PaymentMethod.PREPAID and channel != Channel.STOREFRONT:
            book_prepayment(order)
    insert(
        [order],
        lines,
        [payment_row(order, actor, now)] if order.amount_paid else [],
        created_events(order, actor),
        [outbox_row(order, "order.created"), *paid_at_once(order)],
    )
    if not is_draft:
        put_in(order.pk)
    return order


def buyer_as_customer(buyer: Buyer | None) -> Mapping[str, Any]:
    if buyer is None:
        raise NotFound
    return {
        "name": buyer.name,
        "primary_phone": buyer.phone,
        "secondary_phone": buyer.secondary_phone,
        "email": buyer.email,
    }


def order_row(
    actor: Actor,
    values: Mapping[str, Any],
    priced: Quote,
    customer: Mapping[str, Any],
    *,
    channel: Channel,
    number: str,
    now: datetime,
) -> Order:
    place, totals, trade = priced.shelf.place, priced.totals, priced.shelf.trade
    assert place is not None  # checked while pricing
    return Order(
        id=uuid7(),
        store_id=actor.store_id,
        number=number,
        public_id=secrets.token_urlsafe(16),
        channel=channel,
        payment_method=values["payment_method"],
        fulfillment_type=values["fulfillment_type"],
        delivery_mode=values["delivery_mode"],
        customer_name=customer["name"],
        customer_phone=customer["primary_phone"],
        customer_secondary_phone=customer["secondary_phone"],
        customer_email=customer["email"],
        area_id=place.area_id,
        area_name=place.area_name,
        province_code=place.province_code,
        province_name=place.province_name,
        address=values.get("address"),
        landmark=values.get("landmark"),
        delivery_lat=values.get("delivery_lat"),
        delivery_lng=values.get("delivery_lng"),
        pickup=values.get("pickup"),
        notes=values.get("notes"),
        internal_notes=values.get("internal_notes") if channel != Channel.STOREFRONT else None,
        external_ref=values.get("external_ref") or None,
        scheduled_for=values.get("scheduled_for"),
        metadata=values.get("metadata") or {},
        delivery_company_id=values.get("delivery_company_id"),
        risk_flags=list(priced.risk_flags),
        items_count=len(priced.lines),
        units_count=sum(line.quantity for line in priced.lines),
        currency_code=trade.currency,
        tax_rate=trade.tax_rate,
        prices_include_tax=trade.prices_include_tax,
        delivery_fee_source=priced.fee_source,
        delivery_fee_payer=priced.fee_payer,
        placed_at=now,
        **discounts_of(priced),
        **amounts_of(totals),
    )


def discounts_of(priced: Quote) -> dict[str, Any]:
    """The order's columns for its discounts and its package."""
    currency = priced.shelf.trade.currency
    return {
        "package_size_id": priced.box.id if priced.box else None,
        "discount_code": priced.code,
        "discounts": [one.as_json(format_money(one.amount, currency)) for one in priced.discounts],
        "order_discount": sum(
            (one.amount for one in priced.discounts if one.offer.is_for_order), Decimal(0)
        ),
    }


def amounts_of(totals: Totals) -> dict[str, Decimal]:
    """The order's columns for its totals."""
    return {
        "subtotal": totals.subtotal,
        "discount_total": totals.discount_total,
        "delivery_fee": totals.delivery_fee,
        "delivery_discount": totals.delivery_discount,
        "delivery_cost": totals.delivery_cost,
        "tax_total": totals.tax_total,
        "tax_included": totals.tax_included,
        "rounding": totals.rounding,
        "total": totals.total,
    }


def settle_status(order: Order, priced: Quote, *, is_draft: bool, now: datetime) -> None:
    if is_draft:
        order.status = Status.DRAFT
    elif priced.shelf.trade.auto_confirm and not order.risk_flags:
        order.status, order.confirmed_at = Status.CONFIRMED, now
    else:
        order.status = Status.PENDING
    if order.payment_method == PaymentMethod.COD:
        order.remittance_status = RemittanceStatus.AWAITING_COLLECTION


def item_rows(order: Order, priced: Quote) -> list[OrderItem]:
    return [
        OrderItem(
            id=uuid7(),
            store_id=order.store_id,
            order_id=order.pk,
            place=place,
            product_id=line.article.id if line.article else None,
            inventory_item_id=line.article.item_id
            if line.article and line.article.tracked
            else None,
            sku=line.sku,
            name=line.name,
            note=line.note,
            quantity=line.quantity,
            unit_price=line.unit_price,
            price_source=line.source,
            unit_cost=line.article.cost if line.article else None,
            weight_grams=line.article.weight if line.article else 0,
            line_subtotal=amounts.subtotal,
            discount_amount=amounts.discount,
            line_total=amounts.total,
        )
        for place, (line, amounts) in enumerate(zip(priced.lines, priced.totals.lines, strict=True))
    ]


def set_aside(lines: Sequence[OrderItem]) -> None:
    """Reserve what the lines need, summed by inventory item, and note it on them."""
    demand: dict[UUID, int] = {}
    for line in lines:
        if line.inventory_item_id:
            demand[line.inventory_item_id] = (
                demand.get(line.inventory_item_id, 0) + line.quantity - line.quantity_reserved
            )
    if short := stock.reserve({item: count for item, count in demand.items() if count > 0}):
        skus = {line.inventory_item_id: line.sku for line in lines}
        raise stock.insufficient(
            {
                "sku": skus[shortage.item_id],
                "requested": demand[shortage.item_id],
                "available": shortage.available,
            }
            for shortage in short
        )
    for line in lines:
        if line.inventory_item_id:
            line.quantity_reserved = line.quantity


# Finds the customer by phone or makes one; fills what is empty, never overwrites a name.
STORE_CUSTOMER = """
INSERT INTO customers_customer AS known (id, store_id, version, created_at, updated_at, name,
  primary_phone, secondary_phone, email, tags, is_blocked, currency_code, orders_count,
  delivered_count, refused_count, returned_count, total_spent, first_order_at, last_order_at)
VALUES (%(id)s, %(store)s, 1, %(now)s, %(now)s, %(name)s, %(phone)s, %(secondary)s, %(email)s,
  '{}', false, %(currency)s, %(count)s, 0, 0, 0, 0, %(first)s, %(first)s)
ON CONFLICT (store_id, primary_phone) WHERE deleted_at IS NULL DO UPDATE SET
  secondary_phone = COALESCE(known.secondary_phone, EXCLUDED.secondary_phone),
  email = COALESCE(known.email, EXCLUDED.email),
  orders_count = known.orders_count + EXCLUDED.orders_count,
  first_order_at = LEAST(known.first_order_at, EXCLUDED.first_order_at),
  last_order_at = GREATEST(known.last_order_at, EXCLUDED.last_order_at)
RETURNING id
"""


def store_customer(
    actor: Actor, customer: Mapping[str, Any], currency: str, now: datetime, *, counts: bool
) -> UUID:
    """The customer of this phone, with the order placed at `now` counted or not."""
    with prepared() as cursor:
        cursor.execute(
            STORE_CUSTOMER,
            {
                "id": uuid7(),
                "store": actor.store_id,
                "now": now,
                "name": customer["name"],
                "phone": customer["primary_phone"],
                "secondary": customer["secondary_phone"],
                "email": customer["email"],
                "currency": currency,
                "count": int(counts),
                "first": now if counts else None,
            },
        )
        customer_id: UUID = cursor.fetchone()[0]
    return customer_id


def book_prepayment(order: Order) -> None:
    order.amount_paid = order.total
    if order.total:
        order.payment_status = PaymentStatus.PAID


def payment_row(order: Order, actor: Actor, now: datetime) -> OrderPayment:
    return OrderPayment(
        store_id=order.store_id,
        order_id=order.pk,
        kind=OrderPayment.Kind.PAYMENT,
        method=order.payment_method,
        amount=order.amount_paid,
        at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def event_row(
    order: Order,
    actor: Actor,
    kind: str,
    *,
    from_status: str = "",
    to_status: str = "",
    reason: str | None = None,
    data: dict[str, Any] | None = None,
) -> OrderEvent:
    return OrderEvent(
        store_id=order.store_id,
        order_id=order.pk,
        kind=kind,
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        data=data or {},
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label,
    )


def created_events(order: Order, actor: Actor) -> list[OrderEvent]:
    created = Status.PENDING if order.status == Status.CONFIRMED else order.status
    events = [event_row(order, actor, OrderEvent.Kind.CREATED, to_status=created)]
    if order.status == Status.CONFIRMED:
        system = replace(actor, kind="system", id="", label="auto-confirm")
        events.append(
            event_row(
                order,
                system,
                OrderEvent.Kind.STATUS,
                from_status=created,
                to_status=order.status,
            )
        )
    return events


def paid_at_once(order: Order) -> list[OutboxEvent]:
    return [outbox_row(order, "payment.collected")] if order.amount_paid else []


def outbox_row(order: Order, event_type: str) -> OutboxEvent:
    return OutboxEvent(
        store_id=order.store_id,
        type=event_type,
        subject_id=order.pk,
        sequence=order.version,
        data={
            "id": str(order.pk),
            "number": order.number,
            "externalRef": order.external_ref,
            "status": order.status,
            "paymentStatus": order.payment_status,
            "total": format_money(order.total, order.currency_code),
            "amountPaid": format_money(Decimal(order.amount_paid), order.currency_code),
            "currencyCode": order.currency_code,
        },
        request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
    )
