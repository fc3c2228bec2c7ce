"""An order that a customer proves with a one-time code, whichever program hands it over."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone

from integrations.otp import services as otp
from store_modules.orders import placement, quoting
from store_modules.orders.models import Channel, Order
from store_modules.orders.views import quote_body
from storeplatform.kernel.errors import Conflict, Refusal, refuse
from storeplatform.kernel.tenancy import Actor


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that may be placed: priced, its code compared, its number taken."""

    values: dict[str, Any]
    priced: quoting.Quote
    challenge: UUID | None
    number: str


def check(actor: Actor, values: dict[str, Any]) -> Checked:
    """The whole order is checked before a try of the code is spent. Call it outside any
    transaction: a wrong code must count."""
    if not values.get("customer"):
        raise refuse("customer", "required", "The customer is missing.")
    priced = quoting.quote(actor, values, Channel.STOREFRONT)
    trade = priced.shelf.trade
    if values["payment_method"] not in trade.storefront_methods:
        words = ", ".join(trade.storefront_methods)
        raise refuse("payment_method", "not_offered", f"One of: {words}.")
    code = values["otp_code"]
    if trade.require_otp and not code:
        raise Refusal("otp_required", "The one-time code is missing.", otpCode=["Required."])
    expected = values["expected_total"]
    if expected is not None and expected != priced.totals.total:
        raise Conflict(
            "price_changed",
            "The total is another one now.",
            details={"quote": quote_body(priced)},
        )
    challenge = None
    if code:
        challenge = otp.spend_attempt(actor.store_id, values["customer"]["primary_phone"], code)
    return Checked(values, priced, challenge, placement.order_number(actor.store_id))


def place(actor: Actor, checked: Checked) -> Order:
    """The code is used up in the transaction that stores the order."""
    order = placement.place_order(
        actor,
        checked.values,
        checked.priced,
        channel=Channel.STOREFRONT,
        number=checked.number,
        otp_verified_at=timezone.now() if checked.challenge else None,
    )
    if checked.challenge:
        otp.consume(checked.challenge, order.pk)
    return order
