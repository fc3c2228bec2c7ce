"""Suppliers and purchase orders."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.purchasing import services
from store_modules.purchasing.models import Attachment, PurchaseOrder, Supplier
from store_modules.purchasing.serializers import (
    AttachmentSerializer,
    Cancelling,
    PurchaseBody,
    PurchaseChange,
    PurchaseSerializer,
    Receiving,
    SupplierSerializer,
    UploadBody,
)
from storeplatform.kernel import uploads
from storeplatform.kernel.filters import Flag, Ids, Since, Until, WireFilterSet, Words
from storeplatform.kernel.viewsets import UUID_PATTERN, StoreScopedViewSet, search


class SupplierFilters(WireFilterSet):
    is_active = Flag()
    updated_since = Since("updated_at")


class SupplierViewSet(StoreScopedViewSet[Supplier]):
    resource = "suppliers"
    queryset = Supplier.objects.all()
    serializer_class = SupplierSerializer
    filterset_class = SupplierFilters
    search_fields = ["name", "phone", "email"]
    ordering_fields = {"name": "name", "createdAt": "created_at", "updatedAt": "updated_at"}
    default_ordering = ["name"]

    def perform_destroy(self, instance: Supplier) -> None:
        services.delete_supplier(instance)


class PurchaseFilters(WireFilterSet):
    status = Words(PurchaseOrder.Status.values)
    supplier_id = Ids("supplier_id")
    from_ = Since("created_at")
    to = Until("created_at")
    updated_since = Since("updated_at")


class PurchaseViewSet(StoreScopedViewSet[PurchaseOrder]):
    resource = "purchase_orders"
    permissions = {"close": "purchase_orders.close"}
    queryset = PurchaseOrder.objects.all()
    serializer_class = PurchaseSerializer
    filterset_class = PurchaseFilters
    search_fields = ["number", "reference_number", "supplier"]
    ordering_fields = {
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "orderDate": "order_date",
        "totalAmount": "total_amount",
        "number": "number",
    }
    forms = {
        "create": PurchaseBody,
        "update": PurchaseChange,
        "partial_update": PurchaseChange,
        "receive": Receiving,
        "cancel": Cancelling,
        "attachments": UploadBody,
    }
    answers = {"attachments": AttachmentSerializer}
    statuses = {"attachments": [201]}
    upload_actions = frozenset({"attachments"})
    file_answers = {"download": ["application/pdf", "image/png", "image/jpeg", "image/webp"]}

    def searched(self, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        """By its own number and reference, or by its supplier's name."""
        own = super().searched(queryset, words)
        if own is queryset:
            return queryset
        theirs = search(Supplier.objects.filter(store_id=self.actor.store_id), words.strip())
        return own | queryset.filter(supplier__in=theirs.values("pk"))

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values = self.body()
        number = services.purchase_number(self.actor.store_id)

        def effect() -> Response:
            purchase = services.create_purchase(self.actor, number, dict(values))
            response = self.row_response(purchase.pk, status=201)
            response["Location"] = f"{request.path}/{purchase.pk}"
            return response

        return self.once(effect)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values = self.body()
        return self.deed(lambda purchase: services.save_purchase(purchase, dict(values)))

    def perform_destroy(self, instance: PurchaseOrder) -> None:
        services.delete_purchase(instance)

    def deed(self, change: Callable[[PurchaseOrder], Any]) -> Response:
        """One change of the locked order of the path, answered with the order."""

        def effect() -> Response:
            purchase = self.locked_object()
            change(purchase)
            return self.row_response(purchase.pk)

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def order(self, request: Request, pk: str) -> Response:
        return self.deed(services.order)

    @action(detail=True, methods=["post"])
    def receive(self, request: Request, pk: str) -> Response:
        values = self.body()
        counted = {line["item_id"]: line["quantity"] for line in values["items"]}
        at = values["received_at"]
        return self.deed(
            lambda purchase: services.receive(self.actor, purchase, counted, received_at=at)
        )

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        reason = self.body()["reason"]
        return self.deed(lambda purchase: services.cancel(purchase, reason))

    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        return self.deed(services.close)

    @action(detail=True, methods=["post"])
    def attachments(self, request: Request, pk: str) -> Response:
        """Keep a PDF, PNG, JPEG or WebP file with the order; at most three."""
        self.get_object()
        upload = uploads.read_upload(request)

        def effect() -> Response:
            kept = services.attach(self.locked_object(), upload)
            serializer = AttachmentSerializer(context=self.get_serializer_context())
            rows = serializer.rows(Attachment.objects.filter(pk=kept.pk))
            return Response(rows[0][0], status=201)

        return self.once(effect)

    @action(detail=True, methods=["get"], url_path=f"attachments/(?P<file_id>{UUID_PATTERN})")
    def download(self, request: Request, pk: str, file_id: str) -> HttpResponse:
        kept = self.attachment_of(file_id)
        return uploads.download(
            kept.stored_as, content_type=kept.content_type, file_name=kept.file_name
        )

    @download.mapping.delete
    def detach(self, request: Request, pk: str, file_id: str) -> Response:
        def effect() -> Response:
            self.locked_object()
            services.detach(self.attachment_of(file_id))
            return Response(status=204)

        return self.once(effect)

    def attachment_of(self, file_id: str) -> Attachment:
        kept = Attachment.objects.of(self.actor.store_id).filter(
            purchase=self.kwargs["pk"], pk=file_id
        )
        found: Attachment | None = kept.first()
        if found is None:
            raise Http404
        return found
