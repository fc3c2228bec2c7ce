"""Shipments by Nawa, which carries parcels itself and hands them on to other companies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, Field

from integrations.nawa.client import Shape, call
from store_modules.delivery.providers import Booked, Report, Shipment
from store_modules.orders.status import FulfillmentStatus as Parcel

# Nawa's words, which are ours by agreement (DOCS/03-integrations/nawa.md).
STATUSES = {
    "created": Parcel.AWAITING_PICKUP,
    "picked_up": Parcel.PICKED_UP,
    "at_hub": Parcel.AT_HUB,
    "in_transit": Parcel.IN_TRANSIT,
    "out_for_delivery": Parcel.OUT_FOR_DELIVERY,
    "delivered": Parcel.DELIVERED,
    "partially_delivered": Parcel.PARTIALLY_DELIVERED,
    "failed_attempt": Parcel.ATTEMPT_FAILED,
    "postponed": Parcel.POSTPONED,
    "on_hold": Parcel.ON_HOLD,
    "lost": Parcel.LOST,
    "returning": Parcel.RETURN_TO_HUB,
    "return_in_transit": Parcel.RETURN_IN_TRANSIT,
    "returned": Parcel.RETURNED_TO_STORE,
    "cancelled": Parcel.CANCELLED,
}


class AccountAnswer(Shape):
    account: str = Field(min_length=1, max_length=100)


class ShipmentAnswer(Shape):
    id: str = Field(min_length=1, max_length=100)
    tracking_number: str = Field(min_length=1, max_length=100)
    status: str = Field(default="created", max_length=64)


class CancelAnswer(Shape):
    status: str = Field(max_length=64)


class Found(Shape):
    id: str = Field(min_length=1, max_length=100)
    status: str = Field(min_length=1, max_length=64)
    occurred_at: AwareDatetime
    reason: str = ""


class FoundAnswer(Shape):
    items: list[Found] = Field(max_length=100)


class NawaShipments:
    """`DeliveryProvider` over HTTP."""

    def check_account(self, company: str, username: str, password: str, *, key: str) -> str:
        body = {"company": company, "username": username, "password": password}
        return call("/v1/accounts", body, AccountAnswer, key=key, within=10).account

    def create_shipment(self, shipment: Shipment, *, key: str) -> Booked:
        answer = call("/v1/shipments", wire_shipment(shipment), ShipmentAnswer, key=key)
        return Booked(answer.id, answer.tracking_number, answer.status)

    def cancel_shipment(self, account: str, external_id: str, *, key: str) -> None:
        body = {"account": account, "id": external_id}
        call("/v1/shipments/cancel", body, CancelAnswer, key=key)

    def get_status(self, account: str, external_ids: Sequence[str], *, key: str) -> list[Report]:
        body = {"account": account, "ids": list(external_ids)}
        found = call("/v1/shipments/query", body, FoundAnswer, key=key)
        return [
            Report(one.id, one.status, as_utc(one.occurred_at), reason=one.reason)
            for one in found.items
        ]

    def map_status(self, raw: str) -> Parcel | None:
        return STATUSES.get(raw)


def as_utc(moment: Any) -> datetime:
    aware: datetime = moment
    return aware


def wire_shipment(shipment: Shipment) -> dict[str, Any]:
    return {
        "reference": shipment.reference,
        "company": shipment.company,
        "account": shipment.account,
        "order_number": shipment.order_number,
        "recipient": {
            "name": shipment.name,
            "phone": shipment.phone,
            "secondary_phone": shipment.secondary_phone,
        },
        "address": {
            "province": shipment.province,
            "area": shipment.area,
            "line": shipment.address,
            "landmark": shipment.landmark,
            "lat": shipment.lat,
            "lng": shipment.lng,
        },
        "pickup": shipment.pickup,
        "cash_on_delivery": {"amount": shipment.to_collect, "currency": shipment.currency},
        "pieces": shipment.pieces,
        "weight_grams": shipment.weight_grams,
        "notes": shipment.notes,
    }
