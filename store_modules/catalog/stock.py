"""Stock under locks: every figure changes here, and every change of what is on hand is a movement.

Inventory rows are locked in id order, so that two calls over the same rows never deadlock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q

from store_modules.catalog.models import InventoryItem, Product, StockMovement
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import event_of
from storeplatform.kernel.tenancy import Actor

Reason = StockMovement.Reason

# Every change of a figure tells others of it in the same statement; the ids are made beforehand
# and are more than enough. `low` and `out` are told where the line is crossed.
NEWS = """
, news AS (
  SELECT item.*, product.sku, item.quantity_on_hand - item.quantity_reserved AS available,
    row_number() OVER (ORDER BY item.id) AS place
  FROM changed item JOIN catalog_product product ON product.id = item.product_id
), told AS (
  INSERT INTO kernel_outboxevent (id, store_id, type, subject_id, sequence, data, request_id)
  SELECT (%s::uuid[])[2 * news.place - (kind.type = 'inventory.changed')::int], news.store_id,
    kind.type, news.id, news.version,
    jsonb_build_object('productId', news.product_id, 'sku', news.sku,
      'quantityOnHand', news.quantity_on_hand, 'quantityReserved', news.quantity_reserved,
      'quantityAvailable', news.available), %s
  FROM news CROSS JOIN LATERAL (
    SELECT 'inventory.changed' AS type
    UNION ALL SELECT 'inventory.out' WHERE news.available <= 0 AND news.was > 0
    UNION ALL SELECT 'inventory.low' WHERE news.available > 0
      AND news.available <= news.reorder_point AND news.was > news.reorder_point
  ) kind
)
"""

# The rows as they are once all are locked. What they become is counted from these figures, both of
# them: PostgreSQL checks a row's constraints first against the row as it was when the statement
# began, before it looks whether somebody changed it meanwhile.
LOCKED = """
WITH wanted AS (
  SELECT id, quantity FROM unnest(%s::uuid[], %s::int[]) AS wanted (id, quantity)
), locked AS (
  SELECT item.id, item.quantity_on_hand AS on_hand, item.quantity_reserved AS reserved,
    item.quantity_on_hand - item.quantity_reserved AS available, wanted.quantity
  FROM catalog_inventoryitem item JOIN wanted USING (id) ORDER BY item.id FOR UPDATE OF item
)
"""

# Locks, checks and reserves all rows in one statement; reserves nothing when one is short.
RESERVE = f"""
{LOCKED}, changed AS (
  UPDATE catalog_inventoryitem item SET quantity_on_hand = locked.on_hand,
    quantity_reserved = locked.reserved + locked.quantity,
    version = version + 1, updated_at = now()
  FROM locked WHERE item.id = locked.id
    AND NOT EXISTS (SELECT 1 FROM locked WHERE available < quantity)
  RETURNING item.*, locked.available AS was
)
{NEWS}
SELECT id, available FROM locked WHERE available < quantity
"""  # noqa: S608  # our own text

RELEASE = f"""
{LOCKED}, changed AS (
  UPDATE catalog_inventoryitem item SET quantity_on_hand = locked.on_hand,
    quantity_reserved = locked.reserved - locked.quantity,
    version = version + 1, updated_at = now()
  FROM locked WHERE item.id = locked.id
  RETURNING item.*, locked.available AS was
)
{NEWS}
SELECT 1 FROM changed
"""  # noqa: S608  # our own text


# Locks, checks and takes from the shelf; nothing when one is short. Answers the rows that are
# short with what is available, else each row with what is left on hand.
TAKE = f"""
{LOCKED}, changed AS (
  UPDATE catalog_inventoryitem item SET quantity_on_hand = locked.on_hand - locked.quantity,
    quantity_reserved = locked.reserved,
    version = version + 1, updated_at = now()
  FROM locked WHERE item.id = locked.id
    AND NOT EXISTS (SELECT 1 FROM locked WHERE available < quantity)
  RETURNING item.*, locked.available AS was
)
{NEWS}
SELECT id, available, true FROM locked WHERE available < quantity
UNION ALL SELECT id, quantity_on_hand, false FROM changed
"""  # noqa: S608  # our own text


@dataclass(frozen=True, slots=True)
class Shortage:
    """An item that has fewer pieces than asked for."""

    item_id: UUID
    available: int


def parameters(demand: Mapping[UUID, int]) -> list[Any]:
    """Of the three statements: items, pieces, two event ids an item, and the request's id."""
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    event_ids = [uuid7() for _ in range(2 * len(demand))]
    return [list(demand), list(demand.values()), event_ids, request_id]


def reserve(demand: Mapping[UUID, int]) -> list[Shortage]:
    """Set pieces aside by inventory item; all of them, or none and what is short."""
    if not demand:
        return []
    with prepared() as cursor:
        cursor.execute(RESERVE, parameters(demand))
        return [Shortage(item_id, available) for item_id, available in cursor.fetchall()]


def take(demand: Mapping[UUID, int]) -> tuple[dict[UUID, int], list[Shortage]]:
    """Take pieces off the shelf by inventory item, all or none: what is left of each, or what is
    short. The caller writes the movements."""
    if not demand:
        return {}, []
    with prepared() as cursor:
        cursor.execute(TAKE, parameters(demand))
        rows = cursor.fetchall()
    short = [Shortage(item_id, count) for item_id, count, is_short in rows if is_short]
    return {item_id: count for item_id, count, is_short in rows if not is_short}, short


def release(reserved: Mapping[UUID, int]) -> None:
    """Give reserved pieces back."""
    if reserved:
        with prepared() as cursor:
            cursor.execute(RELEASE, parameters(reserved))


def insufficient(short: Iterable[dict[str, Any]]) -> Conflict:
    """The 409 that lists each short `{sku, requested, available}`."""
    return Conflict(
        "insufficient_stock", "There is not enough stock.", details={"items": list(short)}
    )


def locked_items(ids: Iterable[UUID]) -> dict[UUID, InventoryItem]:
    items = InventoryItem.objects.select_related("product").filter(pk__in=list(ids)).order_by("pk")
    return {item.pk: item for item in items.select_for_update(of=("self",))}


def item_of(product: Product) -> InventoryItem:
    """The product's inventory row, locked. It was made with the product."""
    items = InventoryItem.objects.select_related("product").select_for_update(of=("self",))
    item: InventoryItem = items.get(product=product)
    return item


def move(
    item: InventoryItem,
    delta: int,
    reason: str,
    *,
    actor: Actor,
    note: str | None = None,
    unit_cost: Any = None,
    ref_type: str = "",
    ref_id: UUID | None = None,
    was: int | None = None,
) -> None:
    """Change what is on hand of a locked item and write the movement. `was` is what was available
    before, where the caller changed what is reserved, too. Raises Conflict when fewer pieces would
    be left than are reserved."""
    if not delta:
        return
    was = item.quantity_on_hand - item.quantity_reserved if was is None else was
    left = item.quantity_on_hand + delta
    if left < item.quantity_reserved:
        raise Conflict(
            "below_reserved" if left >= 0 else "insufficient_stock",
            "Fewer pieces would be left than are reserved."
            if left >= 0
            else "There is not enough stock.",
            details={
                "quantityReserved": item.quantity_reserved,
                "quantityOnHand": item.quantity_on_hand,
            },
        )
    item.quantity_on_hand = left
    item.version += 1
    item.save(update_fields=["quantity_on_hand", "quantity_reserved", "version", "updated_at"])
    StockMovement.objects.create(
        store_id=item.store_id,
        item=item,
        product_id=item.product_id,
        delta=delta,
        reason=reason,
        balance_after=left,
        unit_cost=unit_cost,
        ref_type=ref_type,
        ref_id=ref_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        note=note,
    )
    announce(item, was)


def opening(item: InventoryItem, actor: Actor) -> StockMovement:
    """The first movement of a new item with pieces on hand; the caller stores both."""
    return StockMovement(
        store_id=item.store_id,
        item=item,
        product_id=item.product_id,
        delta=item.quantity_on_hand,
        reason=Reason.OPENING,
        balance_after=item.quantity_on_hand,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def announce(item: InventoryItem, was: int) -> None:
    """Tell others that a figure changed; the message carries the new ones. `was` pieces were
    available before."""
    for event in changed_events(item, was):
        event.save(force_insert=True)


def changed_events(item: InventoryItem, was: int) -> list[OutboxEvent]:
    available = item.quantity_on_hand - item.quantity_reserved
    types = ["inventory.changed"]
    if available <= 0 < was:
        types.append("inventory.out")
    elif item.reorder_point is not None and available <= item.reorder_point < was:
        types.append("inventory.low")
    data = {
        "productId": str(item.product_id),
        "sku": item.product.sku,
        "quantityOnHand": item.quantity_on_hand,
        "quantityReserved": item.quantity_reserved,
        "quantityAvailable": available,
    }
    return [
        event_of(
            event_type,
            store_id=item.store_id,
            subject_id=item.id,
            sequence=item.version,
            data=data,
        )
        for event_type in types
    ]


def begin_tracking(product_id: UUID) -> None:
    """A stock figure exists, so from now on it counts."""
    Product.objects.filter(pk=product_id, track_inventory=False).update(track_inventory=True)


@transaction.atomic
def set_on_hand(
    item: InventoryItem, quantity: int, *, actor: Actor, note: str | None = None
) -> InventoryItem:
    """Count: on hand is `quantity` now. Raises Conflict `below_reserved`."""
    item = locked_items([item.pk])[item.pk]
    first = not StockMovement.objects.filter(item=item).exists()
    reason = Reason.OPENING if first else Reason.COUNT_CORRECTION
    move(item, quantity - item.quantity_on_hand, reason, actor=actor, note=note)
    begin_tracking(item.product_id)
    return item


@transaction.atomic
def adjust(
    item: InventoryItem, delta: int, reason: str, *, actor: Actor, note: str | None = None
) -> InventoryItem:
    """Pieces more or fewer than before, for a stated reason."""
    item = locked_items([item.pk])[item.pk]
    move(item, delta, reason, actor=actor, note=note)
    begin_tracking(item.product_id)
    return item


def find_item(store_id: UUID, *, sku: str = "", product_id: UUID | None = None) -> InventoryItem:
    """The inventory row of a live product, by SKU in any letter case or by id."""
    wanted = Q(product__sku__iexact=sku.strip()) if sku else Q(product_id=product_id)
    found: InventoryItem | None = InventoryItem.objects.filter(
        wanted, store_id=store_id, product__deleted_at=None
    ).first()
    if found is None:
        field = "sku" if sku else "productId"
        raise Refusal(
            "not_found",
            "There is no such product in this store.",
            errors={field: ["There is no such product in this store."]},
        )
    return found
