"""How a line of a settlement differs from the books: pure functions over values."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from store_modules.delivery.models import Difference, SettlementLine
from store_modules.orders.status import RemittanceStatus, Status

Kind = SettlementLine.Kind
REMITTING = (Kind.DELIVERED, Kind.PARTIAL, Kind.PRICE_CHANGE)
BLOCKING = frozenset(
    [Difference.UNKNOWN_ORDER, Difference.NOT_DELIVERED_HERE, Difference.ALREADY_SETTLED]
)
ARRIVED = (Status.DELIVERED, Status.PARTIALLY_DELIVERED, Status.RETURNED)
CAME_BACK = (Status.RETURNING, Status.RETURNED)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a company says of an order."""

    kind: str
    collected: Decimal
    fee: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """What our books say of it. `with_courier` is the cash that the company still has; an accepted
    line brought it (`settled_before`), or told that the parcel came back (`returned_before`)."""

    id: UUID
    status: str
    remittance_status: str
    carried_here: bool
    with_courier: Decimal
    settled_before: bool
    returned_before: bool = False


def differences(
    claim: Claim, known: Known | None, *, agreed_fee: Decimal | None, seen: bool
) -> list[Difference]:
    """`seen`: an earlier line of the same settlement has the order."""
    found: list[Difference] = []
    if known is None:
        found.append(Difference.UNKNOWN_ORDER)
    else:
        found += against_books(claim, known, seen=seen)
    if claim.net != claim.collected - claim.fee or agreed_fee not in (None, claim.fee):
        found.append(Difference.FEE_MISMATCH)
    return found


def against_books(claim: Claim, known: Known, *, seen: bool) -> list[Difference]:
    remits = claim.kind in REMITTING
    if seen or (known.settled_before if remits else known.returned_before):
        return [Difference.ALREADY_SETTLED]
    if remits and known.remittance_status == RemittanceStatus.REMITTED:
        return [Difference.ALREADY_SETTLED]
    wanted = ARRIVED if remits else CAME_BACK
    if not known.carried_here or known.status not in wanted:
        return [Difference.NOT_DELIVERED_HERE]
    if claim.collected < known.with_courier and remits:
        return [Difference.AMOUNT_SHORT]
    if claim.collected > (known.with_courier if remits else 0):
        return [Difference.AMOUNT_OVER]
    return []


def is_blocked(found: list[str]) -> bool:
    return not BLOCKING.isdisjoint(found)


def totals(claims: list[Claim]) -> Mapping[str, Decimal]:
    zero = Decimal(0)
    return {
        "collected_total": sum((claim.collected for claim in claims), zero),
        "fee_total": sum((claim.fee for claim in claims), zero),
        "net_total": sum((claim.net for claim in claims), zero),
    }
