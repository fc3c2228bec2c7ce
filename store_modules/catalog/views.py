"""The catalogue's views for both surfaces; `integrations.catalog` mounts them for API keys."""

from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.catalog import services, stock
from store_modules.catalog.models import Category, InventoryItem, Product, StockMovement
from store_modules.catalog.serializers import (
    BulkStock,
    BulkStockRow,
    CategorySerializer,
    InventorySerializer,
    MovementSerializer,
    ProductSerializer,
    StockAdjustment,
    StockCount,
)
from store_modules.catalog.skus import repeated_skus
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.bulk import Bulk, BulkAnswer, Row
from storeplatform.kernel.errors import Refusal, refuse
from storeplatform.kernel.filters import (
    Flag,
    Ids,
    Least,
    ManyIds,
    Most,
    Since,
    Texts,
    Until,
    WireFilterSet,
    Words,
)
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.viewsets import ListModelMixin, StoreScoped, StoreScopedViewSet

PRODUCTS = Bulk("products", 100)
STOCK = Bulk("items", 500, done="updated")


class RootOrIds(ManyIds):
    wire = {"type": "string", "anyOf": [{"format": "uuid"}, {"enum": ["root"]}]}

    def clean(self, value: Any) -> list[Any]:
        return ["root"] if value == ["root"] else super().clean(value)


class ParentFilter(Ids):
    """Children of a category; `root` are those without a parent."""

    field_class = RootOrIds

    def filter(self, qs: QuerySet[Any], value: list[Any]) -> QuerySet[Any]:
        return qs.filter(parent=None) if value == ["root"] else super().filter(qs, value)


class CategoryFilters(WireFilterSet):
    parent_id = ParentFilter("parent_id")
    is_active = Flag()


class CategoryViewSet(StoreScopedViewSet[Category]):
    resource = "categories"
    queryset = Category.objects.all()
    serializer_class = CategorySerializer
    filterset_class = CategoryFilters
    ordering_fields = {"name": "name", "sortOrder": "sort_order", "createdAt": "created_at"}
    default_ordering = ["sort_order", "name"]
    asks = {"list": {"tree": {"type": "boolean", "description": "All, each with its children."}}}

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        tree = Query(request.query_params).get("tree", "false").lower()
        if tree not in ("true", "1", "false", "0"):
            raise refuse("tree", "validation_error", "true or false.")
        if tree in ("true", "1"):
            return Response({"items": self.nested()})
        return super().list(request, *args, **kwargs)

    def nested(self) -> Any:
        """All categories, each with its children."""
        rows = self.get_queryset().order_by("depth", "sort_order", "name", "id")
        found = [as_members(row[0]) for row in self.wire_rows(rows)]
        by_id = {row["id"]: row | {"children": []} for row in found}
        roots: Any = []
        for row in by_id.values():
            parent = by_id.get(row["parentId"])
            (parent["children"] if parent else roots).append(row)
        return roots

    def perform_create(self, values: dict[str, Any]) -> Category:
        return services.save_category(Category(store_id=self.actor.store_id), values)

    def perform_update(self, row: Category, serializer: Any) -> Category:
        row.version += 1
        return services.save_category(row, serializer.validated_data)

    def perform_destroy(self, instance: Category) -> None:
        services.delete_category(instance)


class CategoryFilter(Ids):
    """Products of a category or of one below it."""

    def filter(self, qs: QuerySet[Any], value: list[Any]) -> QuerySet[Any]:
        return qs.filter(category__path__overlap=value) if value else qs


class InStock(Flag):
    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        here = Q(track_inventory=False) | Q(
            inventory__quantity_on_hand__gt=F("inventory__quantity_reserved")
        )
        return qs.filter(here) if value else qs.exclude(here)


def low_stock(store_id: Any, prefix: str = "") -> Q:
    """Available at or below the item's reorder point, else the store's threshold."""
    threshold = (
        StoreSettings.objects.filter(store_id=store_id)
        .values_list("low_stock_threshold", flat=True)
        .first()
        or 0
    )
    limit = Coalesce(F(f"{prefix}reorder_point"), threshold)
    return Q(**{f"{prefix}quantity_on_hand__lte": F(f"{prefix}quantity_reserved") + limit})


class LowStock(Flag):
    def __init__(self, prefix: str, tracked: str) -> None:
        super().__init__()
        self.prefix, self.tracked = prefix, tracked

    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        low = Q(**{self.tracked: True}) & low_stock(self.parent.facts.id, self.prefix)
        return qs.filter(low) if value else qs.exclude(low)


class ProductFilters(WireFilterSet):
    category_id = CategoryFilter()
    product_type = Words(Product.Type.values)
    sku = Texts()
    is_active = Flag()
    in_stock = InStock()
    low_stock = LowStock("inventory__", "track_inventory")
    min_price = Least("price")
    max_price = Most("price")
    updated_since = Since("updated_at")


class ProductViewSet(StoreScopedViewSet[Product]):
    resource = "products"
    queryset = Product.objects.live()
    serializer_class = ProductSerializer
    filterset_class = ProductFilters
    search_fields = ["name", "sku", "barcode"]
    ordering_fields = {
        "name": "name",
        "price": "price",
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "onHand": "inventory__quantity_on_hand",
    }

    def perform_create(self, values: dict[str, Any]) -> Product:
        quantity = values.pop("quantity_on_hand", None)
        return services.create_product(self.actor, values, quantity=quantity)

    def perform_update(self, row: Product, serializer: Any) -> Product:
        values = dict(serializer.validated_data)
        values.pop("quantity_on_hand", None)  # stock has its own endpoints
        return services.change_product(row, values)

    def perform_destroy(self, instance: Product) -> None:
        services.delete_product(instance)


class InventoryFilters(WireFilterSet):
    sku = Texts("product__sku")
    product_id = Ids("product_id")
    low_stock = LowStock("", "product__track_inventory")
    updated_since = Since("updated_at")


class InventoryViewSet(ListModelMixin, StoreScoped[InventoryItem]):
    """Stock figures: absolute by PUT, relative by adjust, many at once by bulk."""

    answers = {"bulk": BulkAnswer}
    resource = "inventory"
    queryset = InventoryItem.objects.filter(product__deleted_at=None)
    serializer_class = InventorySerializer
    bulk_rows = (STOCK.member, BulkStockRow)
    filterset_class = InventoryFilters
    ordering_fields = {
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "onHand": "quantity_on_hand",
        "sku": "product__sku",
    }
    forms = {"update": StockCount, "adjust": StockAdjustment, "bulk": BulkStock}

    def answer(self, item: InventoryItem, status: int = 200) -> Response:
        row = self.wire_rows(InventoryItem.objects.filter(pk=item.pk))[0][0]
        return Response(row, status=status)

    def searched(self, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        if not words.strip():
            return queryset
        matching = super().searched(Product.objects.of(self.actor.store_id), words)
        return queryset.filter(product__in=matching.values("pk"))

    search_fields = ["product"]

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.answer(self.get_object())

    def update(self, request: Request, pk: str) -> Response:
        values = self.body()

        def effect() -> Response:
            item = stock.set_on_hand(
                self.locked_object(),
                values["quantity_on_hand"],
                actor=self.actor,
                note=values["note"],
            )
            if "reorder_point" in values:
                item.reorder_point = values["reorder_point"]
                item.save(update_fields=["reorder_point"])
            return self.answer(item)

        return self.once(effect)

    @action(detail=False, methods=["post"])
    def adjust(self, request: Request) -> Response:
        values = self.body()

        def effect() -> Response:
            item = stock.find_item(
                self.actor.store_id, sku=values["sku"], product_id=values["product_id"]
            )
            item = stock.adjust(
                item, values["delta"], values["reason"], actor=self.actor, note=values["note"]
            )
            return self.answer(item)

        return self.once(effect)

    @action(detail=False, methods=["put"])
    def bulk(self, request: Request) -> Response:
        rows = STOCK.rows_of(self.data_object())
        mode = self.body()["mode"]
        refuse_repeated_skus(rows)

        def carry_out(_: int, row: Row) -> dict[str, Any]:
            values = BulkStockRow.read(row, self.actor.store)
            item = stock.find_item(self.actor.store_id, sku=values["sku"])
            if mode == "set":
                if values["quantity"] < 0:
                    raise refuse("quantity", "min_value", "Zero or more.")
                item = stock.set_on_hand(
                    item, values["quantity"], actor=self.actor, note=values["note"]
                )
            else:
                reason = stock.Reason.MANUAL
                item = stock.adjust(
                    item, values["quantity"], reason, actor=self.actor, note=values["note"]
                )
            return {
                "status": "updated",
                "sku": values["sku"],
                "inventoryItemId": item.pk,
                "quantityOnHand": item.quantity_on_hand,
                "quantityReserved": item.quantity_reserved,
            }

        response = STOCK.each(rows, carry_out, None)
        response.status_code = 200 if response.status_code == 201 else response.status_code
        return response


class MovementFilters(WireFilterSet):
    product_id = Ids("product_id")
    reason = Words(StockMovement.Reason.values)
    from_ = Since("created_at")
    to = Until("created_at")


class MovementViewSet(ListModelMixin, StoreScoped[StockMovement]):
    """The stock ledger."""

    resource = "inventory"
    queryset = StockMovement.objects.all()
    serializer_class = MovementSerializer
    filterset_class = MovementFilters
    cursor_only = True


def refuse_repeated_skus(rows: "list[Row]") -> None:
    """400 with `errors.skus` when one SKU stands in two rows."""
    repeated = repeated_skus(str(row.get("sku", "")) for row in rows)
    if repeated:
        raise Refusal("validation_error", "An SKU appears twice.", skus=repeated)
