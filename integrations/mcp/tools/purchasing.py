"""Drafts of purchase orders; people send them."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import (
    ID,
    INT,
    MAYBE_TEXT,
    MONEY,
    TEXT,
    Input,
    Keyed,
    MoneyText,
    array,
    obj,
    project,
    rows_of,
)
from store_modules.catalog.models import Product
from store_modules.purchasing import services
from store_modules.purchasing.models import PurchaseOrder, Supplier
from store_modules.purchasing.serializers import PurchaseBody, PurchaseSerializer
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.viewsets import search

PURCHASE = obj(
    id=ID, number=TEXT, status=TEXT, supplier_id=ID, supplier_name=TEXT, order_date=TEXT,
    expected_delivery_date=MAYBE_TEXT, notes=MAYBE_TEXT, total_amount=MONEY,
    items=array(obj(product_id=ID, sku=MAYBE_TEXT, name=TEXT, quantity=INT, unit_cost=MONEY,
                    line_total=MONEY)),
    version=INT,
)  # fmt: skip


class PurchaseLine(Input):
    sku: str = Field(max_length=64)
    quantity: int = Field(ge=1, le=1_000_000)
    unit_cost: MoneyText


class Draft(Keyed):
    supplier: str = Field(max_length=200, description="The supplier's id or name.")
    items: list[PurchaseLine] = Field(min_length=1, max_length=100)
    expected_delivery_date: date | None = None
    notes: str | None = Field(None, max_length=2000)


@tool(
    "Draft a purchase order",
    "Writes a purchase order as a draft: nothing is ordered until a person sends it. Stock comes "
    "in when the goods are received.",
    scopes="purchasing:write",
    input=Draft,
    output=PURCHASE,
    writes=True,
    prepare=lambda principal, given: services.purchase_number(principal.actor.store_id),
)
def draft_purchase_order(principal: Principal, given: Draft, number: str) -> dict[str, Any]:
    actor = principal.actor
    body = {
        "supplierId": str(supplier_of(actor.store_id, given.supplier)),
        "items": [
            {
                "productId": str(product_id(actor.store_id, line.sku, place)),
                "quantity": line.quantity,
                "unitCost": line.unit_cost,
            }
            for place, line in enumerate(given.items)
        ],
    }
    if given.notes:
        body["notes"] = given.notes
    if given.expected_delivery_date:
        body["expectedDeliveryDate"] = given.expected_delivery_date.isoformat()
    values = PurchaseBody.read(body, actor.store)
    purchase = services.create_purchase(actor, number, dict(values))
    row = rows_of(PurchaseSerializer, actor, PurchaseOrder.objects.filter(pk=purchase.pk))[0][0]
    answer: dict[str, Any] = project(PURCHASE, row, actor.store.currency_code)
    return answer


def supplier_of(store_id: UUID, named: str) -> UUID:
    """A supplier by id, or by a name that only one has."""
    mine = Supplier.objects.of(store_id).filter(is_active=True)
    try:
        found = list(mine.filter(pk=UUID(named)).values_list("pk", "name"))
    except ValueError:
        found = list(search(mine, named).values_list("pk", "name")[:6])
    if len(found) == 1:
        pk: UUID = found[0][0]
        return pk
    if found:
        names = "; ".join(f"{name} ({pk})" for pk, name in found)
        raise Refusal("ambiguous", f"Several suppliers match; name one by id: {names}.")
    known = "; ".join(mine.order_by("name").values_list("name", flat=True)[:20])
    raise Refusal("not_found", f"There is no such supplier. There are: {known or 'none'}.")


def product_id(store_id: UUID, sku: str, place: int) -> UUID:
    live = Product.objects.sellable().of(store_id).filter(sku__iexact=sku)
    found: UUID | None = live.values_list("pk", flat=True).first()
    if found is None:
        message = "There is no product with this SKU."
        raise Refusal("not_found", message, errors={f"items.{place}.sku": [message + f" ({sku})"]})
    return found
