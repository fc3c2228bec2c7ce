"""The two hubs: the team's inbox and the visitor's widget (platform.md, section 8.4)."""

import asyncio
from collections.abc import Collection
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

from redis.exceptions import RedisError

from chat import feed, hub_tokens, presence
from chat.feed_hub import AUTHORISED_FOR, BATCH, FeedHub, in_database, now, primitives
from chat.hub_tokens import BadToken, Principal
from chat.models import Channel, Conversation, FeedEvent, FeedHead, Message
from chat.reading import mark_read, note_delivery
from chat.signalr.hub import Event, Hub, HubError, method
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.tenancy import Actor

if TYPE_CHECKING:
    from chat.signalr.connection import Connection

MOST_REPLAYED = 1000
LAST_OF_VISITORS = """
SELECT visitor_id::text, last.seq FROM unnest(%s::uuid[]) AS wanted (visitor_id)
CROSS JOIN LATERAL (
  SELECT seq FROM chat_feedevent told WHERE told.visitor_id = wanted.visitor_id
  ORDER BY seq DESC LIMIT 1
) last
"""


class StoreConversationsHub(FeedHub):
    """The team's inbox: one group a store, named by the token alone."""

    name = feed.STORE_HUB

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self.viewing: str | None = None

    def is_welcome(self, actor: Actor) -> bool:
        return actor.kind != "visitor" and (actor.may("chat.read") or actor.may("messaging:read"))

    def may_write(self, actor: Actor, permission: str) -> None:
        if not (actor.may(permission) or actor.may("messaging:write")):
            scope = "messaging:write" if actor.kind == "api_key" else permission
            raise HubError("missing_scope", f"{scope} is needed.")

    async def part(self, successor: Principal) -> None:
        if self.group:
            await self.tell_presence("offline")
        self.viewing = None
        await super().part(successor)

    @method("JoinStore")
    async def join_store(self, token: str) -> dict[str, Any]:
        return await self.join(token, None)

    @method("JoinStoreFrom")
    async def join_store_from(self, token: str, cursor: str | int | None) -> dict[str, Any]:
        text = str(cursor if cursor is not None else "")
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise HubError("invalid_cursor", "The cursor of an event or of a join.")
        return await self.join(token, int(text))

    async def join(self, token: str, cursor: int | None) -> dict[str, Any]:
        principal = await self.authorise(token)
        is_whole = await self.enter(str(principal.store_id), cursor)
        await self.tell_presence("online")
        answer = self.shown_authority()
        return answer if is_whole else answer | {"resyncRequired": True}

    def shown_authority(self) -> dict[str, Any]:
        actor = self.require()
        chat = sorted(name for name in actor.grants if name.startswith(("chat.", "messaging:")))
        values: dict[str, Any] = primitives(
            {
                "storeId": actor.store_id,
                "cursor": str(self.cursor or 0),
                "scopes": chat,
                "expiresAt": self.authorised_until,
            }
        )
        return values

    @method("Renew")
    async def renew(self, token: str) -> dict[str, Any]:
        """Another hour, for the same principal."""
        self.require()
        before = self.principal
        principal = await self.take(token)
        if principal != before:
            raise HubError("invalid_hub_token", "It is another's; join with it instead.")
        self.authorised_until, self.is_warned = now() + AUTHORISED_FOR, False
        return self.shown_authority()

    @method("LeaveStore")
    async def leave_store(self) -> None:
        if self.group:
            await self.tell_presence("offline")
        self.leave()
        self.connection.joined = False
        self.connection.opened_at = monotonic()

    @method("Typing")
    async def typing(self, conversation_id: str, is_typing: bool) -> None:
        actor = self.require()
        self.may_write(actor, "chat.reply")
        await self.carry_out(type_in, actor, conversation_id, is_typing)

    @method("MarkRead")
    async def mark_read(self, conversation_id: str, up_to_seq: int) -> dict[str, Any]:
        actor = self.require()
        self.may_write(actor, "chat.read")
        cursors = await self.carry_out(
            read_in, actor, conversation_id, up_to_seq, actor.kind == "user"
        )
        values: dict[str, Any] = primitives(cursors)
        return values

    @method("Viewing")
    async def viewing_now(self, conversation_id: str | None) -> None:
        """Which conversation is looked at, so that two people do not answer at once."""
        actor = self.require()
        if conversation_id is not None:
            await self.carry_out(find_conversation, actor, conversation_id)
        self.viewing = conversation_id
        await self.tell_presence("online", is_news=True)

    async def tell_presence(self, status: str, *, is_news: bool = False) -> None:
        """At most once, and, unless there is other news, only of the principal's first connection
        that comes and the last that leaves."""
        if self.principal is None or self.actor is None:
            return
        try:
            is_edge = await asyncio.to_thread(
                presence.note_presence,
                self.principal,
                self.connection.id,
                is_here=status == "online",
            )
            if not (is_edge or is_news):
                return
            data = {
                "principalType": self.principal.kind,
                "principalId": self.principal.id,
                "name": self.actor.label,
                "status": status,
                "viewing": self.viewing if status == "online" else None,
            }
            told = feed.envelope("PresenceChanged", self.principal.store_id, None, data)
            await self.connection.server.publish(type(self), self.group, {"event": told})
        except RedisError:
            return

    async def disconnected(self) -> None:
        if self.principal is not None:
            self.group = self.group or str(self.principal.store_id)
            await self.tell_presence("offline")

    @classmethod
    def heads(cls, groups: Collection[str]) -> dict[str, int]:
        rows = FeedHead.objects.filter(pk__in=map(UUID, groups))
        return {str(store_id): seq for store_id, seq in rows.values_list("pk", "seq")}

    @classmethod
    def rows(cls, group: str, after: int) -> list[FeedEvent]:
        rows = FeedEvent.objects.filter(store_id=group, seq__gt=after)
        return list(rows.order_by("seq")[:BATCH])

    @classmethod
    def is_beyond(cls, group: str, cursor: int, head: int) -> bool:
        if head - cursor > MOST_REPLAYED:
            return True
        if head == cursor:
            return False
        return not FeedEvent.objects.filter(store_id=group, seq=cursor + 1).exists()

    @classmethod
    def event(cls, row: FeedEvent) -> Event:
        return Event(row.type, primitives(feed.shown(row)))


def identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refusal("not_found", "There is no such conversation here.") from None


def find_conversation(actor: Actor, conversation_id: str) -> Conversation:
    rows = Conversation.objects.of(actor.store_id).filter(pk=identifier(conversation_id))
    if actor.kind == "visitor":
        rows = rows.filter(visitor=actor.id)
    found: Conversation | None = rows.first()
    if found is None:
        raise Refusal("not_found", "There is no such conversation here.")
    return found


def type_in(actor: Actor, conversation_id: str, is_typing: bool) -> None:
    presence.note_typing(actor, find_conversation(actor, conversation_id), is_typing=is_typing)


def read_in(actor: Actor, conversation_id: str, up_to: int, visible: bool) -> dict[str, Any]:
    conversation = find_conversation(actor, conversation_id)
    if not 0 <= up_to < 2**31:
        raise Refusal("validation_error", "A message's seq.")
    return mark_read(actor, conversation.pk, up_to, visible=visible)


PUBLIC_NAMES = {
    "NewCustomerMessage": "MessageReceived",
    "MessageSent": "MessageReceived",
    "MessageUpdated": "MessageReceived",
    "MessageDeleted": "MessageReceived",
    "MessagesRead": "MessagesRead",
    "TypingChanged": "TypingChanged",
}
NOT_FOR_VISITORS = frozenset({"senderId", "reader", "private"})


class WidgetChatHub(FeedHub):
    """A visitor's own conversations: one group a visitor. An event that changes a message comes
    as `MessageReceived` again, with the same id."""

    name = feed.VISITOR_HUB

    @classmethod
    async def allows_origin(cls, origin: str) -> bool:
        rows = Channel.objects.filter(is_enabled=True, allowed_origins__contains=[origin.lower()])
        return await in_database(rows.exists)

    @classmethod
    async def check_credential(cls, credential: str) -> bool:
        """Only a hub token may be presented outside a frame."""
        return await super().check_credential(credential)

    def is_welcome(self, actor: Actor) -> bool:
        return actor.kind == "visitor"

    async def read_token(self, token: str) -> Principal:
        if token.startswith(hub_tokens.PREFIX):
            return await super().read_token(token)
        principal = await in_database(hub_tokens.principal_of_visitor, token)
        if principal is None:
            raise BadToken("invalid_hub_token")
        return principal

    @method("JoinSession")
    async def join_session(self, token: str) -> dict[str, Any]:
        """With the visitor token, or with a token of `/widget/hub-token`."""
        principal = await self.authorise(token)
        await self.enter(principal.id, None)
        values: dict[str, Any] = primitives(
            {"visitorId": principal.id, "expiresAt": self.authorised_until}
        )
        return values

    async def authorise(self, token: str) -> Principal:
        principal = await super().authorise(token)
        self.connection.give_back_place(f"store:{principal.store_id}")  # the team's alone
        return principal

    @method("Typing")
    async def typing(self, conversation_id: str, is_typing: bool) -> None:
        await self.carry_out(type_in, self.require(), conversation_id, is_typing)

    @method("MarkRead")
    async def mark_read(self, conversation_id: str, up_to_seq: int) -> None:
        actor = self.require()
        await self.carry_out(read_in, actor, conversation_id, up_to_seq, True)

    @classmethod
    def heads(cls, groups: Collection[str]) -> dict[str, int]:
        with prepared() as cursor:
            cursor.execute(LAST_OF_VISITORS, [list(groups)])
            return dict(cursor.fetchall())

    @classmethod
    def rows(cls, group: str, after: int) -> list[FeedEvent]:
        rows = FeedEvent.objects.filter(visitor_id=group, seq__gt=after)
        return list(rows.order_by("seq")[:BATCH])

    @classmethod
    def is_beyond(cls, group: str, cursor: int, head: int) -> bool:
        return False

    @classmethod
    def event(cls, row: FeedEvent) -> Event:
        return Event(PUBLIC_NAMES[row.type], public(primitives(feed.shown(row))))

    @classmethod
    def passing(cls, told: dict[str, Any]) -> Event:
        return Event(told["type"], public(told))

    @classmethod
    async def sent(cls, group: str, rows: list[FeedEvent]) -> None:
        """What is written to a joined visitor has been delivered."""
        ids = [row.data["id"] for row in rows if row.type == "MessageSent"]
        if ids:
            await in_database(note_delivery, Message.objects.filter(pk__in=ids))


def public(told: dict[str, Any]) -> dict[str, Any]:
    """An event without what is the store's own: ids of staff, the store, the feed's cursor."""
    data = told["data"]
    is_own = data.get("senderType") == "visitor"
    hidden = NOT_FOR_VISITORS - {"senderId"} if is_own else NOT_FOR_VISITORS
    return {
        "type": PUBLIC_NAMES.get(told["type"], told["type"]),
        "occurredAt": told["occurredAt"],
        "conversationId": told["conversationId"],
        "data": {name: value for name, value in data.items() if name not in hidden},
    }


HUBS: list[type[Hub]] = [StoreConversationsHub, WidgetChatHub]
