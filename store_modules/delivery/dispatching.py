"""Handing parcels to delivery companies, and taking them back (domain.md, section 17)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from store_modules.delivery.models import CompanyLink, CourierAreaMap, DeliveryCompany, Dispatch
from store_modules.delivery.parcels import close, courier, locked, note
from store_modules.delivery.providers import Shipment, provider_of
from store_modules.delivery.tracking import take_over
from store_modules.orders.locking import locked_order
from store_modules.orders.models import FulfillmentType, Order, PaymentMethod
from store_modules.orders.status import Status
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.money import format_money
from storeplatform.kernel.outbox import on
from storeplatform.kernel.providers import ProviderFault, Refused, reference_of
from storeplatform.kernel.tenancy import Actor, StoreFacts

log = structlog.get_logger(__name__)

State = Dispatch.State
ASK_AGAIN_AFTER = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=2)
BATCH = 100
DISPATCHABLE = (Status.CONFIRMED, Status.PROCESSING)


@transaction.atomic
def dispatch(actor: Actor, order_id: UUID, company: DeliveryCompany) -> Dispatch:
    """Hand an order to a company, which is asked after the transaction. Raises Conflict
    `not_dispatchable`, `company_not_linked`, `area_not_mapped`, `pickup_required`, or
    `already_dispatched` by its constraint."""
    order = locked_order(actor.store_id, order_id)
    if Dispatch.objects.filter(order=order, state__in=Dispatch.ACTIVE).exists():
        raise Conflict("already_dispatched", "A delivery company has this order already.")
    if order.status not in DISPATCHABLE:
        raise Conflict(
            "not_dispatchable",
            f"An order that is {order.status} is not handed to a delivery company.",
            details={"current": {"status": order.status}, "allowed": list(DISPATCHABLE)},
        )
    if not CompanyLink.objects.of(actor.store_id).filter(company=company).exists():
        raise Conflict("company_not_linked", f"Link an account with {company.name} first.")
    area_names(company, order)
    pickup_of(order)
    made = Dispatch(store_id=actor.store_id, order=order, company=company)
    made.save(force_insert=True)
    order.delivery_company_id = company.pk
    note(order, actor, {"deliveryCompany": company.slug, "dispatchId": str(made.pk)})
    enqueue(book, dispatch_id=str(made.pk))
    return made


def area_names(company: DeliveryCompany, order: Order) -> tuple[str, str]:
    """The company's names of the order's province and area. Raises Conflict `area_not_mapped`."""
    if company.uses_our_areas:
        return order.province_code, order.area_name
    row = CourierAreaMap.objects.filter(company=company, area=order.area_id).first()
    if row is None:
        raise Conflict(
            "area_not_mapped",
            f"{company.name} has no name for this area.",
            details={"addressAreaId": str(order.area_id)},
        )
    return row.external_province, row.external_area


def pickup_of(order: Order) -> dict[str, Any] | None:
    """Where the courier collects the parcel. Raises Conflict `pickup_required`."""
    trade = StoreSettings.objects.get(store_id=order.store_id)
    pickup: dict[str, Any] | None = order.pickup or trade.pickup
    if pickup is None and order.fulfillment_type == FulfillmentType.FROM_TO:
        raise Conflict("pickup_required", "Say where the courier collects: pickup in the settings.")
    return pickup


# Asking the company, in the background


@background(in_transaction=False)
def book(dispatch_id: str) -> None:
    """Ask the company to take the parcel; every try carries the same key. A parcel that was taken
    back while the company may have it is asked for too, so that it can be cancelled there."""
    with transaction.atomic():
        _, made = locked(UUID(dispatch_id))
        taken_back = made.state == State.CANCELLED and made.asked_at is not None
        if made.external_id or not (made.state == State.REQUESTED or taken_back):
            return
        made.asked_at = timezone.now()
        made.save(update_fields=["asked_at"])
    try:
        shipment = shipment_of(made)
        provider = provider_of(made.company.provider)
        booked = provider.create_shipment(shipment, key=str(made.pk))
    except (Refusal, Refused) as refusal:
        refused(made.pk, str(refusal))
    except ProviderFault as fault:
        error = f"No answer: {fault}"[:500]
        Dispatch.objects.filter(pk=made.pk, state=State.REQUESTED).update(error=error)
        raise
    else:
        accepted(made.pk, booked.external_id, booked.tracking_number, booked.raw_status)


def ask_again() -> int:
    """Ask companies once more that did not answer for an hour; returns how many parcels wait."""
    now = timezone.now()
    unanswered = Dispatch.objects.filter(
        external_id="",
        state__in=[State.REQUESTED, State.CANCELLED],
        asked_at__lt=now - ASK_AGAIN_AFTER,
        created_at__gt=now - GIVEN_UP_AFTER,
    )
    ids = list(unanswered.order_by("asked_at").values_list("pk", flat=True)[:BATCH])
    Dispatch.objects.filter(pk__in=ids).update(asked_at=now)
    for dispatch_id in ids:
        enqueue(book, dispatch_id=str(dispatch_id))
    return len(ids)


def shipment_of(made: Dispatch) -> Shipment:
    order, company = made.order, made.company
    link = CompanyLink.objects.of(made.store_id).filter(company=company).first()
    if link is None:
        raise Conflict("company_not_linked", f"The account with {company.name} is gone.")
    province, area = area_names(company, order)
    due = order.total - order.returns_total - order.amount_paid + order.amount_refunded
    collects = order.payment_method == PaymentMethod.COD and due > 0
    weight = order.items.aggregate(n=Sum(F("weight_grams") * F("quantity")))["n"]
    return Shipment(
        reference=reference_of("shp", made.pk),
        company=company.slug,
        account=link.account,
        order_number=order.number,
        name=order.customer_name,
        phone=order.customer_phone or "",
        secondary_phone=order.customer_secondary_phone,
        province=province,
        area=area,
        address=order.address,
        landmark=order.landmark,
        lat=str(order.delivery_lat) if order.delivery_lat is not None else None,
        lng=str(order.delivery_lng) if order.delivery_lng is not None else None,
        pickup=pickup_of(order),
        to_collect=format_money(due if collects else due * 0, order.currency_code),
        currency=order.currency_code,
        pieces=order.units_count,
        weight_grams=weight or 0,
        notes=order.notes,
    )


@transaction.atomic
def accepted(dispatch_id: UUID, external_id: str, tracking_number: str, raw: str) -> None:
    """The company has it. A parcel that was taken back meanwhile is cancelled there."""
    order, made = locked(dispatch_id)
    if made.external_id:
        return
    made.external_id, made.tracking_number, made.error = external_id, tracking_number, ""
    made.last_sync_at = timezone.now()
    made.version += 1
    if made.state == State.CANCELLED:
        made.save()
        ask_to_cancel(made)
        return
    if made.state == State.REQUESTED:
        made.state = State.ACCEPTED
    made.save()
    order.tracking_number = tracking_number
    data = {"deliveryCompany": made.company.slug, "trackingNumber": tracking_number}
    note(order, courier(made), data)
    if made.status_at is None:  # else it told more already
        take_over(made, order, raw, timezone.now(), booking=True)


@transaction.atomic
def refused(dispatch_id: UUID, why: str) -> None:
    order, made = locked(dispatch_id)
    if made.state == State.REQUESTED:
        close(made, order, State.REFUSED, courier(made), error=why)
    elif not made.external_id:  # taken back, and it never had it
        Dispatch.objects.filter(pk=made.pk).update(asked_at=None)


# Taking back


@transaction.atomic
def take_back(actor: Actor, dispatch_id: UUID) -> Dispatch:
    """Cancel a dispatch: at once when the company has not answered, else it is asked. Raises
    Conflict `not_cancellable` when the parcel is on its way."""
    order, made = locked(dispatch_id)
    if made.state == State.CANCELLED:
        return made
    if made.state not in Dispatch.ACTIVE or order.shipped_at is not None:
        raise Conflict(
            "not_cancellable",
            "The parcel is on its way, or the company does not have it.",
            details={"current": {"state": made.state, "status": order.status}},
        )
    if not made.external_id:
        close(made, order, State.CANCELLED, actor)
    else:
        ask_to_cancel(made)
    return made


def ask_to_cancel(made: Dispatch) -> None:
    enqueue(cancel_there, dispatch_id=str(made.pk), key=str(uuid7()))


@background(in_transaction=False)
def cancel_there(dispatch_id: str, key: str) -> None:
    made = Dispatch.objects.select_related("company").filter(pk=dispatch_id).first()
    if made is None or made.state not in (State.ACCEPTED, State.CANCELLED):
        return
    link = CompanyLink.objects.of(made.store_id).filter(company=made.company).first()
    account = link.account if link else ""
    try:
        provider = provider_of(made.company.provider)
        provider.cancel_shipment(account, made.external_id, key=key)
    except Refused as refusal:
        error = f"Not cancelled: {refusal}"[:500]
        Dispatch.objects.filter(pk=made.pk).update(error=error)
        return
    with transaction.atomic():
        order, made = locked(made.pk)
        if made.state == State.ACCEPTED:
            close(made, order, State.CANCELLED, courier(made))


@on("order.cancelled")
def cancel_with_order(event: OutboxEvent) -> None:
    active = Dispatch.objects.filter(order=event.subject_id, state__in=Dispatch.ACTIVE).first()
    if active is None:
        return
    system = system_actor(event.store_id)
    try:
        take_back(system, active.pk)
    except Conflict:
        log.warning("dispatch_outlives_order", dispatch_id=str(active.pk))


@on("order.created", "order.status_changed", "order.updated")
def dispatch_confirmed(event: OutboxEvent) -> None:
    """An order that names its company goes to it as soon as it is confirmed. What is in the way
    is kept as a refused dispatch, for people to see."""
    order = Order.objects.filter(
        pk=event.subject_id, status=Status.CONFIRMED, delivery_company_id__isnull=False
    ).first()
    if order is None or Dispatch.objects.filter(order=order).exists():
        return
    company = DeliveryCompany.objects.get(pk=order.delivery_company_id)
    try:
        dispatch(system_actor(event.store_id), order.pk, company)
    except Refusal as refusal:
        if refusal.code in ("already_dispatched", "not_dispatchable"):
            return
        Dispatch.objects.create(
            store_id=order.store_id,
            order=order,
            company=company,
            state=State.REFUSED,
            error=f"{refusal.code}: {refusal.message}"[:500],
        )


def system_actor(store_id: UUID) -> Actor:
    return Actor(store=StoreFacts(store_id), grants=frozenset(), kind="system", id="", label="")


@transaction.atomic
def try_again(actor: Actor, dispatch_id: UUID) -> Dispatch:
    """Ask the company once more, under the same key, when it never answered."""
    _, made = locked(dispatch_id)
    if made.state != State.REQUESTED:
        raise Conflict("not_waiting", "The company has answered.")
    enqueue(book, dispatch_id=str(made.pk))
    return made
