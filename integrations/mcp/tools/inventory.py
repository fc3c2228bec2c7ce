"""Stock: levels, movements, adjustments."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Upper
from pydantic import AwareDatetime, Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import Subject, tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_INT,
    MAYBE_TEXT,
    MONEY,
    TEXT,
    TIME,
    UNTRUSTED,
    Keyed,
    Paged,
    listing,
    obj,
    page,
    project,
    rows_of,
)
from store_modules.catalog import stock
from store_modules.catalog.models import InventoryItem, Product, StockMovement
from store_modules.catalog.serializers import InventorySerializer, MovementSerializer
from store_modules.catalog.views import InventoryFilters, MovementFilters
from storeplatform.kernel.errors import Refusal

LEVEL = obj(
    id=ID, product_id=ID, sku=TEXT, name=TEXT, location=TEXT, track_inventory=BOOL,
    quantity_on_hand=INT, quantity_reserved=INT, quantity_available=INT, reorder_point=MAYBE_INT,
    updated_at=TIME,
)  # fmt: skip
MOVEMENT = obj(
    id=ID, product_id=ID, sku=TEXT, delta=INT, reason=TEXT, balance_after=INT, unit_cost=MONEY,
    ref_type=MAYBE_TEXT, note=UNTRUSTED, created_at=TIME,
)  # fmt: skip


class Levels(Paged):
    sku: str | None = Field(None, max_length=64)
    below: int | None = Field(
        None, ge=0, le=1_000_000, description="Only with fewer available pieces than this."
    )
    low_only: bool = Field(False, description="Only what is at or below its reorder point.")
    location: Literal["main"] | None = None


@tool(
    "Stock levels",
    "How many pieces of each product there are, reserved and available. low_only finds what runs "
    "out.",
    scopes="inventory:read",
    input=Levels,
    output=listing(LEVEL),
)
def list_inventory(principal: Principal, given: Levels) -> dict[str, Any]:
    actor = principal.actor
    rows = InventoryItem.objects.of(actor.store_id).filter(product__deleted_at=None)
    query: dict[str, Any] = {"sku": given.sku, "lowStock": "true" if given.low_only else None}
    if given.below is not None:
        rows = rows.filter(quantity_on_hand__lt=F("quantity_reserved") + given.below)
        query["below"] = given.below  # binds the cursor
    return page(
        actor, rows, InventorySerializer, LEVEL, given, filters=InventoryFilters, query=query
    )


class History(Paged):
    sku: str = Field(max_length=64)
    since: AwareDatetime | None = Field(None, description="Only movements from this time on.")


@tool(
    "Stock history",
    "What came in and went out of one product's stock, the latest first, and why.",
    scopes="inventory:read",
    input=History,
    output=listing(MOVEMENT),
)
def get_inventory_history(principal: Principal, given: History) -> dict[str, Any]:
    actor = principal.actor
    item = stock.find_item(actor.store_id, sku=given.sku)
    return page(
        actor,
        StockMovement.objects.of(actor.store_id),
        MovementSerializer,
        MOVEMENT,
        given,
        filters=MovementFilters,
        query={
            "productId": item.product_id,
            "from": given.since.isoformat() if given.since else None,
        },
    )


def product_names(store_id: UUID, skus: Sequence[str]) -> dict[str, str]:
    """By SKU as it was written; one of other letter case is the same."""
    wanted = {sku.strip().upper(): sku for sku in skus}
    rows = Product.objects.live().of(store_id).annotate(folded=Upper("sku"))
    found = rows.filter(folded__in=wanted).values_list("folded", "sku", "name")
    return {wanted[folded]: f"{name} · {sku}" for folded, sku, name in found}


class Adjustment(Keyed):
    sku: str = Field(max_length=64)
    delta: int = Field(ge=-1_000_000, le=1_000_000, description="Pieces more, or fewer below zero.")
    reason: Literal["opening", "return", "damage", "loss", "count_correction", "manual"]
    location: Literal["main"] = "main"
    note: str | None = Field(None, max_length=500)


@tool(
    "Adjust stock",
    "Adds or takes pieces of a product's stock for a stated reason. Goods that a supplier "
    "delivered belong to their purchase order instead.",
    scopes="inventory:write",
    input=Adjustment,
    output=LEVEL,
    writes=True,
    destructive=True,
    subject=Subject("product", "sku", product_names),
)
def adjust_inventory(principal: Principal, given: Adjustment) -> dict[str, Any]:
    actor = principal.actor
    if not given.delta:
        raise Refusal("validation_error", "It moves nothing.", delta=["Not zero."])
    item = stock.find_item(actor.store_id, sku=given.sku)
    stock.adjust(item, given.delta, given.reason, actor=actor, note=given.note)
    row = rows_of(InventorySerializer, actor, InventoryItem.objects.filter(pk=item.pk))[0][0]
    answer: dict[str, Any] = project(LEVEL, row, actor.store.currency_code)
    return answer
