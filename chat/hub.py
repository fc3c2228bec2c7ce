"""The two hubs: the team's inbox and the visitor's widget (platform.md, section 8.4).

The feed is the truth and Valkey only a wake-up: a hub reads the rows behind each connection's
cursor, at every wake-up and every two seconds besides.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar
from uuid import UUID

import msgpack
import orjson
import structlog
from channels.db import database_sync_to_async
from django.db import DatabaseError
from redis.exceptions import RedisError

from chat import feed, hub_tokens, presence
from chat.hub_tokens import BadToken, Principal
from chat.models import Channel, Conversation, FeedEvent, Message
from chat.reading import mark_read, note_delivery
from chat.signalr.hub import Event, Hub, HubError, method
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.parsing import dumps
from storeplatform.kernel.tenancy import Actor

if TYPE_CHECKING:
    from chat.signalr.connection import Connection
    from chat.signalr.server import HubServer

log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

POLL_SECONDS = 2.0
STANDING_SECONDS = 3.0  # how old our knowledge of a principal may be
AUTHORISED_FOR = timedelta(minutes=60)
EXPIRY_NOTICE = timedelta(minutes=5)
MOST_REPLAYED = 1000
BATCH = 500
MOST_FAILED_JOINS = 5
WAKE: bytes = msgpack.packb({"wake": True})
API_KEY = re.compile(rb"st[kt]_[0-9A-Za-z]{16}\.[0-9A-Za-z]{46}")


async def in_database(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    result: R = await database_sync_to_async(function)(*args, **kwargs)
    return result


def now() -> datetime:
    return datetime.now(UTC)


class FeedHub(Hub, ABC):
    """A hub whose groups are told what a part of the feed says."""

    join_seconds = 30
    forbidden = API_KEY
    watched: ClassVar["set[HubServer]"]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.watched = set()

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self.principal: Principal | None = None
        self.actor: Actor | None = None
        self.group = ""
        self.cursor: int | None = None  # None while the connection catches up
        self.authorised_until = now()
        self.is_warned = False
        self.failed_joins = 0

    # The edge

    @classmethod
    async def check_credential(cls, credential: str) -> bool:
        if API_KEY.search(credential.encode(errors="replace")):
            await in_database(report, credential, "")
            return False
        return await asyncio.to_thread(hub_tokens.is_known, credential)

    @classmethod
    async def exposed(cls, held: bytes, address: str) -> None:
        await in_database(report, held.decode(errors="replace"), address)

    # Joining

    async def take(self, token: str) -> Principal:
        """The principal of a token, which is used up. The fifth bad one ends the connection."""
        try:
            return await self.read_token(token)
        except BadToken as bad:
            raise self.failed_join(bad.code, "Ask for a new token.") from None
        except RedisError:
            raise HubError("unavailable", "Tokens cannot be checked just now.") from None

    def failed_join(self, code: str, text: str) -> HubError:
        self.failed_joins += 1
        if self.failed_joins >= MOST_FAILED_JOINS:
            self.connection.close(code)
        return HubError(code, text)

    async def read_token(self, token: str) -> Principal:
        return await asyncio.to_thread(hub_tokens.take, token)

    async def authorise(self, token: str) -> Principal:
        """Take a token for this hub and remember what its principal may do."""
        principal = await self.take(token)
        actor = await in_database(hub_tokens.standing, principal)
        if actor is None or not self.is_welcome(actor):
            raise self.failed_join("invalid_hub_token", "Its holder may not join.")
        await self.take_places(principal)
        if self.principal not in (None, principal):
            await self.part(principal)
        self.principal, self.actor = principal, actor
        self.authorised_until, self.is_warned = now() + AUTHORISED_FOR, False
        return principal

    async def take_places(self, principal: Principal) -> None:
        for count, most in self.places_of(principal).items():
            if not await self.connection.take_place(count, most):
                raise HubError("too_many_connections", "Close another connection first.")

    def places_of(self, principal: Principal) -> dict[str, int]:
        settings = self.connection.server.settings
        return {
            f"principal:{principal.name}": settings.principal_connections,
            f"store:{principal.store_id}": settings.store_connections,
        }

    async def part(self, successor: Principal) -> None:
        """Give up what was held for the principal that another follows on this connection."""
        assert self.principal
        for count in self.places_of(self.principal).keys() - self.places_of(successor).keys():
            self.connection.give_back_place(count)

    @abstractmethod
    def is_welcome(self, actor: Actor) -> bool: ...

    async def enter(self, group: str, cursor: int | None) -> bool:
        """Join a group from a cursor on, or from now on. False when what follows the cursor is
        too much or is no longer kept."""
        self.leave()
        await self.connection.join(group)
        self.group = group
        self.watch()
        head = await in_database(self.head, group)
        is_whole = True
        start = head
        if cursor is not None:
            # What lies beyond the end was told before the feed was restored: it is not this feed's.
            caught_up = await self.replay(group, cursor, head) if cursor <= head else None
            is_whole = caught_up is not None
            start = head if caught_up is None else caught_up
        self.cursor = start
        self.connection.joined = True
        self.wake(group)
        return is_whole

    async def replay(self, group: str, cursor: int, head: int) -> int | None:
        """Send what follows a cursor; the new one. None: too much, or no longer kept."""
        if await in_database(self.is_beyond, group, cursor, head):
            return None
        while True:
            rows = await in_database(self.rows, group, cursor)
            for row in rows:
                self.connection.send_event(self.event(row))
                cursor = row.seq
            if len(rows) < BATCH:
                return cursor
            await self.connection.drain()

    def leave(self) -> None:
        if self.group:
            self.connection.leave(self.group)
        self.group, self.cursor = "", None

    def require(self) -> Actor:
        if self.actor is None or not self.group:
            raise HubError("not_joined", "Join first.")
        return self.actor

    async def carry_out(self, service: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A service's result, or its refusal as the caller is told it."""
        try:
            return await in_database(service, *args, **kwargs)
        except Refusal as refusal:
            raise HubError(refusal.code, refusal.message) from None

    # Reading the feed

    @classmethod
    @abstractmethod
    def head(cls, group: str) -> int: ...

    @classmethod
    @abstractmethod
    def rows(cls, group: str, after: int) -> list[FeedEvent]: ...

    @classmethod
    @abstractmethod
    def is_beyond(cls, group: str, cursor: int, head: int) -> bool: ...

    @classmethod
    @abstractmethod
    def event(cls, row: FeedEvent) -> Event: ...

    @classmethod
    def passing(cls, told: dict[str, Any]) -> Event:
        """An event that stands in no feed."""
        return Event(told["type"], told)

    @classmethod
    async def heard(cls, group: str, message: Any, members: "Collection[Connection]") -> None:
        if message and "event" in message:
            event = cls.passing(message["event"])
            for member in members:
                if hub_of(member).cursor is not None:
                    member.send_event(event)
            return
        with suppress(DatabaseError):  # the next look finds it
            await cls.deliver(group, members)

    @classmethod
    async def deliver(cls, group: str, members: "Collection[Connection]") -> None:
        """Send each member the rows behind its cursor; every row is encoded once."""
        while reading := [hub for hub in map(hub_of, members) if is_reading(hub)]:
            start = min(hub.cursor or 0 for hub in reading)
            rows = await in_database(cls.rows, group, start)
            for row in rows:
                event = cls.event(row)
                for hub in reading:
                    # Joined elsewhere or caught up meanwhile: its own cursor decides.
                    if hub.group == group and hub.cursor is not None and hub.cursor < row.seq:
                        hub.connection.send_event(event)
                        hub.cursor = row.seq
            if rows:
                await cls.sent(group, rows)
            if len(rows) < BATCH:
                return
            await asyncio.sleep(0)

    @classmethod
    async def sent(cls, group: str, rows: list[FeedEvent]) -> None:
        """These rows were written to the members' queues."""

    def wake(self, group: str) -> None:
        for one in self.connection.server.groups.values():
            if one.name == group and one.hub is type(self):
                one.hear(WAKE)

    # Watching over what joined

    def watch(self) -> None:
        server = self.connection.server
        if server not in self.watched:
            self.watched.add(server)
            server.spawn(self.keep_watch(server))

    @classmethod
    async def keep_watch(cls, server: "HubServer") -> None:
        """Look at the feed when wake-ups fail, and at who may still be here."""
        checked_at = monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                for group in tuple(server.groups.values()):
                    if group.hub is cls and group.members and group.delivery is None:
                        group.hear(WAKE)
                if monotonic() - checked_at >= STANDING_SECONDS - POLL_SECONDS / 2:
                    await cls.check_standing(server)
                    checked_at = monotonic()
            except (DatabaseError, RedisError) as error:
                log.warning("hub_watch_waits", error=type(error).__name__)
            except Exception:
                log.exception("hub_watch_failed", hub=cls.name)

    @classmethod
    async def check_standing(cls, server: "HubServer") -> None:
        """Close what lost its key, sign-in, membership or scope, and warn of the hour's end."""
        joined: dict[Principal, list[FeedHub]] = {}
        for connection in tuple(server.connections.values()):
            hub = connection.hub
            if isinstance(hub, cls) and hub.principal is not None and hub.group:
                joined.setdefault(hub.principal, []).append(hub)
        if not joined:
            return
        actors = await in_database(standings, list(joined))
        for principal, hubs in joined.items():
            actor = actors[principal]
            for hub in hubs:
                if actor is None or not hub.is_welcome(actor):
                    hub.connection.close("access_revoked")
                else:
                    hub.actor = actor
                    hub.mind_the_hour()

    def mind_the_hour(self) -> None:
        left = self.authorised_until - now()
        if left <= timedelta():
            self.connection.close("authorisation_expired", allow_reconnect=True)
        elif left <= EXPIRY_NOTICE and not self.is_warned and self.principal:
            self.is_warned = True
            expires = {"expiresAt": self.authorised_until}
            told = feed.envelope("TokenExpiring", self.principal.store_id, None, expires)
            self.connection.send("TokenExpiring", told)


def hub_of(connection: "Connection") -> FeedHub:
    hub = connection.hub
    assert isinstance(hub, FeedHub)
    return hub


def is_reading(hub: FeedHub) -> bool:
    return hub.cursor is not None and not hub.connection.is_closing


def standings(principals: Iterable[Principal]) -> dict[Principal, Actor | None]:
    return {principal: hub_tokens.standing(principal) for principal in principals}


def report(text: str, address: str) -> None:
    hub_tokens.key_exposed(text, address)


def primitives(value: Any) -> Any:
    """As JSON has it, so that both encodings carry the same."""
    return orjson.loads(dumps(value))


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
    def head(cls, group: str) -> int:
        return feed.head_of(UUID(group))

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


# The visitor's side

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
    def head(cls, group: str) -> int:
        rows = FeedEvent.objects.filter(visitor_id=group).order_by("-seq")
        return rows.values_list("seq", flat=True).first() or 0

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
