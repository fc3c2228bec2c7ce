"""What happens to tickets: owners, the clock, history, deleting and bringing back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.stores.models import Membership
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, Refusal
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.parsing import plain
from storeplatform.kernel.serializers import camel
from storeplatform.kernel.tenancy import Actor
from tickets.models import DONE, Status, Ticket, TicketComment, TicketEvent

RESTORABLE = timedelta(days=30)
UNASSIGNED = UUID(int=0)


def ticket_number(store_id: UUID) -> str:
    """The next TCK number, taken outside the ticket's transaction."""
    return f"TCK-{take_numbers(store_id, 'ticket')[0]}"


@transaction.atomic
def save_ticket(actor: Actor, ticket: Ticket, values: dict[str, Any]) -> Ticket:
    """Create a ticket or change a locked one. The owner is the caller's store, whatever was sent.
    Raises Refusal for an assignee who is no active member."""
    created = ticket._state.adding
    before = {} if created else {name: getattr(ticket, name) for name in values}
    if values.get("assigned_user_id") == UNASSIGNED:
        values["assigned_user_id"] = None
    if values.get("assigned_user_id") != ticket.assigned_user_id:
        check_member(actor.store_id, values.get("assigned_user_id"))
    was = ticket.status
    for name, value in values.items():
        setattr(ticket, name, value)
    keep_time(ticket, was, due_changed="due_at" in values)
    if created:
        ticket.store_id, ticket.created_by_user_id = actor.store_id, actor.user_id
    else:
        ticket.version += 1
    ticket.save()
    changes = {
        camel(name): [as_text(old), as_text(getattr(ticket, name))]
        for name, old in before.items()
        if old != getattr(ticket, name)
    }
    record(actor, ticket, "created" if created else "updated", changes)
    return ticket


def check_member(store_id: UUID, user_id: UUID | None) -> None:
    if user_id is None:
        return
    members = Membership.objects.filter(
        store_id=store_id, user_id=user_id, status=Membership.Status.ACTIVE
    )
    if not members.exists():
        message = "Not an active member of this store."
        raise Refusal("validation_error", message, assignedUserId=[message])


def keep_time(ticket: Ticket, was: str, *, due_changed: bool) -> None:
    """What the change of status means for the ticket's times."""
    now = timezone.now()
    if was == Status.WAITING_CUSTOMER and ticket.waiting_since and ticket.due_at:
        if not due_changed:
            ticket.due_at += now - ticket.waiting_since
        ticket.waiting_since = now
    if ticket.status == Status.WAITING_CUSTOMER:
        ticket.waiting_since = ticket.waiting_since or now
    else:
        ticket.waiting_since = None
    if was in DONE and ticket.status not in DONE:
        ticket.reopen_count += 1
        ticket.resolved_at = None
    if ticket.status != Status.CLOSED:
        ticket.closed_at = None
    if ticket.status in DONE:
        ticket.resolved_at = ticket.resolved_at or now
    if ticket.status == Status.CLOSED:
        ticket.closed_at = ticket.closed_at or now


def as_text(value: Any) -> Any:
    """A value as history shows it."""
    if value is None or isinstance(value, str | int | list):
        return value
    return str(value.pk) if hasattr(value, "pk") else plain(value)


def record(actor: Actor, ticket: Ticket, action: str, changes: dict[str, Any]) -> None:
    TicketEvent.objects.create(
        store_id=ticket.store_id,
        ticket=ticket,
        action=action,
        changes=changes,
        actor_type=actor.kind,
        actor_id=actor.id,
        actor_name=actor.label[:200],
    )
    told = "updated" if action in ("restored", "commented") else action
    emit(
        f"ticket.{told}",
        store_id=ticket.store_id,
        subject_id=ticket.pk,
        sequence=ticket.version,
        data={
            "id": str(ticket.pk),
            "number": ticket.number,
            "subject": ticket.subject,
            "status": ticket.status,
            "priority": ticket.priority,
            "category": ticket.category,
            "assignedUserId": as_text(ticket.assigned_user_id and str(ticket.assigned_user_id)),
            "changed": sorted(changes),
        },
    )


@transaction.atomic
def delete_ticket(actor: Actor, ticket: Ticket, request: Any = None) -> None:
    """It can be brought back for thirty days."""
    ticket.deleted_at = timezone.now()
    save(ticket, "deleted_at")
    record(actor, ticket, "deleted", {})
    audit("ticket.deleted", actor=actor, request=request, target=ticket.number)


@transaction.atomic
def restore_ticket(actor: Actor, ticket: Ticket) -> Ticket:
    """Raises Conflict when it was not deleted, or too long ago."""
    if ticket.deleted_at is None:
        raise Conflict("not_deleted", "This ticket was not deleted.")
    if timezone.now() - ticket.deleted_at > RESTORABLE:
        raise Conflict("restore_expired", "It was deleted more than thirty days ago.")
    ticket.deleted_at = None
    save(ticket, "deleted_at")
    record(actor, ticket, "restored", {})
    return ticket


@transaction.atomic
def comment(actor: Actor, ticket: Ticket, *, body: str, is_internal: bool) -> TicketComment:
    """Say something about a locked ticket. The first word to the customer is the response."""
    made: TicketComment = TicketComment.objects.create(
        store_id=ticket.store_id,
        ticket=ticket,
        body=body,
        is_internal=is_internal,
        author_user_id=actor.user_id,
        author_name=actor.label[:200],
    )
    if not is_internal and ticket.first_response_at is None:
        ticket.first_response_at = made.created_at
    save(ticket, "first_response_at")
    record(actor, ticket, "commented", {})
    return made


def save(ticket: Ticket, *fields: str) -> None:
    ticket.version += 1
    ticket.save(update_fields=[*fields, "version", "updated_at"])


def unassign_member(actor: Actor, user_id: UUID) -> None:
    """Somebody leaves the store: the open tickets go back to the others."""
    mine = Ticket.objects.of(actor.store_id).open().filter(assigned_user_id=user_id)
    for ticket in mine.order_by("pk").select_for_update(of=("self",)):
        save_ticket(actor, ticket, {"assigned_user_id": None})
