"""What reaches every process: one Redis subscription each, shared by all groups and relays."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgpack
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from chat.signalr.hub import Hub
from chat.signalr.protocol import plain

if TYPE_CHECKING:
    from chat.signalr.connection import Connection

log = structlog.get_logger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
RECONNECT_SECONDS = 0.5
CONFIRM_SECONDS = 2


def to_group(hub: str, group: str, message: Any) -> tuple[str, bytes]:
    """Channel and bytes that carry a message to a group: `client.publish(*to_group(…))` with any
    Redis client, a blocking one as well."""
    return channel_of(hub, group), msgpack.packb(plain(message))


def event_to_group(hub: str, group: str, event: str, *arguments: Any) -> tuple[str, bytes]:
    """As `to_group`, for a hub whose `heard` is the default: every member is sent the event."""
    return to_group(hub, group, {"event": event, "arguments": arguments})


def channel_of(hub: str, group: str) -> str:
    return f"hub:group:{hub}:{group}"


class Bus:
    """The subscription, and plain commands beside it."""

    def __init__(self, url: str, spawn: Spawn) -> None:
        # The subscription blocks for as long as nothing is published: no socket timeout.
        self.subscriber = redis.asyncio.Redis.from_url(
            url, socket_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=16, timeout=2, socket_timeout=2, socket_connect_timeout=2
        )
        self.commands = redis.asyncio.Redis(connection_pool=pool)
        self.spawn = spawn
        self.listeners: dict[str, Callable[[bytes | None], None]] = {}
        self.confirmed: dict[str, asyncio.Event] = {}
        self.pubsub: Any = None
        self.lock = asyncio.Lock()  # what subscribes and unsubscribes does so in order

    async def publish(self, channel: str, data: bytes) -> int:
        """How many processes hear it. Raises RedisError."""
        return int(await self.commands.publish(channel, data))

    async def subscribe(self, channel: str, listener: Callable[[bytes | None], None]) -> None:
        """Returns when nothing published from now on is missed. The listener gets each message,
        and None after a gap. Raises RedisError when the broker is away; it is then subscribed as
        soon as the broker is back."""
        self.listeners[channel] = listener
        confirmed = self.confirmed.setdefault(channel, asyncio.Event())
        async with self.lock:
            if self.pubsub is not None and not confirmed.is_set():
                await self.pubsub.subscribe(channel)
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await confirmed.wait()
        except TimeoutError:
            confirmed.set()  # so that the listener learns of the gap
            raise RedisError("The subscription was not confirmed.") from None

    async def unsubscribe(self, channel: str) -> None:
        """Raises RedisError; the next subscription begins without the channel."""
        self.listeners.pop(channel, None)
        self.confirmed.pop(channel, None)
        async with self.lock:  # whoever subscribes meanwhile does so after this
            if self.pubsub is not None and channel not in self.listeners:
                await self.pubsub.unsubscribe(channel)

    async def listen(self) -> None:
        """Runs for as long as the process, through every absence of the broker."""
        while True:
            try:
                await self.listen_once()
            except (RedisError, OSError) as error:
                log.warning("signalr_broker_away", error=type(error).__name__)
            self.pubsub = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def listen_once(self) -> None:
        async with self.subscriber.pubsub() as pubsub:
            first = set(self.listeners)
            await pubsub.subscribe(*first)
            self.pubsub = pubsub
            if since := self.listeners.keys() - first:
                await pubsub.subscribe(*since)
            async for message in pubsub.listen():
                channel = message["channel"].decode()
                if message["type"] == "message":
                    self.pass_on(channel, message["data"])
                elif message["type"] == "subscribe":
                    self.confirm(channel)

    def confirm(self, channel: str) -> None:
        if confirmed := self.confirmed.get(channel):
            if confirmed.is_set():
                self.pass_on(channel, None)
            confirmed.set()

    def pass_on(self, channel: str, data: bytes | None) -> None:
        """What one listener cannot read is not the end of listening for all."""
        if listener := self.listeners.get(channel):
            try:
                listener(data)
            except Exception:
                log.exception("signalr_message_unread", channel=channel)

    async def interrupt(self) -> None:
        """Give up a subscription that has gone quiet."""
        if self.pubsub is not None and self.pubsub.connection is not None:
            await self.pubsub.connection.disconnect(nowait=True)

    async def close(self) -> None:
        for client in (self.subscriber, self.commands):
            await client.aclose(close_connection_pool=True)


class Group:
    """The connections of one group in this process."""

    def __init__(self, hub: type[Hub], name: str, spawn: Spawn) -> None:
        self.hub, self.name, self.spawn = hub, name, spawn
        self.members: set[Connection] = set()
        self.waiting: deque[Any] = deque()
        self.delivery: asyncio.Task[None] | None = None

    @property
    def channel(self) -> str:
        return channel_of(self.hub.name, self.name)

    def hear(self, data: bytes | None) -> None:
        self.waiting.append(None if data is None else msgpack.unpackb(data))
        if self.delivery is None:
            self.delivery = self.spawn(self.deliver())

    async def deliver(self) -> None:
        try:
            while self.waiting:
                message = self.waiting.popleft()
                try:
                    await self.hub.heard(self.name, message, frozenset(self.members))
                except Exception:
                    log.exception("signalr_delivery_failed", hub=self.hub.name)
                await asyncio.sleep(0)  # the members' writers have their turn
        finally:
            self.delivery = None
