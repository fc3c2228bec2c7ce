"""Where parcels are, by what their companies tell: facts are taken over in the order of the
companies' own time, and nothing told is lost (domain.md, section 17)."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from store_modules.delivery.models import CompanyLink, CourierStatus, Dispatch, ShipmentEvent
from store_modules.delivery.parcels import close, courier, locked
from store_modules.delivery.providers import Report, provider_of
from store_modules.orders import fulfillment, lifecycle
from store_modules.orders.fulfillment import CHAIN, NEEDS_REASON, ON_THE_WAY
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import FulfillmentStatus as Parcel
from store_modules.orders.status import Reason, Status
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

Outcome = ShipmentEvent.Outcome
UNMAPPED_FLAG = "unmapped_courier_status"
FINAL = (Parcel.DELIVERED, Parcel.RETURNED_TO_STORE, Parcel.LOST)
SYNC_EVERY = timedelta(hours=1)
SYNC_BATCH, SYNC_MOST = 100, 2000  # parcels of one call, of one turn
CLOCKS_DIFFER = timedelta(minutes=5)
GONE = (Dispatch.State.REFUSED, Dispatch.State.CANCELLED)


def mapped(made: Dispatch, raw: str) -> Parcel | None:
    """Our word for a company's; operators' entries go before the provider's own map."""
    row = CourierStatus.objects.filter(company=made.company_id, raw=raw).first()
    if row is not None:
        return Parcel(row.status)
    return provider_of(made.company.provider).map_status(raw)


@transaction.atomic
def report(dispatch_id: UUID, told: Report) -> UUID | None:
    """Take over what a company tells of a parcel. Returns the store, or None for an unknown
    parcel. Told twice, it changes nothing."""
    if not Dispatch.objects.filter(pk=dispatch_id).exists():
        return None
    order, made = locked(dispatch_id)
    take_over(
        made,
        order,
        told.raw_status,
        told.occurred_at,
        reason=told.reason,
        until=told.until,
        delivered=told.delivered,
    )
    store_id: UUID = made.store_id
    return store_id


def take_over(
    made: Dispatch,
    order: Order,
    raw: str,
    occurred_at: datetime,
    *,
    booking: bool = False,
    **told: Any,
) -> None:
    """Apply a status to the locked dispatch and order, and keep it with what became of it. The
    answer to a booking comes with no time of the company's, so that all it tells is later."""
    status = mapped(made, raw)
    told_at, occurred_at = occurred_at, min(occurred_at, timezone.now() + CLOCKS_DIFFER)
    if was_told(made, raw, told_at):
        outcome, detail = Outcome.REPEATED, ""
    else:
        outcome, detail = outcome_of(made, status, occurred_at)
    if outcome == Outcome.APPLIED and status is not None:
        try:
            with transaction.atomic():
                move(made, order, status, **told)
        except Refusal as refusal:
            outcome, detail = Outcome.NOT_POSSIBLE, f"{refusal.code}: {refusal.message}"[:200]
            flag = "stock_short" if refusal.code == "insufficient_stock" else ""
            raise_flag(made, flag)
    if status is None and outcome in (Outcome.UNMAPPED, Outcome.LATE):
        raise_flag(made, UNMAPPED_FLAG)
    ShipmentEvent.objects.create(
        dispatch=made,
        raw_status=raw,
        parcel_status=status or "",
        reason=str(told.get("reason") or "")[:64],
        occurred_at=told_at,
        outcome=outcome,
        detail=detail,
    )
    if outcome in (Outcome.LATE, Outcome.REPEATED):
        return
    made.raw_status, made.version = raw, made.version + 1
    if outcome == Outcome.APPLIED and status is not None:
        made.parcel_status = status
        made.status_at = made.status_at if booking else occurred_at
        if status in FINAL and made.state in Dispatch.ACTIVE:
            made.state = Dispatch.State.FINISHED
    made.save()
    if not booking:
        tell(made)


def was_told(made: Dispatch, raw: str, told_at: datetime) -> bool:
    """Whether the company told this before and we knew what to make of it."""
    before = made.events.filter(raw_status=raw, occurred_at=told_at)
    unused = [Outcome.UNMAPPED, Outcome.NOT_POSSIBLE]
    return bool(before.exclude(outcome__in=unused).exists())


def outcome_of(made: Dispatch, status: Parcel | None, occurred_at: datetime) -> tuple[Outcome, str]:
    """Whether a fact is news: later by the company's clock, or at the same time later in the
    chain."""
    if made.state in GONE:
        return Outcome.NOT_POSSIBLE, f"The dispatch is {made.state}."
    if made.status_at is not None and occurred_at < made.status_at:
        return Outcome.LATE, ""
    if status is None:
        return Outcome.UNMAPPED, ""
    if occurred_at == made.status_at and rank(status) <= rank(made.parcel_status):
        return Outcome.LATE, ""
    return Outcome.APPLIED, ""


def rank(status: str) -> float:
    """The place in the chain; side states stand before the customer's door."""
    if status in CHAIN:
        return CHAIN.index(Parcel(status))
    if status == Parcel.PARTIALLY_DELIVERED:
        return CHAIN.index(Parcel.DELIVERED)
    return CHAIN.index(Parcel.OUT_FOR_DELIVERY) + 0.5


def move(
    made: Dispatch,
    order: Order,
    status: Parcel,
    *,
    reason: str = "",
    until: Any = None,
    delivered: Any = None,
) -> None:
    """Move the order as the parcel moves. Raises Refusal when the order does not allow it."""
    actor = courier(made)
    why = reason if reason in Reason.values else Reason.OTHER.value
    if status == Parcel.CANCELLED:
        release(made, order, actor)
    elif status == Parcel.PARTIALLY_DELIVERED:
        deliver_partly(actor, order, delivered or {})
    elif status == Parcel.OUT_FOR_DELIVERY and order.status == Status.RETURNING:
        lifecycle.transition(actor, order.pk, Status.SHIPPED)  # another attempt
        fulfillment.advance(actor, order.pk, status)
    elif status in (Parcel.RETURN_IN_TRANSIT, Parcel.RETURNED_TO_STORE) and order.status in (
        Status.CONFIRMED,
        Status.PROCESSING,
        Status.SHIPPED,
    ):
        fulfillment.advance(actor, order.pk, Parcel.RETURN_TO_HUB, reason=why)
        fulfillment.advance(actor, order.pk, status)
    else:
        needed = why if status in NEEDS_REASON else None
        fulfillment.advance(actor, order.pk, status, reason=needed, until=until)


def release(made: Dispatch, order: Order, actor: Actor) -> None:
    """The company gave the parcel up before it left."""
    if order.shipped_at is not None:
        raise Refusal("not_cancellable", "The parcel is on its way.")
    close(made, order, Dispatch.State.CANCELLED, actor)


def deliver_partly(actor: Actor, order: Order, delivered: Any) -> None:
    lines = [
        {"item_id": item.pk, "quantity": delivered.get(item.sku.upper(), 0)}
        for item in order.items.all()
    ]
    if order.status in (Status.CONFIRMED, Status.PROCESSING):
        fulfillment.advance(actor, order.pk, ON_THE_WAY[0])
    lifecycle.transition(actor, order.pk, Status.PARTIALLY_DELIVERED, lines=lines)


def raise_flag(made: Dispatch, flag: str) -> None:
    """Advice on the order, which stays as it is."""
    order = locked_order(made.store_id, made.order_id)
    if not flag or flag in order.risk_flags:
        return
    order.risk_flags = [*order.risk_flags, flag]
    order.version += 1
    order.save(update_fields=["risk_flags", "version", "updated_at"])
    kind = OrderEvent.Kind.NOTE
    event_row(order, courier(made), kind, data={"riskFlag": flag}).save(force_insert=True)
    outbox_row(order, "order.updated").save(force_insert=True)


def tell(made: Dispatch) -> None:
    emit(
        "shipment.status_changed",
        store_id=made.store_id,
        subject_id=made.pk,
        sequence=made.version,
        data={
            "id": str(made.pk),
            "orderId": str(made.order_id),
            "deliveryCompany": made.company.slug,
            "trackingNumber": made.tracking_number,
            "status": made.parcel_status,
            "rawStatus": made.raw_status,
            "occurredAt": made.status_at.isoformat() if made.status_at else None,
        },
    )


def sync() -> int:
    """Have companies asked for parcels that were not heard of for an hour, one account a call;
    returns how many parcels that are."""
    now = timezone.now()
    waiting = Dispatch.objects.filter(state=Dispatch.State.ACCEPTED).exclude(external_id="")
    stale = list(
        waiting.filter(Q(last_sync_at=None) | Q(last_sync_at__lt=now - SYNC_EVERY))
        .order_by("last_sync_at")
        .values_list("store_id", "company_id", "pk")[:SYNC_MOST]
    )
    Dispatch.objects.filter(pk__in=[pk for *_, pk in stale]).update(last_sync_at=now)
    accounts: dict[tuple[UUID, UUID], list[str]] = {}
    for store_id, company_id, pk in stale:
        accounts.setdefault((store_id, company_id), []).append(str(pk))
    for ids in accounts.values():
        for batch in batched(ids, SYNC_BATCH):
            enqueue(ask_about, dispatch_ids=batch)
    return len(stale)


@background(in_transaction=False)
def ask_about(dispatch_ids: list[str]) -> None:
    """Ask where parcels of one store with one company are."""
    rows = Dispatch.objects.select_related("company").filter(pk__in=dispatch_ids)
    by_id = {made.external_id: made for made in rows}
    if not by_id:
        return
    first = next(iter(by_id.values()))
    link = CompanyLink.objects.of(first.store_id).filter(company=first.company_id).first()
    if link is None:
        return
    provider = provider_of(first.company.provider)
    for told in provider.get_status(link.account, list(by_id), key=str(uuid7())):
        if told.shipment in by_id:
            report(by_id[told.shipment].pk, told)


def batched(ids: list[str], size: int) -> list[list[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
