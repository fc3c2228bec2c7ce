"""Customers across rows: addresses, merging, anonymising, and finding one for an order."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from store_modules.customers.models import Customer, CustomerAddress
from store_modules.geography.services import find_address
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.ports import Port
from storeplatform.kernel.problems import on_violation
from storeplatform.kernel.tenancy import Actor, StoreFacts

# Has the customer an open order? And: the customer's orders go to another one. Orders answer.
has_open_order: Port[[UUID], bool] = Port("has_open_order")
move_orders: Port[[UUID, UUID], int] = Port("move_orders")

DELETED_NAME = "Deleted customer"
MAX_ADDRESSES = 20


@on_violation("customer_phone_taken")
def who_has_the_phone(values: dict[str, str]) -> dict[str, Any]:
    found = Customer.objects.live().filter(
        store_id=values["store_id"], primary_phone=values["primary_phone"]
    )
    return {"customerId": found.values_list("pk", flat=True).first()}


@transaction.atomic
def save_customer(
    customer: Customer,
    values: dict[str, Any],
    addresses: list[dict[str, Any]] | None,
    facts: StoreFacts,
) -> Customer:
    """Create or change; a list of addresses replaces the former one whole."""
    created = customer._state.adding
    for name, value in values.items():
        setattr(customer, name, value)
    if not customer.is_blocked:
        customer.blocked_reason = None
    if not created:
        customer.version += 1
    customer.save()
    if addresses is not None:
        replace_addresses(customer, addresses, facts)
    announce(customer, "customer.created" if created else "customer.updated")
    return customer


def replace_addresses(
    customer: Customer, addresses: list[dict[str, Any]], facts: StoreFacts
) -> None:
    rows = []
    for place, values in enumerate(addresses):
        province, area_id = values.pop("address_province_code"), values.pop("address_area_id")
        try:
            area = find_address(facts.country_code, province, area_id)
        except Refusal as refusal:
            refusal.errors = {
                f"addresses.{place}.{name}": faults for name, faults in refusal.errors.items()
            }
            raise
        rows.append(CustomerAddress(customer=customer, area=area, **values))
    if rows and not any(row.is_default for row in rows):
        rows[0].is_default = True
    customer.addresses.all().delete()
    CustomerAddress.objects.bulk_create(rows)


@transaction.atomic
def anonymise(customer: Customer, actor: Actor, *, request: Any = None) -> None:
    """Forget who it was; the orders keep their own snapshots. Refused while one is open."""
    if any(has_open_order(customer.pk)):
        raise Conflict("open_orders", "The customer has an open order.")
    customer.addresses.all().delete()
    customer.name = DELETED_NAME
    customer.primary_phone = customer.secondary_phone = customer.email = customer.notes = None
    customer.tags = []
    customer.deleted_at = timezone.now()
    customer.version += 1
    customer.save()
    audit("customer.anonymised", actor=actor, request=request, target=customer.pk)
    announce(customer, "customer.deleted")


@transaction.atomic
def merge(source_id: UUID, target_id: UUID, actor: Actor, *, request: Any = None) -> Customer:
    """Move everything of one customer to another; the target keeps its phone."""
    if source_id == target_id:
        message = "Another customer than itself."
        raise Refusal("validation_error", message, intoCustomerId=[message])
    rows = {
        row.pk: row
        for row in Customer.objects.live()
        .of(actor.store_id)
        .filter(pk__in=[source_id, target_id])
        .order_by("pk")
        .select_for_update()
    }
    source, target = rows.get(source_id), rows.get(target_id)
    if target is None or source is None:
        message = "There is no such customer in this store."
        raise Refusal("not_found", message, intoCustomerId=[message])
    move_orders(source_id, target_id)
    source.addresses.update(customer=target, is_default=False)
    for counter in ("orders_count", "delivered_count", "refused_count", "returned_count"):
        setattr(target, counter, getattr(target, counter) + getattr(source, counter))
    target.total_spent += source.total_spent
    firsts = [row.first_order_at for row in (source, target) if row.first_order_at]
    lasts = [row.last_order_at for row in (source, target) if row.last_order_at]
    target.first_order_at = min(firsts, default=None)
    target.last_order_at = max(lasts, default=None)
    target.secondary_phone = target.secondary_phone or source.primary_phone
    target.email = target.email or source.email
    target.tags = sorted({*target.tags, *source.tags})[:20]
    target.version += 1
    source.deleted_at = timezone.now()
    source.primary_phone = None
    source.save()
    target.save()
    audit("customer.merged", actor=actor, request=request, target=source_id,
          changes={"into": str(target_id)})  # fmt: skip
    announce(target, "customer.updated")
    merged: Customer = target
    return merged


def count_order(customer_id: UUID, **changes: Any) -> bool:
    """Move a customer's counters by the given amounts, in one statement, which locks the row;
    whether there is one still: it may have been merged or deleted meanwhile."""
    known = Customer.objects.live().filter(pk=customer_id)
    return bool(known.update(**{name: F(name) + change for name, change in changes.items()}))


def announce(customer: Customer, event: str) -> None:
    emit(
        event,
        store_id=customer.store_id,
        subject_id=customer.pk,
        sequence=customer.version,
        data={"id": str(customer.pk)},
    )
