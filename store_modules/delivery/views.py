"""Delivery companies, a store's accounts with them, its parcels, and the cash they bring."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from store_modules.delivery import dispatching, linking, settlements
from store_modules.delivery.models import CompanyLink, DeliveryCompany, Dispatch, Settlement
from store_modules.delivery.serializers import (
    BalanceAnswer,
    CompanySerializer,
    DispatchBody,
    DispatchDetail,
    DispatchSerializer,
    LinesBody,
    LinkBody,
    LinkSerializer,
    SettlementAcceptance,
    SettlementBody,
    SettlementDetail,
    SettlementHead,
    SettlementSerializer,
)
from store_modules.delivery.settlement_files import read_lines
from store_modules.orders.models import Order
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.filters import FirstDay, Ids, LastDay, Texts, WireFilterSet, Words
from storeplatform.kernel.money import format_money
from storeplatform.kernel.viewsets import ListModelMixin, RetrieveModelMixin, StoreScoped


class DeliveryCompanies(ListModelMixin, StoreScoped[DeliveryCompany]):
    """The companies that stores may link; the list is the same for all."""

    permissions = {"list": "orders.read"}
    queryset = DeliveryCompany.objects.filter(is_active=True)
    serializer_class = CompanySerializer
    ordering_fields = {"name": "name"}
    default_ordering = ["name"]

    def get_queryset(self) -> QuerySet[Any]:
        return DeliveryCompany.objects.filter(is_active=True)


class LinkViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[CompanyLink]):
    """A store's accounts with delivery companies. The password is checked with the company, kept
    encrypted and never shown."""

    permissions = dict.fromkeys(("list", "retrieve", "create", "destroy"), "delivery.manage")
    queryset = CompanyLink.objects.all()
    serializer_class = LinkSerializer
    forms = {"create": LinkBody}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        return answer(self, self.get_queryset().filter(pk=pk), LinkSerializer, status)

    def create(self, request: Request) -> Response:
        values = self.body()
        company = linking.find_company(values)
        account = linking.checked_account(company, values["username"], values["password"])

        def effect() -> Response:
            made = linking.link(
                self.actor,
                company,
                username=values["username"],
                password=values["password"],
                account=account,
                agreed_fee=values["agreed_fee"],
            )
            response = self.row_response(made.pk, 201)
            response["Location"] = f"{request.path}/{made.pk}"
            return response

        return self.once(effect)

    def destroy(self, request: Request, pk: str) -> Response:
        def effect() -> Response:
            linking.unlink(self.actor, self.locked_object())
            return Response(status=204)

        return self.once(effect)


def answer(
    view: StoreScoped[Any], rows: QuerySet[Any], serializer: Any, status: int = 200
) -> Response:
    found = serializer(context=view.get_serializer_context()).rows(rows, ["version"])
    if not found:
        raise Http404
    return Response(found[0][0], status=status, headers={"ETag": f'"{found[0][1]}"'})


class DispatchFilters(WireFilterSet):
    state = Words(Dispatch.State.values)
    order_id = Ids("order_id")
    delivery_company_id = Ids("company_id")
    tracking_number = Texts()


class DispatchViewSet(ListModelMixin, StoreScoped[Dispatch]):
    """Parcels handed to delivery companies."""

    resource = "orders"
    queryset = Dispatch.objects.all()
    serializer_class = DispatchSerializer
    answers = dict.fromkeys(("create", "retrieve", "cancel", "retry"), DispatchDetail)
    filterset_class = DispatchFilters
    ordering_fields = {"createdAt": "created_at", "updatedAt": "updated_at"}
    forms = {"create": DispatchBody}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        return answer(self, self.get_queryset().filter(pk=pk), DispatchDetail, status)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.row_response(pk)

    def create(self, request: Request) -> Response:
        """Hand an order to a delivery company. The company is asked right after; until it has
        answered the dispatch is `requested`."""
        values = self.body()
        company = self.company_for(values)

        def effect() -> Response:
            made = dispatching.dispatch(self.actor, values["order_id"], company)
            response = self.row_response(made.pk, 201)
            response["Location"] = f"{request.path}/{made.pk}"
            return response

        return self.once(effect)

    def company_for(self, values: dict[str, Any]) -> DeliveryCompany:
        """The company that the body names, else the order's own."""
        order = Order.objects.of(self.actor.store_id).filter(pk=values["order_id"]).first()
        if order is None:
            message = "There is no such order in this store."
            raise Refusal("not_found", message, errors={"orderId": [message]})
        if not (values["delivery_company_id"] or values["delivery_company_slug"]):
            values = {**values, "delivery_company_id": order.delivery_company_id}
        return linking.find_company(values)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Take the parcel back. A company that has it already is asked; until it agrees the
        dispatch stays `accepted`."""

        def effect() -> Response:
            self.locked_order_of(pk)
            return self.row_response(dispatching.take_back(self.actor, UUID(pk)).pk)

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Ask the company once more when it never answered."""

        def effect() -> Response:
            self.locked_order_of(pk)
            return self.row_response(dispatching.try_again(self.actor, UUID(pk)).pk)

        return self.once(effect)

    def locked_order_of(self, pk: str) -> None:
        if not self.get_queryset().filter(pk=pk).exists():
            raise Http404


class SettlementFilters(WireFilterSet):
    state = Words(Settlement.State.values)
    delivery_company_id = Ids("company_id")
    reference = Texts()
    from_ = FirstDay("date")
    to = LastDay("date")


class SettlementViewSet(ListModelMixin, StoreScoped[Settlement]):
    """What delivery companies say they bring, compared with the books."""

    permissions = dict.fromkeys(("list", "retrieve", "balances"), "settlements.read") | (
        dict.fromkeys(("create", "upload", "match", "accept", "destroy"), "settlements.accept")
    )
    queryset = Settlement.objects.all()
    serializer_class = SettlementSerializer
    answers = dict.fromkeys(
        ("create", "upload", "retrieve", "match", "accept"), SettlementDetail
    ) | {"balances": BalanceAnswer}
    filterset_class = SettlementFilters
    listing_actions = frozenset({"balances"})
    upload_actions = frozenset({"upload"})
    ordering_fields = {"createdAt": "created_at", "date": "date", "reference": "reference"}
    forms = {"create": SettlementBody, "upload": SettlementHead, "accept": SettlementAcceptance}

    def row_response(self, pk: Any, status: int = 200) -> Response:
        return answer(self, self.get_queryset().filter(pk=pk), SettlementDetail, status)

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.row_response(pk)

    def create(self, request: Request) -> Response:
        values = self.body()
        return self.keep_account(values, values.pop("lines"), Settlement.Source.API)

    @action(detail=False, methods=["post"])
    def upload(self, request: Request) -> Response:
        """The same from a CSV `file` with the columns orderId or trackingNumber, collected, fee,
        net, kind; the other members are form fields."""
        sent = request.FILES.get("file")
        if sent is None or len(request.FILES) != 1:
            raise Refusal("validation_error", "Send one file.", file=["One file named `file`."])
        values = self.body()
        lines = LinesBody.read({"lines": read_lines(sent.read())}, self.actor.store)["lines"]
        return self.keep_account(values, lines, Settlement.Source.CSV)

    def keep_account(self, values: dict[str, Any], lines: Any, source: str) -> Response:
        company = linking.find_company(values)
        facts = {name: values[name] for name in ("reference", "date", "declared_total")}

        def effect() -> Response:
            made = settlements.import_settlement(self.actor, company, lines, source=source, **facts)
            response = self.row_response(made.pk, 201)
            response["Location"] = f"/api/v1/store/settlements/{made.pk}"
            return response

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def match(self, request: Request, pk: str) -> Response:
        """Compare with the books as they are now."""
        return self.once(
            lambda: self.row_response(settlements.match_again(self.actor, UUID(pk)).pk)
        )

    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Take the money as brought: its orders become remitted, the fees their delivery cost."""
        agreed = self.body()["accept_differences"]

        def effect() -> Response:
            made = settlements.accept(self.actor, UUID(pk), accept_differences=agreed)
            return self.row_response(made.pk)

        return self.once(effect)

    def destroy(self, request: Request, pk: str) -> Response:
        def effect() -> Response:
            settlements.discard(self.actor, UUID(pk))
            return Response(status=204)

        return self.once(effect)

    @action(detail=False, methods=["get"])
    def balances(self, request: Request) -> Response:
        """The cash that each company has of this store."""
        currency = self.actor.store.currency_code

        def shown(amount: Any) -> str:
            return format_money(amount, currency)

        return Response(
            {
                "items": [
                    {
                        "deliveryCompanyId": row["company_id"],
                        "deliveryCompanySlug": row["slug"],
                        "collected": shown(row["collected"]),
                        "remitted": shown(-row["remitted"]),
                        "corrections": shown(row["correction"]),
                        "withCourier": shown(
                            row["collected"] + row["remitted"] + row["correction"]
                        ),
                    }
                    for row in settlements.balances(self.actor.store_id)
                ]
            }
        )
