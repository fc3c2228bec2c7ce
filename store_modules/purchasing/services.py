"""Purchase orders: totals, receiving goods at moving-average cost, attachments."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from store_modules.catalog import stock
from store_modules.catalog.models import InventoryItem, Product
from store_modules.purchasing.models import (
    OPEN,
    Attachment,
    PurchaseItem,
    PurchaseOrder,
    PurchaseReceipt,
    Supplier,
)
from storeplatform.kernel import uploads
from storeplatform.kernel.errors import Conflict, Refusal, refuse
from storeplatform.kernel.money import MAX_AMOUNT, allocate, round_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

Status = PurchaseOrder.Status
MAX_ATTACHMENTS = 3
COST_PLACES = Decimal("0.0001")
ZERO = Decimal(0)
# What may still be changed, by status; nothing elsewhere.
EDITABLE = {
    Status.DRAFT: {
        "supplier", "reference_number", "order_date", "expected_delivery_date", "notes",
        "additional_fees", "discount", "items",
    },
    Status.ORDERED: {"notes", "expected_delivery_date", "reference_number"},
}  # fmt: skip


def wrong_state(purchase: PurchaseOrder, allowed: Sequence[str]) -> Conflict:
    return Conflict(
        "invalid_transition",
        f"A purchase order that is {purchase.status} does not allow this.",
        details={"current": {"status": purchase.status}, "allowed": list(allowed)},
    )


# Suppliers


def delete_supplier(supplier: Supplier) -> None:
    """Raises Conflict `supplier_in_use` once anything was ordered from it."""
    count = supplier.purchases.count()
    if count:
        raise Conflict(
            "supplier_in_use",
            "It has purchase orders; deactivate it instead.",
            details={"purchaseOrders": count},
        )
    supplier.delete()


# Orders


def purchase_number(store_id: UUID) -> str:
    """The next PO number, taken outside the order's transaction."""
    return f"PO-{take_numbers(store_id, 'purchase')[0]}"


@transaction.atomic
def create_purchase(actor: Actor, number: str, values: dict[str, Any]) -> PurchaseOrder:
    """A new draft; with `receive_now` it is ordered and has arrived already."""
    facts = actor.store
    receive_now = values.pop("receive_now", False)
    today = timezone.now().astimezone(ZoneInfo(facts.timezone or "UTC")).date()
    purchase = PurchaseOrder(
        store_id=facts.id, currency_code=facts.currency_code, number=number, order_date=today
    )
    save_purchase(purchase, values)
    if receive_now:
        order(purchase)
        receive(actor, purchase, {row.pk: row.quantity for row in purchase.items.all()})
    return purchase


@transaction.atomic
def save_purchase(purchase: PurchaseOrder, values: dict[str, Any]) -> PurchaseOrder:
    """Create or change with the totals counted anew. Raises Conflict `invalid_transition` for
    what the status keeps as it is."""
    created = purchase._state.adding
    forbidden = values.keys() - EDITABLE.get(Status(purchase.status), set())
    if forbidden:
        raise wrong_state(purchase, sorted(EDITABLE.get(Status(purchase.status), set())))
    items = values.pop("items", None)
    for name, value in values.items():
        setattr(purchase, name, value)
    expected = purchase.expected_delivery_date
    if expected is not None and expected < purchase.order_date:
        raise refuse("expectedDeliveryDate", "invalid", "Not before the order date.")
    if not created:
        purchase.version += 1
    rows = rows_of(purchase, items) if items is not None else list(purchase.items.all())
    amount = sum((row.line_total for row in rows), ZERO)
    if purchase.discount > amount:
        raise refuse("discount", "invalid", "Not above the sum of the lines.")
    purchase.total_amount = amount - purchase.discount + purchase.additional_fees
    if purchase.total_amount > MAX_AMOUNT:
        raise refuse("items", "max_value", f"Together at most {MAX_AMOUNT}.")
    purchase.save()
    if items is not None:
        purchase.items.all().delete()
        PurchaseItem.objects.bulk_create(rows)
    return purchase


def rows_of(purchase: PurchaseOrder, items: Sequence[Mapping[str, Any]]) -> list[PurchaseItem]:
    """The lines; each product sellable, of this store, and named once."""
    ids = [item["product_id"] for item in items]
    live = Product.objects.sellable().of(purchase.store_id).filter(pk__in=ids)
    sellable = set(live.values_list("pk", flat=True))
    rows = []
    for place, item in enumerate(items):
        if item["product_id"] not in sellable:
            raise refuse(f"items.{place}.productId", "not_found", "There is no such product.")
        if item["product_id"] in ids[:place]:
            raise refuse(f"items.{place}.productId", "duplicate_product", "It stands twice.")
        amount = round_money(item["unit_cost"] * item["quantity"], purchase.currency_code)
        rows.append(
            PurchaseItem(
                store_id=purchase.store_id,
                purchase=purchase,
                place=place,
                product_id=item["product_id"],
                quantity=item["quantity"],
                unit_cost=item["unit_cost"],
                line_total=amount,
                notes=item["notes"],
            )
        )
    return rows


def delete_purchase(purchase: PurchaseOrder) -> None:
    """Only of what never took effect."""
    if purchase.status not in (Status.DRAFT, Status.CANCELLED):
        raise wrong_state(purchase, [Status.DRAFT, Status.CANCELLED])
    for attachment in purchase.attachments.all():
        uploads.forget(attachment.stored_as)
    purchase.delete()


def move_on(purchase: PurchaseOrder, to: str, sources: Sequence[str], **values: Any) -> None:
    """Give a locked order another status. What it has already is no change."""
    if purchase.status == to:
        return
    if purchase.status not in sources:
        raise wrong_state(purchase, sources)
    purchase.status = to
    purchase.version += 1
    for name, value in values.items():
        setattr(purchase, name, value)
    purchase.save()


def order(purchase: PurchaseOrder) -> None:
    move_on(purchase, Status.ORDERED, [Status.DRAFT], ordered_at=timezone.now())


def cancel(purchase: PurchaseOrder, reason: str | None) -> None:
    sources = [Status.DRAFT, Status.ORDERED]
    values = {"cancelled_at": timezone.now(), "cancel_reason": reason}
    move_on(purchase, Status.CANCELLED, sources, **values)


def close(purchase: PurchaseOrder) -> None:
    """Give up what has not arrived."""
    move_on(purchase, Status.CLOSED, [Status.PARTIALLY_RECEIVED], closed_at=timezone.now())


# Receiving


def receive(
    actor: Actor,
    purchase: PurchaseOrder,
    counted: Mapping[UUID, int],
    *,
    received_at: datetime | None = None,
) -> None:
    """Take goods of a locked order into stock: `counted` pieces by line id. Raises Conflict in the
    wrong state, Refusal `over_receipt` for more than was ordered."""
    if purchase.status not in (Status.ORDERED, Status.PARTIALLY_RECEIVED):
        raise wrong_state(purchase, [Status.ORDERED, Status.PARTIALLY_RECEIVED])
    rows = list(purchase.items.all())
    check_counts(rows, counted)
    landed = landed_totals(purchase, rows)
    value = sum(
        (
            arrived_value(row, landed[row.pk], counted[row.pk], purchase.currency_code)
            for row in rows
            if counted.get(row.pk)
        ),
        ZERO,
    )
    take_into_stock(actor, purchase, rows, counted, landed)
    for row in rows:
        row.received_quantity += counted.get(row.pk, 0)
    PurchaseItem.objects.bulk_update(rows, ["received_quantity"])
    at = received_at or timezone.now()
    PurchaseReceipt.objects.create(
        store_id=purchase.store_id,
        purchase=purchase,
        received_at=at,
        value=value,
        lines=[{"itemId": str(pk), "quantity": count} for pk, count in counted.items()],
        actor_kind=actor.kind,
        actor_id=actor.id,
    )
    complete = all(row.received_quantity == row.quantity for row in rows)
    purchase.status = Status.RECEIVED if complete else Status.PARTIALLY_RECEIVED
    purchase.received_value += value
    purchase.received_at = at if complete else None
    purchase.version += 1
    purchase.save()
    announce(purchase, "purchase_order.received")


def check_counts(rows: Sequence[PurchaseItem], counted: Mapping[UUID, int]) -> None:
    known = {row.pk: row for row in rows}
    for place, (pk, count) in enumerate(counted.items()):
        row = known.get(pk)
        if row is None:
            raise refuse(f"items.{place}.itemId", "not_found", "There is no such line.")
        left = row.quantity - row.received_quantity
        if count > left:
            message = f"Only {left} of this line are outstanding."
            raise refuse(f"items.{place}.quantity", "over_receipt", message)


def landed_totals(purchase: PurchaseOrder, rows: Sequence[PurchaseItem]) -> dict[UUID, Decimal]:
    """What each whole line costs with its share of fees and discount, by line value; by pieces
    where the lines are free."""
    weights = [row.line_total for row in rows]
    if not any(weights):
        weights = [Decimal(row.quantity) for row in rows]
    currency = purchase.currency_code
    fees = allocate(purchase.additional_fees, weights, currency)
    off = allocate(purchase.discount, weights, currency)
    return {
        row.pk: row.line_total + fee - less for row, fee, less in zip(rows, fees, off, strict=True)
    }


def arrived_value(row: PurchaseItem, landed: Decimal, count: int, currency: str) -> Decimal:
    """The landed value of `count` more pieces, so that all arrivals together are the line."""

    def worth(pieces: int) -> Decimal:
        return round_money(landed * pieces / row.quantity, currency)

    return worth(row.received_quantity + count) - worth(row.received_quantity)


def take_into_stock(
    actor: Actor,
    purchase: PurchaseOrder,
    rows: Sequence[PurchaseItem],
    counted: Mapping[UUID, int],
    landed: Mapping[UUID, Decimal],
) -> None:
    """Movements at landed cost; the product's cost becomes the moving average."""
    arriving = {row.product_id: row for row in rows if counted.get(row.pk)}
    of_product = InventoryItem.objects.filter(product__in=arriving).values_list("pk", flat=True)
    shelves = stock.locked_items(of_product)
    products = Product.objects.filter(pk__in=arriving).order_by("pk").select_for_update()
    by_id = {product.pk: product for product in products}
    for shelf in shelves.values():
        row = arriving[shelf.product_id]
        count = counted[row.pk]
        unit = (landed[row.pk] / row.quantity).quantize(COST_PLACES, ROUND_HALF_UP)
        product = by_id[shelf.product_id]
        product.cost_price = average_cost(shelf.quantity_on_hand, product.cost_price, count, unit)
        product.version += 1
        product.track_inventory = True
        product.save(update_fields=["cost_price", "track_inventory", "version", "updated_at"])
        stock.move(
            shelf,
            count,
            stock.Reason.PURCHASE_RECEIPT,
            actor=actor,
            unit_cost=unit,
            ref_type="purchase_order",
            ref_id=purchase.pk,
        )


def average_cost(on_hand: int, cost: Decimal | None, count: int, unit: Decimal) -> Decimal:
    """The moving average after `count` pieces at `unit` joined `on_hand` at `cost`."""
    if not on_hand or cost is None:
        return unit
    whole = on_hand * cost + count * unit
    return (whole / (on_hand + count)).quantize(COST_PLACES, ROUND_HALF_UP)


def announce(purchase: PurchaseOrder, event: str) -> None:
    emit(
        event,
        store_id=purchase.store_id,
        subject_id=purchase.pk,
        sequence=purchase.version,
        data={"id": str(purchase.pk), "number": purchase.number, "status": purchase.status},
    )


def is_on_order(product_id: UUID) -> bool:
    """Whether a product stands on a purchase order that is not finished."""
    return PurchaseItem.objects.filter(product=product_id, purchase__status__in=OPEN).exists()


# Attachments


def attach(purchase: PurchaseOrder, upload: uploads.Upload) -> Attachment:
    """Keep a file with a locked order; the fourth is refused."""
    if purchase.attachments.count() >= MAX_ATTACHMENTS:
        message = f"A purchase order has at most {MAX_ATTACHMENTS} attachments."
        raise Refusal("too_many_attachments", message, file=[message])
    attachment: Attachment = Attachment.objects.create(
        store_id=purchase.store_id,
        purchase=purchase,
        file_name=upload.name,
        content_type=upload.content_type,
        size=len(upload.content),
        stored_as=uploads.keep("purchases", upload.content),
    )
    return attachment


def detach(attachment: Attachment) -> None:
    uploads.forget(attachment.stored_as)
    attachment.delete()
