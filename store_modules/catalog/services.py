"""Categories and products: what crosses rows (domain.md, sections 3 and 4)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from store_modules.catalog import stock
from store_modules.catalog.models import Category, InventoryItem, Product
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.money import round_money
from storeplatform.kernel.outbox import event_of
from storeplatform.kernel.ports import Port
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import lock_name
from storeplatform.kernel.writing import copy

MAX_DEPTH = 5

# Is the product on a purchase order that is not finished? And: it is gone, forget it.
on_open_purchase_order: Port[[UUID], bool] = Port("on_open_purchase_order")
product_gone: Port[[UUID], None] = Port("product_gone")


# Categories


@transaction.atomic
def save_category(category: Category, values: dict[str, Any]) -> Category:
    """Create or change; moving one moves everything below it."""
    for name, value in values.items():
        setattr(category, name, value)
    category.slug = slugify(category.name, allow_unicode=True)[:220]
    old_path = list(category.path)
    category.path = path_below(category)
    category.depth = len(category.path)
    if category.depth > MAX_DEPTH:
        raise refuse("parentId", "too_deep", f"Categories are at most {MAX_DEPTH} deep.")
    category.save()
    if old_path and old_path != category.path:
        move_descendants(category, old_path)
    return category


def path_below(category: Category) -> list[UUID]:
    parent = category.parent
    if parent is None:
        return [category.pk]
    if category.pk in parent.path:
        raise refuse("parentId", "category_cycle", "A category cannot stand below itself.")
    return [*parent.path, category.pk]


def move_descendants(category: Category, old_path: list[UUID]) -> None:
    below = Category.objects.filter(path__contains=[category.pk]).exclude(pk=category.pk)
    for row in below.select_for_update():
        row.path = [*category.path, *row.path[len(old_path) :]]
        row.depth = len(row.path)
        if row.depth > MAX_DEPTH:
            raise refuse("parentId", "too_deep", f"Categories are at most {MAX_DEPTH} deep.")
        row.save(update_fields=["path", "depth"])


def delete_category(category: Category) -> None:
    """Raises Conflict with the counts while categories or products stand below it."""
    children = category.children.count()
    products = Product.objects.live().filter(category=category).count()
    if children or products:
        raise Conflict(
            "category_in_use",
            "Move its subcategories and products first.",
            details={"childCount": children, "productCount": products},
        )
    Product.objects.filter(category=category).update(category=None)
    category.delete()


# Products


def create_product(actor: Actor, values: dict[str, Any], *, quantity: int | None = None) -> Product:
    """A product with its inventory row; `quantity` is its opening stock and begins tracking."""
    return create_products(actor, [(values, quantity)])[0]


@transaction.atomic
def create_products(
    actor: Actor, rows: Sequence[tuple[dict[str, Any], int | None]]
) -> list[Product]:
    """Products of the given values and opening stock, all or none."""
    if not actor.store.currency_code:
        raise Conflict(
            "settings_not_initialized", "Set the store's currency first: POST /settings."
        )
    products, items, movements = [], [], []
    for values, quantity in rows:
        product = new_product(actor, values, quantity)
        check_product(product)
        products.append(product)
        if product.product_type == Product.Type.PARENT:
            continue
        item = InventoryItem(
            store_id=actor.store_id, product=product, quantity_on_hand=quantity or 0
        )
        items.append(item)
        if quantity:
            movements.append(stock.opening(item, actor))
    copy(products)
    copy(items)
    copy(movements)
    events = [event_about(product, "product.created") for product in products]
    for item in items:
        if item.quantity_on_hand:
            events += stock.changed_events(item, was=0)
    copy(events)
    return products


def new_product(actor: Actor, values: dict[str, Any], quantity: int | None) -> Product:
    tracked = values.get("track_inventory")
    return Product(
        **{
            **values,
            "store_id": actor.store_id,
            "currency_code": actor.store.currency_code,
            "track_inventory": tracked if tracked is not None else quantity is not None,
        }
    )


@transaction.atomic
def change_product(product: Product, values: dict[str, Any]) -> Product:
    """Change a locked product. Its type stays, because stock and past lines hang on it."""
    values = without_shown_cost(product, values)
    if values.get("product_type", product.product_type) != product.product_type:
        raise refuse("productType", "immutable", "The type of a product stays as it is.")
    for name, value in values.items():
        setattr(product, name, value)
    check_product(product)
    product.version += 1
    product.save(update_fields=[*values, "version", "updated_at"])
    announce(product, "product.updated")
    return product


def without_shown_cost(product: Product, values: dict[str, Any]) -> dict[str, Any]:
    """A cost that is written as it is shown is no change: the moving average has more places."""
    cost, written = product.cost_price, values.get("cost_price")
    if cost is None or written is None or round_money(cost, product.currency_code) != written:
        return values
    return {name: value for name, value in values.items() if name != "cost_price"}


def check_product(product: Product) -> None:
    """Facts that hold together across fields."""
    parent = product.parent
    if product.sku is None and product.product_type != Product.Type.PARENT:
        raise refuse("sku", "required", "What is sold needs an SKU.")
    if product.product_type == Product.Type.VARIANT:
        if parent is None or parent.product_type != Product.Type.PARENT:
            raise refuse("parentId", "not_found", "A variant needs a parent product.")
        if not product.options:
            raise refuse("options", "required", "A variant needs its options.")
    elif parent is not None:
        raise refuse("parentId", "invalid", "Only a variant has a parent.")
    if product.product_type == Product.Type.PARENT and product.price is not None:
        raise refuse("price", "not_sellable", "A parent has no price; its variants have.")
    compare = product.compare_at_price
    if compare is not None and (product.price is None or compare <= product.price):
        raise refuse("compareAtPrice", "invalid", "It must lie above the price.")


@transaction.atomic
def delete_product(product: Product) -> None:
    """Soft: past lines keep it. Raises Conflict while it is reserved, on order, or a parent."""
    reserved = InventoryItem.objects.filter(product=product, quantity_reserved__gt=0).exists()
    if reserved:
        raise Conflict("product_in_use", "It is reserved by open orders.")
    if any(on_open_purchase_order(product.pk)):
        raise Conflict("product_in_use", "It is on an open purchase order.")
    if Product.objects.live().filter(parent=product).exists():
        raise Conflict("product_in_use", "Delete its variants first.")
    product.deleted_at = timezone.now()
    product.version += 1
    product.save(update_fields=["deleted_at", "version", "updated_at"])
    product_gone(product.pk)
    announce(product, "product.deleted")


def announce(product: Product, event: str) -> None:
    event_about(product, event).save(force_insert=True)


def event_about(product: Product, event: str) -> OutboxEvent:
    return event_of(
        event,
        store_id=product.store_id,
        subject_id=product.pk,
        sequence=product.version,
        data={"id": str(product.pk), "sku": product.sku, "name": product.name},
    )


def product_by_sku(store_id: UUID, sku: str) -> Product | None:
    """The product, locked. Where there is none its SKU is, so that parallel upserts make one."""
    lock_name(f"sku {store_id} {sku.upper()}")
    found: Product | None = (
        Product.objects.live().of(store_id).filter(sku__iexact=sku).select_for_update().first()
    )
    return found
