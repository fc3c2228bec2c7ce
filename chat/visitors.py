"""Who writes to the store: named by a program, linked to a customer, blocked, forgotten."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat import events, feed
from chat.models import Conversation, Message, Visitor, VisitorSession
from store_modules.customers.models import Customer
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Denied, refuse
from storeplatform.kernel.tenancy import Actor


def visitor_of(actor: Actor, given: dict[str, Any]) -> Visitor:
    """The visitor that a program names by id or externalId; a new one when it is unknown."""
    store_id = actor.store_id
    wanted = {name: given[name] for name in ("name", "phone", "email") if given.get(name)}
    if given.get("id"):
        visitor: Visitor | None = Visitor.objects.of(store_id).filter(pk=given["id"]).first()
        if visitor is None:
            message = "There is no such visitor in this store."
            raise refuse("visitor.id", "not_found", message)
        return visitor
    if not given.get("external_id"):
        created: Visitor = Visitor.objects.create(store_id=store_id, **wanted)
        return created
    visitor, _ = Visitor.objects.get_or_create(
        store_id=store_id, external_id=given["external_id"], defaults=wanted
    )
    return visitor


def blocked() -> Denied:
    return Denied("visitor_blocked", "This visitor may not write.")


def refuse_blocked(actor: Actor) -> None:
    if actor.kind == "visitor" and (
        Visitor.objects.filter(pk=actor.id, blocked_at__isnull=False).exists()
    ):
        raise blocked()


def customer_of(visitor: Visitor) -> UUID | None:
    """The customer with the visitor's phone; only somebody who was vouched for is linked."""
    if visitor.customer_id or visitor.verified == Visitor.Verified.NONE or not visitor.phone:
        return visitor.customer_id
    found: UUID | None = (
        Customer.objects.of(visitor.store_id)
        .live()
        .filter(primary_phone=visitor.phone)
        .values_list("pk", flat=True)
        .first()
    )
    return found


@transaction.atomic
def block_visitor(actor: Actor, visitor: Visitor, *, blocked: bool) -> Visitor:
    """A blocked visitor cannot write and leaves the hub."""
    visitor.blocked_at = timezone.now() if blocked else None
    visitor.version += 1
    visitor.save(update_fields=["blocked_at", "version", "updated_at"])
    audit("chat.visitor_blocked" if blocked else "chat.visitor_unblocked", actor=actor,
          target=visitor.pk)  # fmt: skip
    return visitor


@transaction.atomic
def erase_visitor(actor: Actor, visitor: Visitor) -> None:
    """Forget who it was. What was said stays, without a name; the browser's token ends."""
    visitor.name = visitor.email = visitor.phone = visitor.external_id = visitor.locale = None
    visitor.metadata, visitor.customer_id = {}, None
    visitor.verified = Visitor.Verified.NONE
    visitor.version += 1
    visitor.save()
    conversations = Conversation.objects.filter(visitor=visitor)
    Message.objects.filter(
        conversation__in=conversations, sender_type=Message.Sender.VISITOR
    ).update(sender_name=None)
    conversations.update(metadata={}, page_url=None, referrer=None, customer=None)
    VisitorSession.objects.filter(visitor=visitor).delete()
    audit("chat.visitor_erased", actor=actor, target=visitor.pk)
    found = list(conversations.order_by("pk"))
    feed.forget_visitor(actor.store_id, [conversation.pk for conversation in found])
    told = [events.of_conversation("ConversationUpdated", actor, one) for one in found]
    feed.tell(actor.store_id, *told)


def purge_sessions() -> int:
    gone, _ = VisitorSession.objects.filter(expires_at__lt=timezone.now()).delete()
    return gone
