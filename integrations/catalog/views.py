"""The catalogue for API keys: upsert by SKU, bulk, stock."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api_keys.authentication import ApiKeySurface
from store_modules.catalog import services
from store_modules.catalog.models import Product
from store_modules.catalog.serializers import ProductSerializer
from store_modules.catalog.views import (
    PRODUCTS,
    STOCK,
    InventoryViewSet,
    MovementViewSet,
    ProductViewSet,
    refuse_repeated_skus,
)
from storeplatform.kernel.bulk import BulkAnswer, Row
from storeplatform.kernel.errors import Refusal


class CatalogProducts(ApiKeySurface, ProductViewSet):
    bulk_rows = (PRODUCTS.member, ProductSerializer)
    answers = {"bulk": BulkAnswer}
    statuses = {"create": [201, 200]}
    resource = "catalog"

    def cost(self) -> int:
        return PRODUCTS.cost(self)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create the product, or update the one that has the SKU: 201 or 200."""
        body = self.data_object()

        def effect() -> Response:
            product, created = self.upsert(body)
            return self.row_response(product.pk, status=201 if created else 200)

        return self.once(effect)

    def upsert(self, body: Row) -> tuple[Product, bool]:
        sku = body.get("sku")
        if not isinstance(sku, str) or not sku.strip():
            raise Refusal("validation_error", "The SKU is missing.", sku=["It is required."])
        product = services.product_by_sku(self.actor.store_id, sku.strip())
        serializer = ProductSerializer(
            product,
            data=body,
            partial=product is not None,
            context=self.get_serializer_context(),
        )
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if product is None:
            return self.perform_create(values), True
        return self.perform_update(product, serializer), False

    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        rows = PRODUCTS.rows_of(self.data_object())
        refuse_repeated_skus(rows)

        def carry_out(_: int, row: Row) -> dict[str, Any]:
            product, created = self.upsert(row)
            return {
                "status": "created" if created else "updated",
                "product": {"id": product.pk, "sku": product.sku},
            }

        return PRODUCTS.each(rows, carry_out, self.attempt)


class CatalogInventory(ApiKeySurface, InventoryViewSet):
    resource = "catalog"

    def cost(self) -> int:
        return STOCK.cost(self)


class CatalogMovements(ApiKeySurface, MovementViewSet):
    resource = "catalog"
