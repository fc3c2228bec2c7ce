"""Categories and products."""

from typing import Any
from uuid import UUID

from pydantic import Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_ID,
    MAYBE_INT,
    MAYBE_TEXT,
    MONEY,
    TEXT,
    TIME,
    Input,
    MoneyText,
    Paged,
    array,
    listing,
    maybe,
    obj,
    page,
    project,
    rows_of,
    wire_of,
)
from store_modules.catalog import services
from store_modules.catalog.models import Category, Product
from store_modules.catalog.serializers import CategorySerializer, ProductSerializer
from store_modules.catalog.views import CategoryFilters, ProductFilters
from storeplatform.kernel.errors import Conflict, NotFound, Refusal

CATEGORY = obj(
    id=ID, name=TEXT, parent_id=MAYBE_ID, description=MAYBE_TEXT, is_active=BOOL, depth=INT,
    product_count=INT, child_count=INT,
)  # fmt: skip
SUMMARY = obj(
    id=ID, product_type=TEXT, parent_id=MAYBE_ID, sku=MAYBE_TEXT, name=TEXT, category_id=MAYBE_ID,
    price=MONEY, compare_at_price=MONEY, status=TEXT, track_inventory=BOOL,
    quantity_available=MAYBE_INT, updated_at=TIME,
)  # fmt: skip
VARIANT = obj(
    id=ID, sku=MAYBE_TEXT, name=TEXT, options=maybe({"type": "object"}), price=MONEY, status=TEXT,
    quantity_available=MAYBE_INT,
)  # fmt: skip
PRODUCT = obj(
    **SUMMARY["properties"],
    options=maybe({"type": "object"}),
    description=MAYBE_TEXT,
    barcode=MAYBE_TEXT,
    image_urls=array(TEXT),
    tags=array(TEXT),
    cost_price=MONEY,
    weight_grams=INT,
    is_active=BOOL,
    quantity_on_hand=MAYBE_INT,
    quantity_reserved=MAYBE_INT,
    version=INT,
    created_at=TIME,
    variants=array(VARIANT),
)


class Categories(Paged):
    parent: UUID | None = Field(None, description="Only the categories right below this one.")


@tool(
    "Categories",
    "The store's categories, all or those below one.",
    scopes="catalog:read",
    input=Categories,
    output=listing(CATEGORY),
)
def list_categories(principal: Principal, given: Categories) -> dict[str, Any]:
    actor = principal.actor
    return page(
        actor,
        Category.objects.of(actor.store_id),
        CategorySerializer,
        CATEGORY,
        given,
        filters=CategoryFilters,
        query={"parentId": given.parent},
        ordering=["sort_order", "name"],
    )


class Products(Paged):
    category: UUID | None = Field(None, description="In this category or one below it.")
    is_active: bool | None = Field(None, description="Offered for sale, or not.")
    in_stock: bool | None = None
    min_price: MoneyText | None = None
    max_price: MoneyText | None = None


class ProductSearch(Products):
    query: str = Field(min_length=1, max_length=200, description="Part of name, SKU or barcode.")


def products(principal: Principal, given: Products, words: str = "") -> dict[str, Any]:
    actor = principal.actor
    return page(
        actor,
        Product.objects.live().of(actor.store_id),
        ProductSerializer,
        SUMMARY,
        given,
        filters=ProductFilters,
        query={
            "categoryId": given.category,
            "isActive": flag(given.is_active),
            "inStock": flag(given.in_stock),
            "minPrice": given.min_price,
            "maxPrice": given.max_price,
        },
        words=words,
    )


def flag(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


@tool(
    "Products",
    "The store's products, newest first, with price and what is available. To find a product by "
    "name, search_products is better.",
    scopes="catalog:read",
    input=Products,
    output=listing(SUMMARY),
)
def list_products(principal: Principal, given: Products) -> dict[str, Any]:
    return products(principal, given)


@tool(
    "Search products",
    "Products whose name, SKU or barcode contains the words; letter case and Arabic spelling "
    "variants do not matter.",
    scopes="catalog:read",
    input=ProductSearch,
    output=listing(SUMMARY),
)
def search_products(principal: Principal, given: ProductSearch) -> dict[str, Any]:
    return products(principal, given, given.query)


class OneProduct(Input):
    id: UUID | None = None
    sku: str | None = Field(None, max_length=64)


@tool(
    "Product",
    "One product in full, by id or by SKU, with its variants, stock and the version that "
    "update_product needs.",
    scopes="catalog:read",
    input=OneProduct,
    output=PRODUCT,
)
def get_product(principal: Principal, given: OneProduct) -> dict[str, Any]:
    if (given.id is None) == (given.sku is None):
        raise Refusal("validation_error", "Give either id or sku.")
    return product_of(principal, **({"pk": given.id} if given.id else {"sku__iexact": given.sku}))


def product_of(principal: Principal, **where: Any) -> dict[str, Any]:
    actor = principal.actor
    live = Product.objects.live().of(actor.store_id)
    found = rows_of(ProductSerializer, actor, live.filter(**where))
    if not found:
        raise NotFound("not_found", "There is no such product; try search_products.")
    row = found[0][0]
    row["variants"] = []
    if row["productType"] == Product.Type.PARENT.value:
        variants = live.filter(parent=row["id"]).order_by("name", "id")[:100]
        row["variants"] = [one for (one,) in rows_of(ProductSerializer, actor, variants)]
    answer: dict[str, Any] = project(PRODUCT, row, actor.store.currency_code)
    return answer


class ProductChange(Input):
    id: UUID
    version: int = Field(ge=1, description="The version that get_product gave.")
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=5000)
    price: MoneyText | None = None
    compare_at_price: MoneyText | None = Field(None, description="The struck-out former price.")
    cost_price: MoneyText | None = None
    category_id: UUID | None = None
    tags: list[str] | None = Field(None, max_length=20)
    is_active: bool | None = Field(None, description="False takes it off sale.")
    weight_grams: int | None = Field(None, ge=0, le=10_000_000)


@tool(
    "Change a product",
    "Changes the fields that are given, and no others. Stock is changed by adjust_inventory.",
    scopes="catalog:write",
    input=ProductChange,
    output=PRODUCT,
    writes=True,
)
def update_product(principal: Principal, given: ProductChange) -> dict[str, Any]:
    actor = principal.actor
    live = Product.objects.live().of(actor.store_id).select_for_update(of=("self",))
    row = live.filter(pk=given.id).first()
    if row is None:
        raise NotFound("not_found", "There is no such product; try search_products.")
    check_version(row, given.version)
    values = wire_of(given)
    del values["id"], values["version"]
    serializer = ProductSerializer(
        row, data=values, partial=True, context={"store": actor.store, "grants": actor.grants}
    )
    serializer.is_valid(raise_exception=True)
    services.change_product(row, dict(serializer.validated_data))
    return product_of(principal, pk=given.id)


def check_version(row: Any, version: int) -> None:
    if row.version != version:
        raise Conflict(
            "version_conflict",
            "It has changed since you read it. Read it again, then decide anew.",
            details={"current": {"version": row.version}},
        )
