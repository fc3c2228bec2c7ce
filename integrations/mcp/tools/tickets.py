"""Support tickets: found, read, opened, answered, changed."""

from itertools import accumulate
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_ID,
    MAYBE_TIME,
    TEXT,
    TIME,
    UNTRUSTED,
    Input,
    Keyed,
    Paged,
    array,
    listing,
    obj,
    page,
    project,
    rows_of,
    wire_of,
)
from integrations.mcp.tools.catalog import check_version, flag
from storeplatform.kernel.errors import NotFound, Refusal
from storeplatform.kernel.permissions import check_grant
from tickets import services
from tickets.models import Ticket, TicketComment
from tickets.serializers import CommentSerializer, TicketSerializer
from tickets.views import TicketFilters

StatusName = Literal["open", "in_progress", "waiting_customer", "resolved", "closed"]
PriorityName = Literal["low", "medium", "high", "urgent"]
CategoryName = Literal[
    "orders", "inventory", "delivery", "payment", "billing", "technical", "account", "other"
]
ASSIGNEE = "A member's id, me or none."
MOST_COMMENTS, MOST_TEXT = 100, 100_000  # bytes of the comments together
SUMMARY = obj(
    id=ID, number=TEXT, subject=UNTRUSTED, status=TEXT, priority=TEXT, category=TEXT,
    assigned_user_id=MAYBE_ID, order_id=MAYBE_ID, customer_id=MAYBE_ID, due_at=MAYBE_TIME,
    overdue=BOOL, tags=array(TEXT), created_at=TIME, updated_at=TIME,
)  # fmt: skip
COMMENT = obj(id=ID, body=UNTRUSTED, is_internal=BOOL, author_name=UNTRUSTED, created_at=TIME)
TICKET = obj(
    **SUMMARY["properties"],
    description=UNTRUSTED,
    conversation_id=MAYBE_ID,
    first_response_at=MAYBE_TIME,
    resolved_at=MAYBE_TIME,
    reopen_count=INT,
    version=INT,
    comments=array(COMMENT),
)


class TicketSearch(Paged):
    query: str | None = Field(None, max_length=200, description="Words of number or text.")
    status: list[StatusName] | None = Field(None, max_length=5)
    priority: list[PriorityName] | None = Field(None, max_length=4)
    assignee: str | None = Field(None, max_length=40, description=ASSIGNEE)
    overdue: bool | None = None
    order_id: UUID | None = None
    customer_id: UUID | None = None


@tool(
    "Search tickets",
    "Support tickets, newest first, by status, priority, assignee, order, customer or words.",
    scopes="tickets:read",
    input=TicketSearch,
    output=listing(SUMMARY),
)
def search_tickets(principal: Principal, given: TicketSearch) -> dict[str, Any]:
    actor = principal.actor
    return page(
        actor,
        Ticket.objects.of(actor.store_id).live(),
        TicketSerializer,
        SUMMARY,
        given,
        filters=TicketFilters,
        query={
            "status": given.status,
            "priority": given.priority,
            "assignedUserId": given.assignee,
            "overdue": flag(given.overdue),
            "orderId": given.order_id,
            "customerId": given.customer_id,
        },
        words=given.query or "",
    )


class OneTicket(Input):
    id: UUID | None = None
    number: str | None = Field(None, max_length=24, description="TCK-12")


@tool(
    "Ticket",
    f"One ticket by id or number with its last {MOST_COMMENTS} comments, fewer when they are long, "
    "oldest first, and the version that update_ticket needs.",
    scopes="tickets:read",
    input=OneTicket,
    output=TICKET,
)
def get_ticket(principal: Principal, given: OneTicket) -> dict[str, Any]:
    if (given.id is None) == (given.number is None):
        raise Refusal("validation_error", "Give either id or number.")
    where = {"pk": given.id} if given.id else {"number__iexact": given.number}
    return ticket_of(principal, **where)


def ticket_of(principal: Principal, **where: Any) -> dict[str, Any]:
    actor = principal.actor
    mine = Ticket.objects.of(actor.store_id).live().filter(**where)
    found = rows_of(TicketSerializer, actor, mine)
    if not found:
        raise no_ticket()
    row = found[0][0]
    comments = TicketComment.objects.of(actor.store_id).filter(ticket=row["id"]).order_by("-id")
    latest = rows_of(CommentSerializer, actor, comments[:MOST_COMMENTS])
    lengths = accumulate(len(one["body"].encode()) for (one,) in latest)
    fitting = [one for (one,), length in zip(latest, lengths, strict=True) if length <= MOST_TEXT]
    row["comments"] = fitting[::-1]
    answer: dict[str, Any] = project(TICKET, row, actor.store.currency_code)
    return answer


def no_ticket() -> NotFound:
    return NotFound("not_found", "There is no such ticket; try search_tickets.")


def locked(principal: Principal, pk: UUID) -> Ticket:
    rows = Ticket.objects.of(principal.actor.store_id).live().select_for_update(of=("self",))
    found: Ticket | None = rows.filter(pk=pk).first()
    if found is None:
        raise no_ticket()
    return found


def read_values(principal: Principal, body: dict[str, Any], row: Ticket | None) -> dict[str, Any]:
    """What REST would read of the same body."""
    actor = principal.actor
    serializer = TicketSerializer(
        row,
        data=body,
        partial=row is not None,
        context={"store": actor.store, "grants": actor.grants},
    )
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class NewTicket(Keyed):
    subject: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=20_000)
    priority: PriorityName = "medium"
    category: CategoryName = "other"
    assigned_user_id: UUID | None = None
    order_id: UUID | None = None
    customer_id: UUID | None = None
    conversation_id: UUID | None = None
    due_at: AwareDatetime | None = None
    tags: list[str] | None = Field(None, max_length=20)


@tool(
    "Open a ticket",
    "Opens a support ticket for people of the store to look after.",
    scopes="tickets:write",
    input=NewTicket,
    output=TICKET,
    writes=True,
    prepare=lambda principal, given: services.ticket_number(principal.actor.store_id),
)
def create_ticket(principal: Principal, given: NewTicket, number: str) -> dict[str, Any]:
    actor = principal.actor
    check_grant(actor, "tickets.create")
    values = read_values(principal, wire_of(given), None)
    made = services.save_ticket(actor, Ticket(number=number), values)
    return ticket_of(principal, pk=made.pk)


class Reply(Keyed):
    id: UUID
    text: str = Field(min_length=1, max_length=20_000)
    is_internal: bool = Field(False, description="A note for colleagues, not an answer.")


@tool(
    "Answer a ticket",
    "Adds an answer to a ticket, or with is_internal a note for colleagues.",
    scopes="tickets:write",
    input=Reply,
    output=COMMENT,
    writes=True,
)
def reply_to_ticket(principal: Principal, given: Reply) -> dict[str, Any]:
    actor = principal.actor
    ticket = locked(principal, given.id)
    made = services.comment(actor, ticket, body=given.text, is_internal=given.is_internal)
    row = rows_of(CommentSerializer, actor, TicketComment.objects.filter(pk=made.pk))[0][0]
    answer: dict[str, Any] = project(COMMENT, row, actor.store.currency_code)
    return answer


class TicketChange(Input):
    id: UUID
    version: int = Field(ge=1, description="The version that get_ticket gave.")
    status: StatusName | None = None
    priority: PriorityName | None = None
    category: CategoryName | None = None
    assigned_user_id: UUID | None = Field(
        None, description="A member; 00000000-0000-0000-0000-000000000000 is nobody."
    )
    due_at: AwareDatetime | None = None
    tags: list[str] | None = Field(None, max_length=20, description="Replaces all tags.")


@tool(
    "Change a ticket",
    "Changes a ticket's status, priority, category, assignee, due time or tags.",
    scopes="tickets:write",
    input=TicketChange,
    output=TICKET,
    writes=True,
)
def update_ticket(principal: Principal, given: TicketChange) -> dict[str, Any]:
    ticket = locked(principal, given.id)
    check_version(ticket, given.version)
    body = wire_of(given)
    del body["id"], body["version"]
    services.save_ticket(principal.actor, ticket, read_values(principal, body, ticket))
    return ticket_of(principal, pk=ticket.pk)
