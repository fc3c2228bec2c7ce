"""Orders for API keys: bulk, one-time codes, and the orders that a website's customers place."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api_keys.authentication import ApiKeySurface
from integrations.orders.answers import OtpAnswer
from integrations.orders.serializers import BulkOptions, OtpBody
from integrations.otp import services as otp
from integrations.otp import storefront
from store_modules.delivery.views import DeliveryCompanies
from store_modules.orders import placement, quoting
from store_modules.orders.importing import import_order
from store_modules.orders.models import Channel, Order
from store_modules.orders.serializers import ImportBody, KeyOrderBody, ReturnBody, StorefrontBody
from store_modules.orders.views import Orders, ReturnRequests
from store_modules.printing.views import Labels
from storeplatform.kernel.bulk import Bulk, BulkAnswer, Row
from storeplatform.kernel.money import format_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.phones import mask_phone
from storeplatform.kernel.transactions import in_transaction

ORDERS = Bulk("orders", 100)


class KeyOrders(ApiKeySurface, Orders):
    answers = {**Orders.answers, "send_otp": OtpAnswer, "bulk": BulkAnswer}
    permissions = {}  # cancelling needs orders:write like every change
    channel = Channel.API
    bulk_rows = (ORDERS.member, KeyOrderBody)
    orders_path = "/api/v1/store/integrations/orders"
    forms = {
        **Orders.forms,
        "create": KeyOrderBody,
        "quote": KeyOrderBody,
        "bulk": BulkOptions,
        "send_otp": OtpBody,
        "storefront": StorefrontBody,
    }

    def cost(self) -> int:
        return ORDERS.cost(self)

    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        body = self.data_object()
        rows = ORDERS.rows_of(body)
        options = self.body()
        numbers = take_numbers(self.actor.store_id, "order", len(rows))

        def carry_out(place: int, row: Row) -> dict[str, Any]:
            number = f"ORD-{numbers[place]}"
            if options["mode"] == "import":
                order = import_order(self.actor, self.row_body(ImportBody, row), number)
            else:
                values = self.row_body(KeyOrderBody, row)
                priced = quoting.quote(self.actor, values, Channel.BULK)
                order = placement.place_order(
                    self.actor, values, priced, channel=Channel.BULK, number=number
                )
            return created_result(order)

        if options["error_policy"] == "reject_everything":
            return self.whole(rows, carry_out)
        return ORDERS.each(rows, carry_out, self.attempt)

    def row_body(self, form: Any, row: Row) -> dict[str, Any]:
        values: dict[str, Any] = form.read(row, self.actor.store)
        return values

    def whole(self, rows: list[Row], carry_out: Any) -> Response:
        def effect() -> Response:
            response = ORDERS.whole(rows, carry_out)
            if response.status_code >= 400:
                raise AllRefused(response)
            return response

        try:
            return self.once(effect)
        except AllRefused as refused:
            return refused.response

    @action(detail=False, methods=["post"], url_path="send-otp")
    def send_otp(self, request: Request) -> Response:
        values = self.body()
        attempt = self.attempt
        if attempt is None:
            return self.send(values)
        with attempt.held():
            if attempt.find() is not None:
                return self.replay(attempt)
            response = self.send(values)  # commits and sends before the record is written
            in_transaction(lambda: self.keep(attempt, response))
            return response

    def send(self, values: dict[str, Any]) -> Response:
        sent = otp.send_code(
            self.actor,
            values["phone"],
            channel=values["channel"],
            customer_ip=values["customer_ip"],
            locale=values.get("locale"),
        )
        body: dict[str, Any] = {
            "sent": True,
            "channel": sent.channel,
            "phone": mask_phone(values["phone"]),
            "expiresAt": sent.challenge.expires_at,
            "expiresInSeconds": int(otp.LIFE.total_seconds()),
            "resendAfterSeconds": int(otp.RESEND_AFTER.total_seconds()),
            "codeLength": len(sent.code),
        }
        if sent.status != "sent":
            body["deliveryStatus"] = sent.status
        if settings.OTP_EXPOSE_CODE:
            body["debugCode"] = sent.code
        return Response(body)

    @action(detail=False, methods=["post"])
    def storefront(self, request: Request) -> Response:
        """A customer's own order: the whole of it is checked before a try of the code is spent,
        and the code is used up in the transaction that stores the order."""
        checked = storefront.check(self.actor, self.body())
        return self.once(lambda: self.created(storefront.place(self.actor, checked)))


class KeyReturnRequests(ApiKeySurface, ReturnRequests):
    """A website's customers give goods back."""

    forms = {"ask_for": ReturnBody}
    listing_actions = frozenset({"of_order"})
    statuses = {"ask_for": [201]}

    def ask_for(self, request: Request, order_id: UUID) -> Response:
        return self.ask(order_id, self.body())

    def of_order(self, request: Request, order_id: UUID) -> Response:
        """The order's requests, newest first."""
        if not Order.objects.of(self.actor.store_id).filter(pk=order_id).exists():
            raise Http404
        return Response(self.list_page(self.get_queryset().filter(order=order_id)))


class KeyDeliveryCompanies(ApiKeySurface, DeliveryCompanies):
    """The delivery companies, for a website that lets its customers choose."""

    permissions = {"list": "orders:read"}


class KeyLabels(ApiKeySurface, Labels):
    """Labels for a website's own back office."""


class AllRefused(Exception):
    """Carries the answer of a bulk call of which nothing was stored past the rollback."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def created_result(order: Order) -> dict[str, Any]:
    return {
        "status": "created",
        "externalRef": order.external_ref,
        "order": {
            "id": order.pk,
            "number": order.number,
            "publicId": order.public_id,
            "total": format_money(order.total, order.currency_code),
        },
    }
