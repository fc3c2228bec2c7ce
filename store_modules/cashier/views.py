"""The till: its settings, sessions, sales, and pinned products."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.cashier import drawer, pinning, reports, sales
from store_modules.cashier.models import (
    CashierSession,
    CashierSettings,
    DrawerEntry,
    PinnedItem,
)
from store_modules.cashier.serializers import (
    CashierSettingsSerializer,
    CashMovement,
    Closing,
    EntrySerializer,
    Opening,
    PinBody,
    PinnedSerializer,
    Reordering,
    Report,
    SaleBody,
    SaleRefundBody,
    SaleSerializer,
    SessionSerializer,
)
from store_modules.orders.models import Order
from storeplatform.kernel.errors import NotFound, Refusal
from storeplatform.kernel.filters import Ids, Since, Texts, Until, WireFilterSet, Words
from storeplatform.kernel.viewsets import ListModelMixin, RetrieveModelMixin, StoreScoped


class CashierView(StoreScoped[CashierSettings]):
    """The till's settings and its pinned products."""

    permissions = {
        "retrieve": "cashier.use",
        "update": "cashier.settings",
        "pinned": "cashier.use",
        "pin": "cashier.use",
        "unpin": "cashier.use",
        "reorder": "cashier.use",
    }
    queryset = CashierSettings.objects.all()
    serializer_class = CashierSettingsSerializer
    forms = {"pin": PinBody, "reorder": Reordering}
    answers = {"pinned": PinnedSerializer, "pin": PinnedSerializer, "reorder": PinnedSerializer}
    listing_actions = frozenset({"pinned", "reorder"})
    statuses = {"pin": [201]}

    def shown(self, settings: CashierSettings) -> Response:
        rows = self.wire_rows(CashierSettings.objects.filter(pk=settings.pk))
        return Response(rows[0][0])

    def retrieve(self, request: Request) -> Response:
        return self.shown(drawer.settings_of_till(self.actor.store_id))

    def update(self, request: Request) -> Response:
        def effect() -> Response:
            drawer.settings_of_till(self.actor.store_id)
            row = self.get_queryset().select_for_update(of=("self",)).get()
            self.check_version(row)
            serializer = self.get_serializer(row, data=self.data_object(), partial=True)
            serializer.is_valid(raise_exception=True)
            drawer.check_settings(row.store_id, serializer.validated_data)
            return self.shown(serializer.update(row, serializer.validated_data))

        return self.once(effect)

    def pins(self) -> list[Any]:
        serializer = PinnedSerializer(context=self.get_serializer_context())
        rows = PinnedItem.objects.of(self.actor.store_id)
        return [row[0] for row in serializer.rows(rows)]

    def pinned(self, request: Request) -> Response:
        """The pinned products in their order, with price and what is available."""
        return Response({"items": self.pins()})

    def pin(self, request: Request) -> Response:
        product_id = self.body()["product_id"]

        def effect() -> Response:
            pinned = pinning.pin(self.actor.store_id, product_id)
            serializer = PinnedSerializer(context=self.get_serializer_context())
            rows = serializer.rows(PinnedItem.objects.filter(pk=pinned.pk))
            return Response(rows[0][0], status=201)

        return self.once(effect)

    def unpin(self, request: Request, product_id: UUID) -> Response:
        def effect() -> Response:
            pinning.unpin(self.actor.store_id, product_id)
            return Response(status=204)

        return self.once(effect)

    def reorder(self, request: Request) -> Response:
        ids = self.body()["product_ids"]

        def effect() -> Response:
            pinning.reorder(self.actor.store_id, ids)
            return Response({"items": self.pins()})

        return self.once(effect)


class OpenOrClosed(Words):
    def __init__(self) -> None:
        super().__init__(["open", "closed"])

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        if len(set(value)) != 1:
            return qs
        return qs.filter(closed_at__isnull=value == ["open"])


class SessionFilters(WireFilterSet):
    status = OpenOrClosed()
    register_code = Texts()
    opened_by = Ids("opened_by_id")
    from_ = Since("opened_at")
    to = Until("opened_at")


class SessionViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[CashierSession]):
    """Drawers from the first cash to the last count."""

    permissions = dict.fromkeys(
        ["list", "retrieve", "active", "open", "close", "movements", "move_cash", "report"],
        "cashier.use",
    )
    queryset = CashierSession.objects.all()
    serializer_class = SessionSerializer
    filterset_class = SessionFilters
    ordering_fields = {"openedAt": "opened_at", "closedAt": "closed_at"}
    default_ordering = ["-opened_at"]
    forms = {"open": Opening, "close": Closing, "move_cash": CashMovement}
    answers = {"movements": EntrySerializer, "move_cash": EntrySerializer, "report": Report}
    listing_actions = frozenset({"movements"})
    statuses = {"open": [201], "move_cash": [201]}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        found = self.wire_rows(self.get_queryset().filter(pk=pk), ["version"])
        if not found:
            raise Http404
        return Response(found[0][0], status=status, headers={"ETag": f'"{found[0][1]}"'})

    @action(detail=False, methods=["get"])
    def active(self, request: Request) -> Response:
        """The caller's open session."""
        session = drawer.active_session(self.actor)
        if session is None:
            raise NotFound("no_active_session", "You have no open session.")
        return self.row_response(session.pk)

    @action(detail=False, methods=["post"])
    def open(self, request: Request) -> Response:
        """Begin a session with the cash in the drawer."""
        values = self.body()
        number = drawer.session_number(self.actor.store_id)

        def effect() -> Response:
            return self.row_response(drawer.open_session(self.actor, number, **values).pk, 201)

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str) -> Response:
        """End a session with the cash counted in the drawer."""
        values = self.body()

        def effect() -> Response:
            return self.row_response(drawer.close_session(self.actor, UUID(pk), **values).pk)

        return self.once(effect)

    def entries(self, rows: QuerySet[Any]) -> list[Any]:
        serializer = EntrySerializer(context=self.get_serializer_context())
        return [row[0] for row in serializer.rows(rows.order_by("id"))]

    @action(detail=True, methods=["get"])
    def movements(self, request: Request, pk: str) -> Response:
        """Everything that moved in the session, oldest first."""
        rows = DrawerEntry.objects.filter(session=self.get_object())
        return Response({"items": self.entries(rows)})

    @movements.mapping.post
    def move_cash(self, request: Request, pk: str) -> Response:
        """Cash put into the drawer, or taken out of it."""
        values = self.body()

        def effect() -> Response:
            entry = drawer.move_cash(
                self.actor,
                UUID(pk),
                values["type"],
                values["amount"],
                reason=values["reason"],
            )
            rows = DrawerEntry.objects.filter(pk=entry.pk)
            return Response(self.entries(rows)[0], status=201)

        return self.once(effect)

    @action(detail=True, methods=["get"])
    def report(self, request: Request, pk: str) -> Response:
        session = self.get_object()
        blind = drawer.settings_of_till(self.actor.store_id).blind_close
        shows = not blind or session.closed_at is not None or self.actor.is_owner
        kinds = [DrawerEntry.Kind.PAY_IN, DrawerEntry.Kind.PAY_OUT]
        moved = DrawerEntry.objects.filter(session=session, kind__in=kinds)
        figures = reports.report(session, self.actor.store.currency_code, shows_expected=shows)
        shown = self.wire_rows(self.get_queryset().filter(pk=session.pk))[0][0]
        return Response({"session": shown, "movements": self.entries(moved), **figures})


class SaleFilters(WireFilterSet):
    session_id = Ids("sale__session_id")
    client_sale_id = Ids("sale__client_sale_id")
    customer_id = Ids("customer_id")
    from_ = Since("created_at")
    to = Until("created_at")


class SaleViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[Order]):
    """Sales over the counter."""

    permissions = dict.fromkeys(["list", "retrieve", "create", "refund"], "cashier.use")
    queryset = Order.objects.filter(sale__isnull=False)
    serializer_class = SaleSerializer
    filterset_class = SaleFilters
    search_fields = ["number", "customer_name"]
    ordering_fields = {"createdAt": "created_at", "total": "total"}
    forms = {"create": SaleBody, "refund": SaleRefundBody}
    statuses = {"create": [201, 200], "refund": [201]}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        found = self.wire_rows(self.get_queryset().filter(pk=pk), ["version"])
        if not found:
            raise Http404
        return Response(found[0][0], status=status, headers={"ETag": f'"{found[0][1]}"'})

    def create(self, request: Request) -> Response:
        """Sell. A `clientSaleId` that is known answers the first sale with 200."""
        values = self.body()
        store_id, client_id = self.actor.store_id, values["client_sale_id"]
        if known := sales.known_sale(store_id, client_id):
            return self.again(known)
        try:
            return self.sell(values)
        except (IntegrityError, Refusal):  # its twin may have come in between, and used things up
            if known := sales.known_sale(store_id, client_id):
                return self.again(known)
            raise

    def sell(self, values: dict[str, Any]) -> Response:
        session = sales.session_for(self.actor, values["session_id"])
        till = drawer.settings_of_till(self.actor.store_id)
        quote = sales.quote_sale(self.actor, till, values)
        number = drawer.sale_number(self.actor.store_id)

        def effect() -> Response:
            order = sales.sell(self.actor, session, values, quote, number=number)
            return self.row_response(order.pk, 201)

        return self.once(effect)

    def again(self, order_id: UUID) -> Response:
        """The sale that the device sent before, whatever key the request has."""
        return self.once(lambda: self.row_response(order_id))

    @action(detail=True, methods=["post"])
    def refund(self, request: Request, pk: str) -> Response:
        """Take goods back; without lines all of them. The money leaves the caller's session."""
        values = self.body()

        def effect() -> Response:
            sales.refund_sale(self.actor, UUID(pk), **values)
            return self.row_response(pk, 201)

        return self.once(effect)
