"""The hubs of one process: its connections, groups, clock, and how it stops."""

import asyncio
import secrets
from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from chat.signalr import transports
from chat.signalr.connection import Connection
from chat.signalr.fanout import Bus, Group, to_group
from chat.signalr.hub import Hub
from chat.signalr.registry import Negotiated, Registry, TooManyConnections, process_channel
from chat.signalr.relay import Receive, Relay, Scope, Send
from chat.signalr.settings import Settings
from storeplatform.kernel.addresses import network_of

if TYPE_CHECKING:
    from asyncio import Task

log = structlog.get_logger(__name__)

CLOSES_AT_ONCE = 50  # when the process stops: clients come back at once
CLOSE_PAUSE = 0.02


class HubServer:
    def __init__(self, redis_url: str, hubs: list[type[Hub]], settings: Settings) -> None:
        self.redis_url, self.settings = redis_url, settings
        self.hubs = {hub.name: hub for hub in hubs}
        self.process = secrets.token_urlsafe(12)
        self.connections: dict[str, Connection] = {}
        self.claims: dict[str, asyncio.Future[Connection | str | None]] = {}
        self.groups: dict[str, Group] = {}
        self.tasks: set[Task[Any]] = set()
        self.started: Task[None] | None = None
        self.renewed_at = self.heard_at = 0.0
        self.is_draining = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> "Task[None]":
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # Life

    async def start(self) -> None:
        """Begins on first use, because only then the event loop runs."""
        if self.started is None:
            self.bus = Bus(self.redis_url, self.spawn)
            self.registry = Registry(self.bus.commands, self.process, self.settings)
            self.relay = Relay(self)
            self.started = self.spawn(self.take_part())  # before it is listened for
            self.spawn(self.bus.listen())
            self.spawn(self.keep_time())
        await asyncio.shield(self.started)

    async def take_part(self) -> None:
        try:
            await self.bus.subscribe(process_channel(self.process), self.hear)
            await self.registry.renew_lease()
        except RedisError:
            return  # the clock goes on trying

    def hear(self, data: bytes | None) -> None:
        self.heard_at = monotonic()
        self.relay.hear(data)

    async def keep_time(self) -> None:
        while True:
            await asyncio.sleep(self.settings.tick_seconds)
            now = monotonic()
            for connection in tuple(self.connections.values()):
                try:
                    connection.check(now)
                except Exception:
                    log.exception("signalr_check_failed")
                    connection.end()
            try:
                await self.keep_house(now)
            except RedisError as error:
                log.warning("signalr_broker_away", error=type(error).__name__)
            except Exception:
                log.exception("signalr_house_failed")

    async def keep_house(self, now: float) -> None:
        settings, registry = self.settings, self.registry
        for connection in self.connections.values():
            if now - connection.renewed_at > settings.owner_seconds / 2:
                connection.renewed_at = now
                registry.lasting.append(connection.token)
        for channel in [channel for channel, group in self.groups.items() if not group.members]:
            del self.groups[channel]
            await self.bus.unsubscribe(channel)
        if now - self.renewed_at >= settings.renew_seconds:
            self.renewed_at = now
            await registry.renew_lease()
            await self.bus.publish(process_channel(self.process), b"")
            if self.heard_at and now - self.heard_at > settings.lease_seconds:
                await self.bus.interrupt()
        await registry.flush()
        await self.relay.check_owners()

    async def drain(self) -> None:
        """Send everybody to another process, and wait a little for it to be read."""
        self.is_draining = True
        if self.started is None:
            return
        deadline = monotonic() + self.settings.flush_seconds
        for number, connection in enumerate(tuple(self.connections.values()), 1):
            connection.close(allow_reconnect=True)
            if number % CLOSES_AT_ONCE == 0:
                await asyncio.sleep(CLOSE_PAUSE)
        while self.connections and monotonic() < deadline:
            await asyncio.sleep(0.05)
        for connection in tuple(self.connections.values()):
            connection.end()
        try:
            await self.registry.flush()
            await self.registry.drop_lease()
        except RedisError:
            return  # the lease runs out by itself

    # Connections

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application for `/hubs/…`."""
        await self.start()
        await transports.serve(self, scope, receive, send)

    async def find(self, hub: type[Hub], token: str, address: str) -> Connection | str | None:
        """The connection of a token if it is ours or nobody's yet, else the process that owns it.
        Raises RedisError."""
        if connection := self.connections.get(token):
            return connection
        claim = self.claims.get(token)
        if claim is None:
            claim = self.claims[token] = asyncio.ensure_future(self.claim(hub, token, address))
            claim.add_done_callback(lambda _: self.claims.pop(token, None))
        return await asyncio.shield(claim)

    async def claim(self, hub: type[Hub], token: str, address: str) -> Connection | str | None:
        owner, negotiated = await self.registry.claim(token)
        if negotiated is None or negotiated.hub != hub.name:
            return owner if owner != self.process else None
        return await self.open(hub, token, address, negotiated)

    async def open(
        self, hub: type[Hub], token: str, address: str, negotiated: Negotiated | None = None
    ) -> Connection:
        """A new connection. Raises TooManyConnections when the address has as many as it may."""
        connection = Connection(
            self,
            hub,
            public_id=negotiated.connection_id if negotiated else secrets.token_urlsafe(16),
            token=token,
            is_stateful=negotiated.stateful if negotiated else False,
            address=address,
        )
        if self.settings.limit_addresses:
            most = self.settings.address_connections
            if not await self.take_place(connection, f"address:{network_of(address)}", most):
                raise TooManyConnections
        self.connections[token] = connection
        return connection

    async def take_place(self, connection: Connection, count: str, most: int) -> bool:
        """Without the broker there is room for everybody."""
        try:
            if not await self.registry.take_place(count, most):
                return False
        except RedisError as error:
            log.warning("signalr_broker_away", error=type(error).__name__)
            return True
        if connection.has_ended:
            self.registry.given_back[count] += 1
        else:
            connection.counts.append(count)
        return True

    def forget(self, connection: Connection) -> None:
        self.connections.pop(connection.token, None)
        self.registry.ended.append(connection.token)
        self.registry.given_back.update(connection.counts)
        connection.counts.clear()

    # Groups

    async def join(self, connection: Connection, name: str) -> None:
        group = Group(type(connection.hub), name, self.spawn)
        group = self.groups.setdefault(group.channel, group)
        group.members.add(connection)
        try:
            await self.bus.subscribe(group.channel, group.hear)
        except RedisError as error:
            log.warning("signalr_broker_away", error=type(error).__name__)

    def leave(self, connection: Connection, name: str) -> None:
        channel = Group(type(connection.hub), name, self.spawn).channel
        if group := self.groups.get(channel):
            group.members.discard(connection)

    async def publish(self, hub: type[Hub], group: str, message: Any) -> None:
        """Tell a group in all processes; `Hub.heard` gets it. Raises RedisError."""
        await self.bus.publish(*to_group(hub.name, group, message))
