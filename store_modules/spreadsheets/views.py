"""Spreadsheets out of the store and into it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from threading import BoundedSemaphore
from typing import Any, ClassVar

import orjson
from django.conf import settings
from django.http import HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.catalog.views import ProductViewSet
from store_modules.customers.views import CustomerViewSet
from store_modules.expenses.views import ExpenseViewSet
from store_modules.orders.views import OrderViewSet
from store_modules.spreadsheets.csv_files import BOM, Writer, cell_of
from store_modules.spreadsheets.models import ImportJob
from store_modules.spreadsheets.serializers import (
    ImportDetailSerializer,
    ImportSerializer,
    ProductRow,
    Started,
    UploadedTable,
)
from store_modules.spreadsheets.services import inspect, start_import
from store_modules.spreadsheets.sheets import is_number
from storeplatform.kernel import uploads
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Unavailable, refuse
from storeplatform.kernel.filters import Flag, WireFilterSet, Words
from storeplatform.kernel.pagination import Query, walk
from storeplatform.kernel.permissions import check_grant
from storeplatform.kernel.transactions import in_transaction
from storeplatform.kernel.viewsets import ListModelMixin, RetrieveModelMixin, StoreScoped

CSV = "text/csv"
ROWS_AT_ONCE = 500
COST = 20  # rate-limit tokens of a whole list
# A slow reader holds a thread: most are kept for everybody else.
running = BoundedSemaphore(max(1, settings.THREADS // 4))


class Stream:
    """Parts of an export. Beyond the first page it holds one of the places, until it is closed or
    forgotten."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        """Makes the first page, so that what fails there is still answered as a problem."""
        self.places: BoundedSemaphore | None = None
        first = [next(parts), next(parts)]
        second = next(parts, None)
        if second is not None and not running.acquire(blocking=False):
            raise Unavailable("Several exports are running; try again.", retry_after=5)
        if second is not None:
            self.places = running
        self.parts = chain(first, [second or b""], parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.parts)

    def close(self) -> None:
        places, self.places = self.places, None
        if places is not None:
            places.release()

    def __del__(self) -> None:
        self.close()


class Export:
    """The whole list as CSV, narrowed and ordered by the list's own query."""

    file_answers: ClassVar[Mapping[str, Sequence[str]]] = {"export": [CSV]}
    filtering_actions: ClassVar[frozenset[str]] = frozenset({"export"})
    columns_inside: ClassVar[Mapping[str, Sequence[str]]] = {}  # of objects

    def cost(self) -> int:
        return COST

    def export(self: Any, request: Request) -> HttpResponseBase:
        """Every row that the list's filters leave, as a CSV file in UTF-8."""
        query = Query(request.query_params)
        keys = self.ordering_keys(query)
        rows = self.narrowed(self.get_queryset(), query)
        serializer = self.get_serializer()
        name = request.path.split("/")[-2]
        pages = walk(rows, keys, serializer.rows, ROWS_AT_ONCE)
        stream = Stream(parts(serializer, pages, self.columns_inside))
        told = {"query": request.META.get("QUERY_STRING", "")}
        in_transaction(
            lambda: audit(f"{name}.exported", actor=self.actor, request=request, changes=told)
        )
        day = timezone.now().date()
        return uploads.streamed(
            stream, content_type="text/csv; charset=utf-8", file_name=f"{name}-{day}.csv"
        )


def parts(
    serializer: Any, pages: Iterator[Sequence[tuple[Any, ...]]], inside: Mapping[str, Sequence[str]]
) -> Iterator[bytes]:
    """The header, then the rows of each page."""
    writer, columns = Writer(), []
    for name in serializer.wire_members():
        number = name in serializer.fields and is_number(serializer.fields[name])
        if name in inside:
            columns += [(name, member, False) for member in inside[name]]
        else:
            columns.append((name, "", number))
    header = [f"{name}.{member}" if member else name for name, member, _ in columns]
    yield BOM.encode() + writer.text_of([header])
    for page in pages:
        yield writer.text_of([cells(orjson.loads(orjson.dumps(row[0])), columns) for row in page])


def cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str, bool]]) -> list[str]:
    return [
        cell_of((row[name] or {}).get(member) if member else row[name], is_number=number)
        for name, member, number in columns
    ]


class ProductExport(Export, ProductViewSet):
    serializer_class = ProductRow


class CustomerExport(Export, CustomerViewSet):
    permissions = {"export": "customers.export"}


class OrderExport(Export, OrderViewSet):
    permissions = {}
    columns_inside = {"customer": ["id", "name", "primaryPhone", "secondaryPhone", "email"]}


class ExpenseExport(Export, ExpenseViewSet):
    pass


class ImportFilters(WireFilterSet):
    kind = Words(ImportJob.Kind.values)
    status = Words(ImportJob.Status.values)
    dry_run = Flag()


class ImportViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[ImportJob]):
    """How far the imports of a store have come."""

    permissions = {"list": "data.import", "retrieve": "data.import"}
    queryset = ImportJob.objects.all()
    serializer_class = ImportSerializer
    answers = {"retrieve": ImportDetailSerializer}
    filterset_class = ImportFilters

    def row_response(self, pk: Any) -> Response:
        self.get_object()
        serializer = ImportDetailSerializer(context=self.get_serializer_context())
        return Response(serializer.rows(self.get_queryset().filter(pk=pk))[0][0])


class Import(StoreScoped[ImportJob]):
    """Takes a file in; the work is done behind the answer. Also asks for the module's own
    permission to write."""

    kind: ClassVar[str]
    permissions = {"start": "data.import"}
    queryset = ImportJob.objects.all()
    forms = {"start": UploadedTable}
    asks = {"start": {"dryRun": {"type": "boolean", "default": False}}}
    answers = {"start": Started}
    upload_actions = frozenset({"start"})
    accepting_actions = frozenset({"start"})

    def cost(self) -> int:
        return COST

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        check_grant(self.actor, f"{self.kind}.write")

    def start(self, request: Request) -> Response:
        """Import a CSV file. `?dryRun=true` stores nothing and reports the same."""
        asked = Query(request.query_params).get("dryRun", "false").lower()
        if asked not in ("true", "1", "false", "0"):
            raise refuse("dryRun", "validation_error", "true or false.")
        upload = uploads.read_bytes(request)
        inspected = inspect(self.actor, self.kind, upload.content)

        def effect() -> Response:
            job = start_import(
                self.actor,
                self.kind,
                upload,
                inspected,
                dry_run=asked in ("true", "1"),
                request=request._request,
            )
            location = f"/api/v1/store/imports/{job.pk}"
            return Response({"id": job.pk}, status=202, headers={"Location": location})

        return self.once(effect)


class ProductImport(Import):
    kind = ImportJob.Kind.PRODUCTS


class CustomerImport(Import):
    kind = ImportJob.Kind.CUSTOMERS


class OrderImport(Import):
    kind = ImportJob.Kind.ORDERS


class ExpenseImport(Import):
    kind = ImportJob.Kind.EXPENSES
