"""What a delivery company's system can do for us. The areas that speak to one register it in
`PROVIDERS`; a company names the one that it is reached by."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol
from uuid import uuid4

from django.conf import settings

from store_modules.orders.status import FulfillmentStatus as Parcel
from storeplatform.kernel.providers import Unreachable


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel as a company takes it. `province` and `area` are the company's own names."""

    reference: str
    company: str
    account: str
    order_number: str
    name: str
    phone: str
    secondary_phone: str | None
    province: str
    area: str
    address: str | None
    landmark: str | None
    lat: str | None
    lng: str | None
    pickup: Mapping[str, Any] | None
    to_collect: str
    currency: str
    pieces: int
    weight_grams: int
    notes: str | None


@dataclass(frozen=True, slots=True)
class Booked:
    """The company's answer to a new shipment."""

    external_id: str
    tracking_number: str
    raw_status: str


@dataclass(frozen=True, slots=True)
class Report:
    """Where the company says a parcel is. `delivered` counts units by SKU, in upper case, of a
    parcel that arrived in part."""

    shipment: str
    raw_status: str
    occurred_at: datetime
    reason: str = ""
    until: date | None = None
    delivered: Mapping[str, int] = field(default_factory=dict)


class DeliveryProvider(Protocol):
    """Raises the faults of `kernel.providers`. A call with the same key is carried out once."""

    def check_account(self, company: str, username: str, password: str, *, key: str) -> str:
        """The id of the store's account with the company; Refused for wrong credentials."""

    def create_shipment(self, shipment: Shipment, *, key: str) -> Booked: ...

    def cancel_shipment(self, account: str, external_id: str, *, key: str) -> None: ...

    def get_status(self, account: str, external_ids: Sequence[str], *, key: str) -> list[Report]:
        """Where up to a hundred shipments are; unknown ones are left out."""

    def map_status(self, raw: str) -> Parcel | None:
        """Our word for the company's, or None for one that is not known."""


class Console:
    """For development without a provider: takes everything and shows it where the server runs."""

    def check_account(self, company: str, username: str, password: str, *, key: str) -> str:
        return username[:100]

    def create_shipment(self, shipment: Shipment, *, key: str) -> Booked:
        sys.stderr.write(f"shipment of {shipment.order_number} by {shipment.company}\n")
        return Booked(f"console-{uuid4().hex[:12]}", shipment.order_number, "created")

    def cancel_shipment(self, account: str, external_id: str, *, key: str) -> None:
        sys.stderr.write(f"shipment {external_id} is cancelled\n")

    def get_status(self, account: str, external_ids: Sequence[str], *, key: str) -> list[Report]:
        return []

    def map_status(self, raw: str) -> Parcel | None:
        return Parcel.AWAITING_PICKUP if raw == "created" else None


PROVIDERS: dict[str, DeliveryProvider] = {}


def provider_of(name: str) -> DeliveryProvider:
    """The provider by its name. In development one that is not set up shows what it would do.
    Raises Unreachable otherwise."""
    if settings.NAWA_BASE_URL and name in PROVIDERS:
        return PROVIDERS[name]
    if settings.DEVELOPMENT:
        return Console()
    raise Unreachable(f"The provider {name} is not set up.")
