"""Print templates, and pages made with them."""

from typing import Any

from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.cashier.serializers import SaleSerializer
from store_modules.orders.models import Order
from store_modules.printing import rendering
from store_modules.printing.markup import as_html
from store_modules.printing.models import PrintTemplate
from store_modules.printing.rendering import Design
from store_modules.printing.serializers import (
    LANGUAGES,
    BuiltIn,
    LabelsBody,
    PrintTemplateSerializer,
    Rendering,
)
from store_modules.printing.services import delete_template, save_template
from store_modules.stores.models import StoreSettings
from store_modules.stores.trading import lock_store
from storeplatform.kernel.errors import Refusal, refuse
from storeplatform.kernel.filters import WireFilterSet, Words
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.viewsets import StoreScoped, StoreScopedViewSet


class Printing:
    """Mixed into views that print orders of their store."""

    actor: Any
    get_serializer_context: Any

    def printed(self, design: Design, ids: list[Any], form: str) -> HttpResponse:
        """The orders' pages in the order of `ids`; one that the store does not have is refused."""
        serializer = SaleSerializer(context=self.get_serializer_context())
        rows = Order.objects.filter(store_id=self.actor.store_id, pk__in=ids)
        orders = {pk: as_members(row) for row, pk in serializer.rows(rows, ["pk"])}
        if missing := [str(pk) for pk in ids if pk not in orders]:
            message = "There is no such order in this store."
            raise Refusal("not_found", message, ids=[f"{pk}: {message}" for pk in missing])
        facts = self.actor.store
        store = letterhead(self.actor)
        pages = rendering.pages_of(design, (orders[pk] for pk in ids), store, facts.timezone)
        if form == "pdf":
            from store_modules.printing.pdf import as_pdf  # a quarter of a second at each start

            response = HttpResponse(
                as_pdf(pages, design.paper, design.runs), content_type="application/pdf"
            )
            response["Content-Disposition"] = 'inline; filename="print.pdf"'
        else:
            blocks = [block for page in pages for block in page]
            html = as_html(blocks, design.runs, design.language, facts.name)
            response = HttpResponse(html, content_type="text/html; charset=utf-8")
        response["Content-Security-Policy"] = (
            "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        )
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "private, no-store"
        return response


def letterhead(actor: Any) -> dict[str, str]:
    """The store as its prints name it."""
    trade = StoreSettings.objects.filter(store_id=actor.store_id).first()
    pickup = (trade.pickup if trade else None) or {}
    return {
        "name": actor.store.name,
        "phone": str(pickup.get("phone") or ""),
        "address": str(pickup.get("address") or ""),
    }


class TemplateFilters(WireFilterSet):
    type = Words(PrintTemplate.Type.values)
    language = Words(LANGUAGES)


class PrintTemplateViewSet(Printing, StoreScopedViewSet[PrintTemplate]):
    resource = "print_templates"
    reading_actions = frozenset({"render"})
    queryset = PrintTemplate.objects.all()
    serializer_class = PrintTemplateSerializer
    filterset_class = TemplateFilters
    ordering_fields = {"name": "name", "createdAt": "created_at", "updatedAt": "updated_at"}
    forms = {"render": Rendering}
    answers = {"built_in": BuiltIn}
    file_answers = {"render": ["text/html", "application/pdf"]}
    listing_actions = frozenset({"built_in"})

    def locked_object(self) -> Any:
        lock_store(self.actor.store_id)  # first, so that no two changes wait for each other
        return super().locked_object()

    def perform_create(self, values: dict[str, Any]) -> PrintTemplate:
        return save_template(PrintTemplate(store_id=self.actor.store_id), values)

    def perform_update(self, row: PrintTemplate, serializer: Any) -> PrintTemplate:
        return save_template(row, serializer.validated_data)

    def perform_destroy(self, instance: PrintTemplate) -> None:
        delete_template(instance)

    @action(detail=True, methods=["post"])
    def render(self, request: Request, pk: str) -> HttpResponse:
        """An order or sale on this template, as HTML or, with `format: pdf`, as PDF."""
        values = self.body()
        design = rendering.design_of(self.get_object())
        order_id = values["order_id"] or values["sale_id"]
        if not Order.objects.filter(store_id=self.actor.store_id, pk=order_id).exists():
            field = "orderId" if values["order_id"] else "saleId"
            message = "There is no such order in this store."
            raise refuse(field, "not_found", message)
        return self.printed(design, [order_id], values["format"])

    @action(detail=False, methods=["get"], url_path="built-in")
    def built_in(self, request: Request) -> Response:
        """The templates that come with the product, in each language."""
        designs = [
            (kind, rendering.built_in(kind, language))
            for kind in PrintTemplate.Type.values
            for language in LANGUAGES
        ]
        return Response(
            {
                "items": [
                    {
                        "type": kind,
                        "paper": design.paper,
                        "language": design.language,
                        "body": design.body,
                    }
                    for kind, design in designs
                ]
            }
        )


class Labels(Printing, StoreScoped[Order]):
    """Labels, invoices or receipts of many orders in one document."""

    resource = "orders"
    reading_actions = frozenset({"labels"})
    queryset = Order.objects.all()
    forms = {"labels": LabelsBody}
    file_answers = {"labels": ["application/pdf", "text/html"]}

    def labels(self, request: Request) -> HttpResponse:
        """One PDF of up to a hundred orders, each on a page of its own."""
        values = self.body()
        design = rendering.chosen(
            self.actor.store_id, values["type"], values["language"], values["paper"]
        )
        return self.printed(design, values["ids"], values["format"])
