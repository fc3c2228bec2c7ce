"""Orders on the dashboard; `integrations.orders` mounts the same for API keys."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.orders import (
    answers,
    editing,
    fulfillment,
    lifecycle,
    money,
    placement,
    quoting,
    returns,
)
from store_modules.orders.models import (
    Channel,
    FulfillmentType,
    Order,
    OrderEvent,
    OrderPayment,
    PaymentMethod,
    ReturnRequest,
)
from store_modules.orders.serializers import (
    Advance,
    Cancellation,
    CheckingIn,
    EditBody,
    OrderBody,
    OrderDetailSerializer,
    OrderEventSerializer,
    OrderSerializer,
    OrdersQuery,
    PaymentBody,
    PaymentSerializer,
    ReceivedReturn,
    RefundBody,
    ReturnRequestBody,
    ReturnRequestSerializer,
    RiskClearing,
    Transition,
)
from store_modules.orders.status import (
    FulfillmentStatus,
    PaymentStatus,
    RemittanceStatus,
    Status,
    allowed,
    labels,
)
from storeplatform.kernel.errors import refuse
from storeplatform.kernel.filters import (
    Flag,
    Ids,
    Least,
    Most,
    Since,
    Texts,
    Until,
    WireFilterSet,
    Words,
)
from storeplatform.kernel.money import format_money
from storeplatform.kernel.pagination import Query, page_of, read_ordering
from storeplatform.kernel.permissions import check_grant, grant_for
from storeplatform.kernel.viewsets import ListModelMixin, RetrieveModelMixin, StoreScoped

DATE_FIELDS = {
    "createdat": "created_at",
    "deliveredat": "delivered_at",
    "updatedat": "updated_at",
    "placedat": "placed_at",
}


class DateField(Words):
    """Which date `from` and `to` speak of; it narrows nothing itself."""

    def __init__(self) -> None:
        super().__init__(["createdAt", "deliveredAt", "updatedAt", "placedAt"])

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs


class From(Since):
    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        self.field_name = self.parent.date_column
        return super().filter(qs, value)


class To(Until):
    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        self.field_name = self.parent.date_column
        return super().filter(qs, value)


class HasRiskFlags(Flag):
    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        return qs.exclude(risk_flags=[]) if value else qs.filter(risk_flags=[])


class Codes(Texts):
    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return super().filter(qs, [code.upper() for code in value])


class OrderFilters(WireFilterSet):
    status = Words(Status.values)
    fulfillment_status = Words(FulfillmentStatus.values)
    payment_status = Words(PaymentStatus.values)
    remittance_status = Words(RemittanceStatus.values)
    payment_method = Words(PaymentMethod.values)
    channel = Words(Channel.values)
    fulfillment_type = Words(FulfillmentType.values)
    province_code = Codes()
    area_id = Ids("area_id")
    customer_id = Ids("customer_id")
    external_ref = Texts()
    delivery_company_id = Ids("delivery_company_id")
    otp_verified = Flag()
    has_risk_flags = HasRiskFlags()
    date_field = DateField()
    from_ = From()
    to = To()
    updated_since = Since("updated_at")
    min_total = Least("total")
    max_total = Most("total")

    @property
    def date_column(self) -> str:
        chosen = self.form.cleaned_data.get("date_field")
        return DATE_FIELDS[chosen[0].lower()] if chosen else "created_at"


class Orders(ListModelMixin, StoreScoped[Order]):
    """What both surfaces do with orders."""

    resource = "orders"
    permissions = {"cancel": "orders.cancel", "destroy": "orders.cancel"}
    reading_actions = frozenset({"quote", "query"})
    answers = {
        "create": OrderDetailSerializer,
        "retrieve": OrderDetailSerializer,
        "update": OrderDetailSerializer,
        "partial_update": OrderDetailSerializer,
        "destroy": OrderDetailSerializer,
        "cancel": OrderDetailSerializer,
        "transition": OrderDetailSerializer,
        "duplicate": OrderDetailSerializer,
        "fulfillment": OrderDetailSerializer,
        "check_in": OrderDetailSerializer,
        "clear_risk": OrderDetailSerializer,
        "payments": PaymentSerializer,
        "pay": PaymentSerializer,
        "refunds": PaymentSerializer,
        "storefront": OrderDetailSerializer,
        "by_external_ref": OrderDetailSerializer,
        "by_ref": OrderDetailSerializer,
        "query": OrderDetailSerializer,
        "events": OrderEventSerializer,
        "quote": answers.QuoteAnswer,
    }
    statuses = {"duplicate": [201]}
    asks = {
        "by_ref": {"ref": {"type": "string", "minLength": 1, "maxLength": 100, "required": True}},
        "events": {
            "cursor": {"type": "string"},
            "pageSize": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
            "ordering": {
                "type": "array",
                "items": {"type": "string", "enum": ["createdAt", "-createdAt"]},
            },
        },
    }
    queryset = Order.objects.all()
    serializer_class = OrderSerializer
    filterset_class = OrderFilters
    search_fields = ["number", "external_ref", "tracking_number", "customer_name", "phones"]
    ordering_fields = {
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "total": "total",
        "number": "number",
        "deliveredAt": "delivered_at",
        "placedAt": "placed_at",
    }
    channel = Channel.DASHBOARD
    listing_actions = frozenset({"events", "query"})
    forms = {
        "create": OrderBody,
        "update": EditBody,
        "partial_update": EditBody,
        "cancel": Cancellation,
        "transition": Transition,
        "fulfillment": Advance,
        "quote": OrderBody,
        "query": OrdersQuery,
    }

    def detail_rows(self, queryset: QuerySet[Any]) -> list[Any]:
        serializer = OrderDetailSerializer(context=self.get_serializer_context())
        return serializer.rows(queryset, ["version"])

    def answer(self, order_id: Any, status: int = 200) -> Response:
        found = self.detail_rows(self.get_queryset().filter(pk=order_id))
        if not found:
            raise Http404
        row, version = found[0]
        return Response(row, status=status, headers={"ETag": f'"{version}"'})

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.answer(pk)

    def create(self, request: Request) -> Response:
        values = self.body()
        return self.place(values, quoting.quote(self.actor, values, self.channel))

    def place(self, values: dict[str, Any], priced: quoting.Quote) -> Response:
        number = placement.order_number(self.actor.store_id)

        def effect() -> Response:
            order = placement.place_order(
                self.actor, values, priced, channel=self.channel, number=number
            )
            return self.created(order)

        return self.once(effect)

    def created(self, order: Order) -> Response:
        response = self.answer(order.pk, 201)
        response["Location"] = f"{self.orders_path}/{order.pk}"
        return response

    orders_path = "/api/v1/store/orders"

    def update(self, request: Request, pk: str) -> Response:
        values = self.body()

        def effect() -> Response:
            self.locked_object()
            return self.answer(editing.edit_order(self.actor, UUID(pk), values).pk)

        return self.once(effect)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        reason = self.body()["reason"]
        return self.once(lambda: self.move(pk, Status.CANCELLED, reason))

    def destroy(self, request: Request, pk: str) -> Response:
        """An old spelling of cancel."""
        return self.once(lambda: self.move(pk, Status.CANCELLED, None))

    @action(detail=True, methods=["post"])
    def transition(self, request: Request, pk: str) -> Response:
        values = self.body()
        if values["to"] == Status.CANCELLED:
            check_grant(self.actor, grant_for(self, "cancel", "POST"))
        return self.once(
            lambda: self.move(pk, values["to"], values["reason"], values.get("lines", ()))
        )

    @action(detail=True, methods=["post"])
    def duplicate(self, request: Request, pk: str) -> Response:
        """A new draft with the same content, at the present prices."""
        values = editing.duplicate_of(self.actor, UUID(pk))
        priced = quoting.quote(self.actor, values, self.channel)
        return self.place(values, priced)

    @action(detail=True, methods=["post"])
    def fulfillment(self, request: Request, pk: str) -> Response:
        """Say where the parcel is; the order's status follows."""
        values = self.body()

        def effect() -> Response:
            order = fulfillment.advance(
                self.actor,
                UUID(pk),
                values["status"],
                reason=values["reason"],
                until=values["postponed_until"],
            )
            return self.answer(order.pk)

        return self.once(effect)

    def move(self, pk: str, to: Status, reason: str | None, lines: Any = ()) -> Response:
        self.locked_object()
        order = lifecycle.transition(self.actor, UUID(pk), to, reason=reason, lines=lines)
        return self.answer(order.pk)

    @action(detail=True, methods=["get"])
    def events(self, request: Request, pk: str) -> Response:
        order = self.get_object()
        query = Query(request.query_params)
        serializer = OrderEventSerializer(context=self.get_serializer_context())
        rows = OrderEvent.objects.filter(order=order)
        keys = read_ordering(query, {"createdAt": "id"}, ["id"], OrderEvent)
        return Response(
            page_of(
                rows,
                query,
                keys,
                serializer.page_rows,
                store_id=self.actor.store_id,
                cursor_only=True,
            )
        )

    @action(detail=False, methods=["post"])
    def quote(self, request: Request) -> Response:
        """Price an input without storing it."""
        priced = quoting.quote(self.actor, self.body(), self.channel)
        return Response(quote_body(priced))

    @action(detail=False, methods=["post"])
    def query(self, request: Request) -> Response:
        values = self.body()
        wanted = (
            {"pk__in": values["ids"]}
            if values.get("ids")
            else {"external_ref__in": values["external_refs"]}
        )
        found = self.detail_rows(self.get_queryset().filter(**wanted).order_by("created_at", "id"))
        return Response({"items": [row[0] for row in found]})

    @action(detail=False, methods=["get"], url_path="by-external-ref")
    def by_ref(self, request: Request) -> Response:
        """The order that has the caller's own number `ref`."""
        ref = Query(request.query_params).get("ref").strip()
        if not 1 <= len(ref) <= 100:
            raise refuse("ref", "validation_error", "1 to 100 characters.")
        return self.answer_of(ref)

    @action(detail=False, methods=["get"], url_path=r"by-external-ref/(?P<ref>.{1,100})")
    def by_external_ref(self, request: Request, ref: str) -> Response:
        return self.answer_of(ref)

    def answer_of(self, external_ref: str) -> Response:
        wanted = self.get_queryset().filter(external_ref=external_ref)
        return self.answer(wanted.values_list("pk", flat=True).first())


class OrderViewSet(Orders):
    """Orders on the dashboard: money, and goods that come back, too."""

    permissions = {**Orders.permissions, "payments": "orders.read", "pay": "orders.write"}
    listing_actions = Orders.listing_actions | {"payments"}
    statuses = {**Orders.statuses, "pay": [201], "refunds": [201]}
    forms = {
        **Orders.forms,
        "check_in": CheckingIn,
        "pay": PaymentBody,
        "refunds": RefundBody,
        "clear_risk": RiskClearing,
    }

    @action(detail=True, methods=["post"], url_path="check-in")
    def check_in(self, request: Request, pk: str) -> Response:
        """Goods that a courier brought back, or lost."""
        values = self.body()

        def effect() -> Response:
            order = returns.check_in(
                self.actor,
                UUID(pk),
                values["lines"],
                waive_delivery_fee=values["waive_delivery_fee"],
            )
            return self.answer(order.pk)

        return self.once(effect)

    @action(detail=True, methods=["get"])
    def payments(self, request: Request, pk: str) -> Response:
        """What was paid and what went back, oldest first."""
        rows = OrderPayment.objects.filter(order=self.get_object())
        return Response({"items": [row[0] for row in self.payment_rows(rows.order_by("id"))]})

    @payments.mapping.post
    def pay(self, request: Request, pk: str) -> Response:
        """Book a payment of the customer."""
        values = self.body()
        return self.booked(lambda: money.take_payment(self.actor, UUID(pk), **values))

    @action(detail=True, methods=["post"])
    def refunds(self, request: Request, pk: str) -> Response:
        """Book money that went back to the customer."""
        values = self.body()
        return self.booked(lambda: money.give_refund(self.actor, UUID(pk), **values))

    def booked(self, book: Callable[[], OrderPayment]) -> Response:
        def effect() -> Response:
            rows = OrderPayment.objects.filter(pk=book().pk)
            return Response(self.payment_rows(rows)[0][0], status=201)

        return self.once(effect)

    def payment_rows(self, rows: Any) -> Any:
        return PaymentSerializer(context=self.get_serializer_context()).rows(rows)

    @action(detail=True, methods=["post"], url_path="clear-risk")
    def clear_risk(self, request: Request, pk: str) -> Response:
        """Somebody looked into the order's risk flags; who and which is recorded."""
        flags = self.body()["flags"]
        return self.once(lambda: self.answer(lifecycle.clear_risk(self.actor, UUID(pk), flags).pk))


class ReturnFilters(WireFilterSet):
    status = Words(ReturnRequest.Status.values)
    order_id = Ids("order_id")
    from_ = Since("created_at")
    to = Until("created_at")


class ReturnRequests(ListModelMixin, RetrieveModelMixin, StoreScoped[ReturnRequest]):
    """What customers want to give back."""

    resource = "orders"
    queryset = ReturnRequest.objects.all()
    serializer_class = ReturnRequestSerializer
    filterset_class = ReturnFilters
    ordering_fields = {"createdAt": "created_at", "updatedAt": "updated_at"}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        found = self.wire_rows(self.get_queryset().filter(pk=pk), ["version"])
        if not found:
            raise Http404
        return Response(found[0][0], status=status, headers={"ETag": f'"{found[0][1]}"'})

    def ask(self, order_id: UUID, values: dict[str, Any]) -> Response:
        number = returns.return_number(self.actor.store_id)

        def effect() -> Response:
            asked = returns.ask_for_return(
                self.actor,
                order_id,
                values.get("lines"),
                reason=values["reason"],
                note=values["note"],
                number=number,
            )
            return self.row_response(asked.pk, 201)

        return self.once(effect)


class ReturnRequestViewSet(ReturnRequests):
    """Return requests on the dashboard."""

    forms = {"create": ReturnRequestBody, "receive": ReceivedReturn}

    def create(self, request: Request) -> Response:
        values = self.body()
        if not Order.objects.of(self.actor.store_id).filter(pk=values["order_id"]).exists():
            raise refuse("orderId", "not_found", "There is no such order in this store.")
        return self.ask(values["order_id"], values)

    def deed(self, pk: str, change: Callable[..., None], *args: Any) -> Response:
        def effect() -> Response:
            change(self.actor, UUID(pk), *args)
            return self.row_response(pk)

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        return self.deed(pk, returns.approve)

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self.deed(pk, returns.reject)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return self.deed(pk, returns.withdraw)

    @action(detail=True, methods=["post"])
    def receive(self, request: Request, pk: str) -> Response:
        """The goods arrived: restocked, damaged or lost; without lines all are restocked."""
        return self.deed(pk, returns.receive, self.body().get("lines", []))

    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: str) -> Response:
        """Fix the credit for what was received."""
        return self.deed(pk, returns.complete)


def quote_body(priced: quoting.Quote) -> dict[str, Any]:
    """The prices of an input, shaped like an order's."""
    currency, totals = priced.shelf.trade.currency, priced.totals
    money = {
        "subtotal": totals.subtotal,
        "discountTotal": totals.discount_total,
        "deliveryFee": totals.delivery_fee,
        "deliveryDiscount": totals.delivery_discount,
        "deliveryCost": totals.delivery_cost,
        "taxTotal": totals.tax_total,
        "taxIncluded": totals.tax_included,
        "rounding": totals.rounding,
        "total": totals.total,
    }
    return {
        "currencyCode": currency,
        **{name: format_money(amount, currency) for name, amount in money.items()},
        "deliveryFeeSource": priced.fee_source,
        "discountCode": priced.code,
        "discounts": [one.as_json(format_money(one.amount, currency)) for one in priced.discounts],
        "riskFlags": list(priced.risk_flags),
        "items": [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "unitPrice": format_money(line.unit_price, currency),
                "lineSubtotal": format_money(amounts.subtotal, currency),
                "discountAmount": format_money(amounts.discount, currency),
                "lineTotal": format_money(amounts.total, currency),
            }
            for line, amounts in zip(priced.lines, totals.lines, strict=True)
        ],
    }


class OrderStatuses(StoreScoped[Order]):
    """The codes, their names in three languages, and where each may go next."""

    is_whole_list = True
    answers = {"list": answers.StatusAnswer}
    permissions = {"list": "orders.read"}
    queryset = Order.objects.all()

    def list(self, request: Request) -> Response:
        letter = lifecycle.letter_of(self.actor)
        return Response(
            {
                "items": [
                    {
                        "code": status.value,
                        "labels": labels(status),
                        "allowedNext": [to.value for to in allowed(status, letter)],
                    }
                    for status in Status
                ]
            }
        )
