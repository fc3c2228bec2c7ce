"""Changing an order that stands (domain.md, 6.2 "Editing"): what its status allows, repriced."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from store_modules.catalog import stock
from store_modules.customers.models import Customer
from store_modules.discounts import services as discounts
from store_modules.orders.credits import count_for_customer
from store_modules.orders.figures import counted_anew
from store_modules.orders.lifecycle import HOLDING
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Channel, Order, OrderEvent, OrderItem, Source
from store_modules.orders.money import owed_anew
from store_modules.orders.placement import (
    amounts_of,
    discounts_of,
    event_row,
    item_rows,
    outbox_row,
    set_aside,
    store_customer,
)
from store_modules.orders.quoting import Quote, quote
from store_modules.orders.status import Status
from store_modules.shipping.services import check_company
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.ports import Port
from storeplatform.kernel.serializers import wire_name
from storeplatform.kernel.tenancy import Actor

# Has a delivery company this order's parcel, or was it asked to take it? Deliveries answer.
is_with_a_company: Port[[UUID], bool] = Port("is_with_a_company")

PLACE = {
    "address_province_code", "address_area_id", "address", "landmark", "delivery_lat",
    "delivery_lng",
}  # fmt: skip
NOTES = {"notes", "internal_notes"}
EVERYTHING = PLACE | NOTES | {
    "payment_method", "customer", "items", "fulfillment_type", "delivery_mode", "external_ref",
    "delivery_fee", "delivery_fee_payer", "scheduled_for", "metadata", "pickup",
    "discount_code", "package_size_id", "delivery_company_id",
}  # fmt: skip
EDITABLE = {
    Status.DRAFT: EVERYTHING,
    Status.PENDING: EVERYTHING,
    Status.CONFIRMED: PLACE | NOTES | {"items", "package_size_id"},
    Status.PROCESSING: PLACE | NOTES | {"items", "package_size_id"},
    Status.SHIPPED: NOTES | {"address", "landmark", "delivery_lat", "delivery_lng"},
}
FINAL = {"internal_notes"}  # also of a parcel that a delivery company carries
CARD = ("name", "primary_phone", "secondary_phone", "email")
REPRICING = {
    "items", "payment_method", "delivery_fee", "delivery_fee_payer", "address_area_id",
    "address_province_code", "fulfillment_type", "discount_code", "package_size_id",
    "delivery_mode", "delivery_company_id",
}  # fmt: skip
PLAIN = {
    "address", "landmark", "delivery_lat", "delivery_lng", "notes", "internal_notes",
    "payment_method", "fulfillment_type", "delivery_mode", "external_ref", "scheduled_for",
    "metadata", "pickup", "delivery_fee_payer", "delivery_company_id",
}  # fmt: skip


@transaction.atomic
def edit_order(actor: Actor, order_id: UUID, values: dict[str, Any]) -> Order:
    """Replace what `values` names. What equals the stored value is no change; what the status
    forbids is a Conflict `not_editable` with the fields."""
    order = locked_order(actor.store_id, order_id)
    items = list(order.items.all())
    values = with_named_customer(actor.store_id, values)
    changed = {name: value for name, value in values.items() if differs(order, items, name, value)}
    forbidden = sorted(changed.keys() - editable(order))
    if forbidden:
        raise Conflict(
            "not_editable",
            f"An order that is {order.status} keeps these fields as they are.",
            details={
                "fields": [wire_name(name) for name in forbidden],
                "current": {"status": order.status},
            },
        )
    if not changed:
        return order
    check_company(actor.store_id, changed.get("delivery_company_id"))
    with counted_anew(order):
        for name in changed.keys() & PLAIN:
            setattr(order, name, changed[name])
        if (order.delivery_lat is None) != (order.delivery_lng is None):
            message = "Give delivery_lat and delivery_lng together or neither."
            raise refuse("delivery_lat", "invalid", message)
        buyer_changed = "customer" in changed and store_buyer(actor, order, changed["customer"])
        if buyer_changed or changed.keys() & REPRICING:
            reprice(actor, order, items, changed)
            owed_anew(order)
        order.version += 1
        order.save()
    fields = sorted(wire_name(name) for name in changed)
    event_row(order, actor, OrderEvent.Kind.EDITED, data={"fields": fields}).save(force_insert=True)
    outbox_row(order, "order.updated").save(force_insert=True)
    return order


def editable(order: Order) -> set[str]:
    """What may be changed of an order as it stands. A delivery company was told what the parcel
    holds, where it goes and what to collect, and is not told anew: the parcel is taken back
    first."""
    if order.delivery_company_id and (
        order.status == Status.SHIPPED
        or (order.status in HOLDING and any(is_with_a_company(order.pk)))
    ):
        return FINAL
    return EDITABLE.get(Status(order.status), FINAL)


def with_named_customer(store_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
    """The customer's card in place of the id of one."""
    if "customer_id" not in values:
        return values
    others = {name: value for name, value in values.items() if name != "customer_id"}
    found = Customer.objects.live().of(store_id).filter(primary_phone__isnull=False)
    card = found.filter(pk=values["customer_id"]).values(*CARD).first()
    if card is None:
        raise refuse("customerId", "not_found", "There is no such customer in this store.")
    return {**others, "customer": card}


def differs(order: Order, items: list[OrderItem], name: str, value: Any) -> bool:
    if name == "items":
        present = {item.sku.upper(): item for item in items}
        if len(value) != len(items):
            return True
        return any(
            (row := present.get((line.get("sku") or "").upper())) is None
            or row.quantity != line["quantity"]
            or line.get("unit_price") not in (None, row.unit_price)
            or line.get("name") not in (None, row.name)
            or line.get("note") not in (None, row.note)
            for line in value
        )
    if name == "customer":
        card = {
            "name": order.customer_name,
            "primary_phone": order.customer_phone,
            "secondary_phone": order.customer_secondary_phone,
            "email": order.customer_email,
        }
        return any(value[part] not in (None, card[part]) for part in CARD)
    if name == "address_area_id":
        return bool(value != order.area_id)
    if name == "address_province_code":
        code = value.strip().upper()
        return code not in (order.province_code, order.province_code.partition("-")[2])
    if name == "discount_code":
        return bool((value or "").upper() != (order.discount_code or ""))
    return bool(value != getattr(order, name))


def store_buyer(actor: Actor, order: Order, customer: Mapping[str, Any]) -> bool:
    """The order's own snapshot; the customer's card is changed by itself. Another phone is another
    customer: whether it is."""
    is_another = bool(customer["primary_phone"] != order.customer_phone)
    if is_another:
        counts = order.status != Status.DRAFT
        if counts:
            count_for_customer(order, orders_count=-1)
        order.customer_id = store_customer(
            actor, customer, order.currency_code, order.placed_at, counts=counts
        )
    order.customer_name = customer["name"]
    order.customer_phone = customer["primary_phone"]
    order.customer_secondary_phone = customer["secondary_phone"]
    order.customer_email = customer["email"]
    return is_another


def reprice(actor: Actor, order: Order, items: list[OrderItem], changed: Mapping[str, Any]) -> None:
    """Totals anew: lines that stay keep their price, new ones take the present one."""
    kept = {item.sku.upper(): item for item in items}
    lines = changed.get("items") or [
        {"sku": item.sku, "quantity": item.quantity, "name": item.name, "note": item.note}
        for item in items
    ]
    fee = changed.get("delivery_fee")
    if fee is None and order.delivery_fee_source == Source.CLIENT:
        fee = order.delivery_fee or order.delivery_cost
    priced = quote(
        actor,
        {
            "items": [with_kept_price(line, kept) for line in lines],
            "customer": {"primary_phone": order.customer_phone},
            "payment_method": order.payment_method,
            "fulfillment_type": order.fulfillment_type,
            "delivery_fee": fee,
            "delivery_fee_payer": order.delivery_fee_payer,
            "address_area_id": changed.get("address_area_id", order.area_id),
            "address_province_code": changed.get("address_province_code", order.province_code),
            "delivery_lat": order.delivery_lat,
            "delivery_lng": order.delivery_lng,
            "delivery_mode": order.delivery_mode,
            "delivery_company_id": order.delivery_company_id,
            "discount_code": changed.get("discount_code", order.discount_code),
            "package_size_id": changed.get("package_size_id", order.package_size_id),
            "keeps_package": "package_size_id" not in changed and bool(order.package_size_id),
        },
        Channel.DASHBOARD,
        standing=order,
    )
    if order.status != Status.DRAFT:
        discounts.give_back(order.pk)
        discounts.redeem(order.store_id, order.pk, priced.discounts, phone=order.customer_phone)
    place = priced.shelf.place
    assert place is not None  # checked while pricing
    order.area_id, order.area_name = place.area_id, place.area_name
    order.province_code, order.province_name = place.province_code, place.province_name
    for name, value in (amounts_of(priced.totals) | discounts_of(priced)).items():
        setattr(order, name, value)
    order.delivery_fee_source = priced.fee_source
    order.items_count = len(priced.lines)
    order.units_count = sum(line.quantity for line in priced.lines)
    replace_items(order, kept, priced)


def with_kept_price(line: Mapping[str, Any], kept: Mapping[str, OrderItem]) -> dict[str, Any]:
    """A line that was there, by SKU or product, keeps its price, its SKU and its place in the order
    whatever became of the product since."""
    row = kept.get((line.get("sku") or "").upper())
    if row is None and line.get("product_id"):
        row = next((one for one in kept.values() if one.product_id == line["product_id"]), None)
    if row is None:
        return dict(line)
    price = line.get("unit_price")
    return {
        **line,
        "product_id": row.product_id,
        "kept_sku": row.sku,
        "sku": row.sku,
        "unit_price": row.unit_price if price is None else price,
        "name": line.get("name") or row.name,
    }


def replace_items(order: Order, kept: Mapping[str, OrderItem], priced: Quote) -> None:
    """Write the lines anew under their former ids, and move the reservations by the difference."""
    rows = item_rows(order, priced)
    gone = dict(kept)
    for row in rows:
        if before := kept.get(row.sku.upper()):
            row.pk = before.pk
            if row.unit_price == before.unit_price:
                row.price_source = before.price_source
            row.unit_cost = before.unit_cost
            if row.product_id is None:
                row.product_id, row.weight_grams = before.product_id, before.weight_grams
            if row.inventory_item_id or not before.quantity_reserved:
                row.quantity_reserved = before.quantity_reserved
                del gone[row.sku.upper()]  # else not tracked any more: its reservation goes back
    if order.status in HOLDING:
        move_reservations(rows, gone.values())
    order.items.all().delete()
    OrderItem.objects.bulk_create(rows)


def move_reservations(rows: list[OrderItem], gone: Any) -> None:
    """Fewer pieces go back to the shelf first, then more are taken; both in id order."""
    back: dict[UUID, int] = {}
    for row in gone:
        if row.quantity_reserved:
            back[row.inventory_item_id] = row.quantity_reserved
    for row in rows:
        surplus = row.quantity_reserved - row.quantity
        if row.inventory_item_id and surplus > 0:
            back[row.inventory_item_id] = back.get(row.inventory_item_id, 0) + surplus
            row.quantity_reserved = row.quantity
    stock.release(back)
    set_aside(rows)


@transaction.atomic
def duplicate_of(actor: Actor, order_id: UUID) -> dict[str, Any]:
    """An order's content as the input of a new draft, at the present prices of its products."""
    order = locked_order(actor.store_id, order_id)
    if order.area_id is None:
        raise Conflict("not_duplicable", "A sale without an address is not repeated as an order.")
    lines: list[dict[str, Any]] = []
    for item in order.items.all():
        known = {"product_id": item.product_id} if item.product_id else {
            "sku": item.sku, "name": item.name, "unit_price": item.unit_price,
        }  # fmt: skip
        lines.append({"quantity": item.quantity, "note": item.note, **known})
    return {
        "payment_method": order.payment_method,
        "customer": {
            "name": order.customer_name,
            "primary_phone": order.customer_phone,
            "secondary_phone": order.customer_secondary_phone,
            "email": order.customer_email,
        },
        "items": lines,
        "address_province_code": order.province_code,
        "address_area_id": order.area_id,
        "address": order.address,
        "landmark": order.landmark,
        "delivery_lat": order.delivery_lat,
        "delivery_lng": order.delivery_lng,
        "fulfillment_type": order.fulfillment_type,
        "delivery_mode": order.delivery_mode,
        "notes": order.notes,
        "internal_notes": order.internal_notes,
        "metadata": order.metadata,
        "pickup": order.pickup,
        "package_size_id": order.package_size_id,
        "is_draft": True,
    }
