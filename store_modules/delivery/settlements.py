"""Cash that delivery companies bring: importing their accounts, comparing them with the books,
accepting them (domain.md, section 17)."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from store_modules.delivery.matching import (
    REMITTING,
    Claim,
    Known,
    differences,
    is_blocked,
    totals,
)
from store_modules.delivery.models import (
    CashEntry,
    CompanyLink,
    DeliveryCompany,
    Dispatch,
    Settlement,
    SettlementLine,
)
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order
from store_modules.orders.remittance import settle
from store_modules.orders.status import RemittanceStatus
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, NotFound
from storeplatform.kernel.money import format_money
from storeplatform.kernel.tenancy import Actor

MISSING_AFTER = timedelta(days=7)
MOST_MISSING = 500
ZERO = Decimal(0)
Entry = CashEntry.Kind
State = Settlement.State


@transaction.atomic
def import_settlement(
    actor: Actor,
    company: DeliveryCompany,
    lines: Sequence[dict[str, Any]],
    *,
    source: str,
    **values: Any,
) -> Settlement:
    """Keep a company's account and compare it with the books. `lines` have order_ref or
    tracking_number, kind, collected, fee, and net or None for collected − fee."""
    if not CompanyLink.objects.of(actor.store_id).filter(company=company).exists():
        raise Conflict("company_not_linked", f"Link an account with {company.name} first.")
    made = Settlement(
        store_id=actor.store_id,
        company=company,
        source=source,
        currency_code=actor.store.currency_code,
        **values,
    )
    made.save(force_insert=True)
    rows = [
        SettlementLine(
            settlement=made,
            place=place,
            order_ref=line.get("order_ref") or "",
            tracking_number=line.get("tracking_number") or "",
            kind=line["kind"],
            collected=line["collected"],
            fee=line["fee"],
            net=line["collected"] - line["fee"] if line.get("net") is None else line["net"],
            remits=line["kind"] in REMITTING,
        )
        for place, line in enumerate(lines, start=1)
    ]
    SettlementLine.objects.bulk_create(rows, batch_size=500)
    compare(made, rows)
    return made


@transaction.atomic
def match_again(actor: Actor, settlement_id: UUID) -> Settlement:
    """Compare with the books as they are now."""
    made = locked_settlement(actor, settlement_id)
    refuse_accepted(made)
    compare(made, list(made.lines.all()))
    return made


def locked_settlement(actor: Actor, settlement_id: UUID) -> Settlement:
    made: Settlement | None = (
        Settlement.objects.of(actor.store_id)
        .select_related("company")
        .select_for_update(of=("self",))
        .filter(pk=settlement_id)
        .first()
    )
    if made is None:
        raise NotFound
    return made


def refuse_accepted(made: Settlement) -> None:
    if made.state == State.ACCEPTED:
        raise Conflict("settlement_accepted", "An accepted settlement stays as it is.")


def compare(made: Settlement, rows: Sequence[SettlementLine]) -> None:
    """Fill each line's order, expected amount and differences, and the settlement's sums."""
    orders = orders_of(made, rows)
    books = known_orders(made, {order_id for order_id in orders.values() if order_id})
    link = CompanyLink.objects.of(made.store_id).filter(company=made.company_id).first()
    agreed_fee = link.agreed_fee if link else None
    claims, seen = [], set()
    for row in rows:
        claim = Claim(row.kind, row.collected, row.fee, row.net)
        order_id = orders[row.pk]
        known = books.get(order_id) if order_id else None
        row.order_id = known.id if known else None
        row.expected = known.with_courier if known else None
        row.differences = differences(
            claim, known, agreed_fee=agreed_fee, seen=bool(known and known.id in seen)
        )
        if known:
            seen.add(known.id)
        claims.append(claim)
    SettlementLine.objects.bulk_update(rows, ["order", "expected", "differences"], batch_size=500)
    for name, amount in totals(claims).items():
        setattr(made, name, amount)
    made.missing = missing_from(made, seen)
    made.differences_count = sum(bool(row.differences) for row in rows) + len(made.missing)
    made.state = State.MATCHED
    made.version += 1
    made.save()


def orders_of(made: Settlement, rows: Sequence[SettlementLine]) -> dict[UUID, UUID | None]:
    """The order of each line: by its id or number, else by the tracking number of a parcel that
    this company carried."""
    refs = {row.order_ref for row in rows if row.order_ref}
    ids = {ref for ref in refs if is_uuid(ref)}
    orders = Order.objects.of(made.store_id)
    by_ref: dict[str, UUID] = {
        str(pk): pk for pk in orders.filter(pk__in=ids).values_list("pk", flat=True)
    }
    by_ref |= dict(orders.filter(number__in=refs - ids).values_list("number", "pk"))
    numbers = {row.tracking_number for row in rows if row.tracking_number}
    parcels = Dispatch.objects.of(made.store_id).filter(
        company=made.company_id, tracking_number__in=numbers
    )
    by_number: dict[str, UUID] = dict(parcels.values_list("tracking_number", "order_id"))
    return {
        row.pk: by_ref.get(row.order_ref.lower() if is_uuid(row.order_ref) else row.order_ref)
        or by_number.get(row.tracking_number)
        for row in rows
    }


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def known_orders(made: Settlement, order_ids: Iterable[UUID]) -> dict[UUID, Known]:
    """What the books say of the orders; the cash is what is left of the company's entries."""
    ids = list(order_ids)
    entries = CashEntry.objects.filter(order__in=ids, company=made.company_id)
    cash: dict[UUID, Decimal] = dict(
        entries.values("order_id").annotate(left=Sum("amount")).values_list("order_id", "left")
    )
    accepted = SettlementLine.objects.filter(order__in=ids, is_accepted=True)
    settled = set(accepted.exclude(settlement=made).values_list("order_id", "remits"))
    carried = set(
        Dispatch.objects.filter(order__in=ids, company=made.company_id)
        .exclude(state__in=[Dispatch.State.REFUSED, Dispatch.State.CANCELLED])
        .values_list("order_id", flat=True)
    )
    return {
        order.pk: Known(
            id=order.pk,
            status=order.status,
            remittance_status=order.remittance_status,
            carried_here=order.delivery_company_id == made.company_id or order.pk in carried,
            with_courier=cash.get(order.pk, ZERO),
            settled_before=(order.pk, True) in settled,
            returned_before=(order.pk, False) in settled,
        )
        for order in Order.objects.of(made.store_id).filter(pk__in=ids)
    }


def missing_from(made: Settlement, seen: set[UUID]) -> list[dict[str, Any]]:
    """Orders delivered long before this settlement whose cash the company still has."""
    long_ago = made.date - MISSING_AFTER
    waiting = (
        Order.objects.of(made.store_id)
        .filter(
            delivery_company_id=made.company_id,
            remittance_status=RemittanceStatus.WITH_COURIER,
            delivered_at__date__lt=long_ago,
        )
        .exclude(pk__in=seen)
        .order_by("delivered_at")[:MOST_MISSING]
    )
    books = known_orders(made, [order.pk for order in waiting])
    return [
        {
            "orderId": str(order.pk),
            "number": order.number,
            "amount": format_money(books[order.pk].with_courier, order.currency_code),
            "deliveredAt": order.delivered_at.isoformat(),
        }
        for order in waiting
    ]


@transaction.atomic
def accept(actor: Actor, settlement_id: UUID, *, accept_differences: bool = False) -> Settlement:
    """Take the money as brought: its orders become remitted, the fees their delivery cost. With
    differences it needs `accept_differences`; lines whose order is unknown, not delivered here or
    settled already are left out even then. Raises Conflict `settlement_has_differences`."""
    made = locked_settlement(actor, settlement_id)
    refuse_accepted(made)
    rows = list(made.lines.all())
    known = {order_id for order_id in orders_of(made, rows).values() if order_id}
    orders = {order_id: locked_order(made.store_id, order_id) for order_id in sorted(known)}
    compare(made, rows)  # as the books are now, under the locks
    different = [row for row in rows if row.differences]
    if different and not accept_differences:
        raise Conflict(
            "settlement_has_differences",
            f"{len(different)} lines differ from the books.",
            details={"differences": counted(different)},
        )
    taken = [
        (row, orders[row.order_id])
        for row in rows
        if row.order_id and not is_blocked(row.differences)
    ]
    for row, order in taken:
        SettlementLine.objects.filter(pk=row.pk).update(is_accepted=True)
        accepted = SettlementLine.objects.filter(order=order, is_accepted=True)
        fee = accepted.aggregate(n=Sum("fee"))["n"]
        if row.remits:  # before the order is settled, so that its figures know
            book_cash(made, row, order)
        settle(order, actor, fee=fee, reference=made.reference, remits=row.remits)
    made.state, made.accepted_at = State.ACCEPTED, timezone.now()
    made.accepted_by = actor.label or actor.id
    made.version += 1
    made.save()
    audit(
        "settlement.accepted",
        target=made.reference,
        actor=actor,
        changes={"company": made.company.slug, "lines": len(taken), "left": len(rows) - len(taken)},
    )
    return made


def book_cash(made: Settlement, row: SettlementLine, order: Order) -> None:
    """What was brought goes out of the company's account; what is left of the order with it."""
    book = partial(
        CashEntry.objects.create,
        store_id=made.store_id,
        company=made.company,
        order=order,
        line=row,
    )
    book(kind=Entry.REMITTED, amount=-row.collected)
    if left := (row.expected or ZERO) - row.collected:
        book(kind=Entry.CORRECTION, amount=-left)


def counted(rows: Iterable[SettlementLine]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        for one in row.differences:
            counts[str(one)] = counts.get(str(one), 0) + 1
    return counts


@transaction.atomic
def discard(actor: Actor, settlement_id: UUID) -> None:
    """Forget an account that was not accepted."""
    made = locked_settlement(actor, settlement_id)
    refuse_accepted(made)
    made.delete()


def collected(order: Order, amount: Decimal) -> None:
    """A company took an order's cash at the door."""
    assert order.delivery_company_id is not None  # else nobody carried it
    CashEntry.objects.create(
        store_id=order.store_id,
        company_id=order.delivery_company_id,
        order=order,
        kind=Entry.COLLECTED,
        amount=amount,
    )


def balances(store_id: UUID) -> list[dict[str, Any]]:
    """The cash of each company, by its entries."""
    sums = (
        CashEntry.objects.filter(store=store_id)
        .values("company_id", "company__slug", "kind")
        .annotate(amount=Sum("amount"))
        .order_by("company__slug")
    )
    by_company: dict[UUID, dict[str, Any]] = {}
    for one in sums:
        row = by_company.setdefault(
            one["company_id"],
            {"company_id": one["company_id"], "slug": one["company__slug"]}
            | dict.fromkeys(Entry.values, ZERO),
        )
        row[one["kind"]] = one["amount"]
    return list(by_company.values())
