"""Orders of the past, brought from another system: final from the start, without any effect on
stock, codes, discounts or notifications (the issue "The house, and the main job")."""

import secrets
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Max, Min
from django.db.models.functions import Coalesce, Greatest, Least, Upper
from django.utils import timezone

from store_modules.catalog.models import Product
from store_modules.customers.models import Customer
from store_modules.geography.services import find_address
from store_modules.orders.figures import put_in, take_out
from store_modules.orders.models import (
    Channel,
    CheckIn,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
    Source,
)
from store_modules.orders.placement import event_row
from store_modules.orders.quoting import refuse_repeats
from store_modules.orders.status import FulfillmentStatus, PaymentStatus, RemittanceStatus, Status
from store_modules.orders.totals import Line, Terms, totals_of
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.writing import insert

ZERO = Decimal(0)
UNIT_PLACES = Decimal("0.0001")


def import_order(
    actor: Actor, values: Mapping[str, Any], number: str, *, order_id: UUID | None = None
) -> Order:
    """Store one past order; inside the caller's transaction."""
    refuse_repeats(item["sku"] for item in values["items"])
    facts = actor.store
    area = find_address(
        facts.country_code, values["address_province_code"], values["address_area_id"]
    )
    if values["placed_at"] > timezone.now():
        raise refuse("placedAt", "invalid", "An imported order lies in the past.")
    lines = [
        Line(item["quantity"], item["unit_price"] or ZERO, fixed_total=item["line_total"])
        for item in values["items"]
    ]
    totals = totals_of(lines, Terms(facts.currency_code, delivery_fee=values["delivery_fee"]))
    status, at = values["status"], values["placed_at"]
    customer = values["customer"]
    order = Order(
        id=order_id or uuid7(),
        store_id=facts.id,
        number=number,
        public_id=secrets.token_urlsafe(16),
        channel=Channel.IMPORT,
        status=status,
        payment_method=values["payment_method"],
        fulfillment_type=values["fulfillment_type"],
        remittance_status=RemittanceStatus.NOT_APPLICABLE,
        is_credit_only=values["credit_only"],
        customer_name=customer["name"],
        customer_phone=customer["primary_phone"],
        customer_secondary_phone=customer["secondary_phone"],
        customer_email=customer["email"],
        area=area,
        area_name=area.name,
        province_code=area.province_id,
        province_name=area.province.name,
        address=values["address"],
        landmark=values["landmark"],
        delivery_lat=values["delivery_lat"],
        delivery_lng=values["delivery_lng"],
        notes=values["notes"],
        external_ref=values["external_ref"] or None,
        items_count=len(lines),
        units_count=sum(line.quantity for line in lines),
        currency_code=facts.currency_code,
        placed_at=at,
        delivery_fee_source=Source.CLIENT,
        subtotal=totals.subtotal,
        delivery_fee=totals.delivery_fee,
        total=totals.total,
    )
    finish(order, status, at)
    order.customer_id = imported_customer(order)
    products = products_by_sku(order, values["items"])
    insert(
        [order],
        [
            item_row(order, place, item, amounts.subtotal, products.get(item["sku"].upper()))
            for place, (item, amounts) in enumerate(zip(values["items"], totals.lines, strict=True))
        ],
        [paid_row(order, actor)] if order.amount_paid else [],
        [event_row(order, actor, OrderEvent.Kind.CREATED, to_status=status)],
    )
    if status == Status.RETURNED:
        CheckIn.objects.bulk_create(returned_rows(order, actor))
    put_in(order.pk)
    return order


def replace_imported(actor: Actor, order_id: UUID, values: Mapping[str, Any]) -> Order:
    """Import a past order anew under its id and number; inside the caller's transaction. Raises
    Conflict for an order that was not imported, or that somebody worked on since."""
    order = Order.objects.of(actor.store_id).get(pk=order_id)
    if order.channel != Channel.IMPORT or order.version > 1 or order.return_requests.exists():
        raise Conflict(
            "duplicate_external_ref",
            "Another order has this externalRef, and it is more than an import.",
            details={"orderId": order.pk},
        )
    take_out(order.pk)
    order.delete()
    uncount(order)
    return import_order(actor, values, order.number, order_id=order_id)


def uncount(order: Order) -> None:
    """Take a deleted imported order out of its customer's counters."""
    if order.customer_id is None:
        return
    left = Order.objects.filter(customer=order.customer_id).aggregate(
        first=Min("placed_at"), last=Max("placed_at")
    )
    delivered, returned = order.status == Status.DELIVERED, order.status == Status.RETURNED
    Customer.objects.filter(pk=order.customer_id).update(
        orders_count=F("orders_count") - (0 if order.is_credit_only else 1),
        delivered_count=F("delivered_count") - (1 if delivered else 0),
        returned_count=F("returned_count") - (1 if returned else 0),
        total_spent=F("total_spent") - (order.subtotal if delivered else ZERO),
        first_order_at=left["first"],
        last_order_at=left["last"],
    )


def returned_rows(order: Order, actor: Actor) -> list[CheckIn]:
    """All of a returned order came back when it was placed."""
    return [
        CheckIn(
            store_id=order.store_id,
            order=order,
            item=item,
            restock=item.quantity,
            value=item.line_total,
            from_customer=True,
            at=order.placed_at,
            actor_kind=actor.kind,
            actor_id=actor.id,
        )
        for item in order.items.all()
    ]


def finish(order: Order, status: str, at: Any) -> None:
    """The end the order came to, at the time it was placed."""
    if status == Status.DELIVERED:
        order.delivered_at = at
        order.fulfillment_status = FulfillmentStatus.DELIVERED
        order.amount_paid = order.total
        order.payment_status = PaymentStatus.PAID
    elif status == Status.RETURNED:
        order.returned_at = at
        order.fulfillment_status = FulfillmentStatus.RETURNED_TO_STORE
        order.returns_total = order.total
        order.payment_status = PaymentStatus.VOIDED
    else:
        order.cancelled_at = at
        order.fulfillment_status = FulfillmentStatus.CANCELLED
        order.returns_total = order.total
        order.payment_status = PaymentStatus.VOIDED


def products_by_sku(order: Order, items: Any) -> dict[str, UUID]:
    """Products that exist under an imported SKU; the others stay as their names."""
    skus = [item["sku"].upper() for item in items]
    known = Product.objects.live().of(order.store_id).annotate(folded=Upper("sku"))
    return dict(known.filter(folded__in=skus).values_list("folded", "pk"))


def item_row(
    order: Order, place: int, item: Mapping[str, Any], subtotal: Decimal, product_id: UUID | None
) -> OrderItem:
    unit_price = item["unit_price"]
    if unit_price is None:
        unit_price = (subtotal / item["quantity"]).quantize(UNIT_PLACES, ROUND_HALF_UP)
    quantity = item["quantity"]
    returned = order.status == Status.RETURNED
    return OrderItem(
        id=uuid7(),
        store_id=order.store_id,
        order_id=order.pk,
        place=place,
        product_id=product_id,
        sku=item["sku"],
        name=item["name"] or item["sku"],
        quantity=quantity,
        unit_price=unit_price,
        price_source=Source.CLIENT,
        line_subtotal=subtotal,
        line_total=subtotal,
        quantity_delivered=0 if order.status == Status.CANCELLED else quantity,
        quantity_returned=quantity if returned else 0,
        quantity_restocked=quantity if returned else 0,
        quantity_credited=quantity if returned else 0,
    )


def imported_customer(order: Order) -> Any:
    """The customer by phone, found or made, with the counters of what is imported."""
    delivered = order.status == Status.DELIVERED
    customer, _ = Customer.objects.live().get_or_create(
        store_id=order.store_id,
        primary_phone=order.customer_phone,
        deleted_at=None,
        defaults={"name": order.customer_name, "currency_code": order.currency_code},
    )
    counted = 0 if order.is_credit_only else 1
    Customer.objects.filter(pk=customer.pk).update(
        orders_count=F("orders_count") + counted,
        delivered_count=F("delivered_count") + (1 if delivered else 0),
        returned_count=F("returned_count") + (1 if order.status == Status.RETURNED else 0),
        total_spent=F("total_spent") + (order.subtotal if delivered else ZERO),
        first_order_at=Least(Coalesce("first_order_at", order.placed_at), order.placed_at),
        last_order_at=Greatest(Coalesce("last_order_at", order.placed_at), order.placed_at),
    )
    return customer.pk


def paid_row(order: Order, actor: Actor) -> OrderPayment:
    method = order.payment_method
    return OrderPayment(
        store_id=order.store_id,
        order_id=order.pk,
        kind=OrderPayment.Kind.PAYMENT,
        method=PaymentMethod.CASH if method == PaymentMethod.PREPAID else method,
        amount=order.amount_paid,
        at=order.placed_at,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )
