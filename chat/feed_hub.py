"""A hub whose groups are told what a part of the feed says.

The feed is the truth and Valkey only a wake-up: a hub reads the rows behind each connection's
cursor, at every wake-up that does not bring just these, and every two seconds besides.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
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

from chat import feed, hub_tokens
from chat.hub_tokens import BadToken, Principal
from chat.models import FeedEvent
from chat.signalr.hub import Event, Hub, HubError
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
BATCH = 500
PAUSE_EVERY = 8  # rows: far less than a queue holds
PATIENCE_SECONDS = 1.0  # how long those who read fast wait for those who do not
MOST_FAILED_JOINS = 5
WAKE: bytes = msgpack.packb({"wake": True})
API_KEY = re.compile(rb"st[kt]_[0-9A-Za-z]{16}\.[0-9A-Za-z]{46}")
# Channels' own would be one thread a process: what is checked would hold up what is told.
threads = ThreadPoolExecutor(3, thread_name_prefix="hub")


async def in_database(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    call = database_sync_to_async(function, thread_sensitive=False, executor=threads)
    result: R = await call(*args, **kwargs)
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
        head = (await in_database(self.heads, [group])).get(group, 0)
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
                await self.connection.drain()
                self.connection.send_event(self.event(row))
                cursor = row.seq
            if len(rows) < BATCH:
                return cursor

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
    def heads(cls, groups: Collection[str]) -> dict[str, int]:
        """The last number of each group; those of which nothing was told may be missing."""

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
        rows = feed.brought(UUID(group), message["rows"]) if message and "rows" in message else []
        with suppress(DatabaseError):  # the next look finds it
            await cls.deliver(group, members, rows)

    @classmethod
    async def deliver(
        cls, group: str, members: "Collection[Connection]", brought: list[FeedEvent]
    ) -> None:
        """Send each member the rows behind its cursor; every row is encoded once. Those that were
        brought are sent if nothing lies between."""
        while reading := [hub for hub in map(hub_of, members) if is_reading(hub)]:
            start = min(hub.cursor or 0 for hub in reading)
            if brought and brought[0].seq == start + 1:
                rows = brought
            else:
                rows = await in_database(cls.rows, group, start)
            patient_until = monotonic() + PATIENCE_SECONDS
            for place, row in enumerate(rows, 1):
                if place % PAUSE_EVERY == 0:
                    await cls.let_write(reading, patient_until)
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
    async def let_write(cls, reading: "list[FeedHub]", patient_until: float) -> None:
        """Let what is queued be written: much at once makes nobody a slow consumer."""
        await asyncio.sleep(0)
        full = [hub.connection.drain() for hub in reading if hub.connection.is_half_full()]
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, patient_until - monotonic())):
                await asyncio.gather(*full)

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
                await cls.look_at_all(server)
                if monotonic() - checked_at >= STANDING_SECONDS - POLL_SECONDS / 2:
                    await cls.check_standing(server)
                    checked_at = monotonic()
            except (DatabaseError, RedisError) as error:
                log.warning("hub_watch_waits", error=type(error).__name__)
            except Exception:
                log.exception("hub_watch_failed", hub=cls.name)

    @classmethod
    async def look_at_all(cls, server: "HubServer") -> None:
        """Wake the groups whose wake-up was lost."""
        quiet = {
            group.name: group
            for group in tuple(server.groups.values())
            if group.hub is cls and group.members and group.delivery is None
        }
        if not quiet:
            return
        heads = await in_database(cls.heads, quiet)
        for name, group in quiet.items():
            reading = [hub for hub in map(hub_of, group.members) if is_reading(hub)]
            if any((hub.cursor or 0) < heads.get(name, 0) for hub in reading):
                group.hear(WAKE)

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
