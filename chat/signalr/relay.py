"""A request that reached another process than the owner of its connection.

Its ASGI events travel to the owner over Redis, and the owner's answers travel back, so that the
owner runs the very code it runs for its own clients. Each answer is confirmed once the edge has
written it: the owner takes nothing off a queue that no client got.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgpack
import structlog
from redis.exceptions import RedisError

from chat.signalr.registry import process_channel

if TYPE_CHECKING:
    from chat.signalr.server import HubServer

log = structlog.get_logger(__name__)

Event = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

SCOPE = ("type", "method", "path", "query_string", "headers", "client", "extensions", "scheme")
GONE = {"http": "http.disconnect", "websocket": "websocket.disconnect"}


class Gone(OSError):
    """The other end has left, and what was to be written did not reach it."""


class Unsure(OSError):
    """Whether the other end has what was written is not known."""


class Relay:
    """Both ends of all relayed requests of this process."""

    def __init__(self, server: "HubServer") -> None:
        self.server = server
        self.edges: dict[str, Edge] = {}
        self.guests: dict[str, Guest] = {}

    async def tell(self, process: str, kind: str, tunnel: str, content: Any) -> None:
        """Raises Gone when nobody hears it, Unsure when the broker does not say."""
        data = msgpack.packb([kind, tunnel, self.server.process, content])
        try:
            heard = await self.server.bus.publish(process_channel(process), data)
        except RedisError:
            raise Unsure from None
        if not heard:
            raise Gone

    def hear(self, data: bytes | None) -> None:
        if data is None:  # a gap: whatever was under way may be incomplete
            self.cut(*self.edges.values(), *self.guests.values())
        elif data:
            kind, tunnel, process, content = msgpack.unpackb(data)
            if kind == "open":
                opened = self.guests[tunnel] = Guest(self, tunnel, process, content["type"])
                self.server.spawn(self.host(opened, content))
            elif kind == "event" and (guest := self.guests.get(tunnel)):
                guest.events.put_nowait(content)
            elif kind == "written" and (guest := self.guests.get(tunnel)):
                guest.written.put_nowait(content)
            elif kind == "answer" and (edge := self.edges.get(tunnel)):
                edge.answers.put_nowait(content)
            elif kind == "answer" and content is not None:
                self.server.spawn(self.say_unwritten(process, tunnel))

    async def say_unwritten(self, process: str, tunnel: str) -> None:
        """An answer came for a request that is over."""
        with suppress(OSError):
            await self.tell(process, "written", tunnel, False)

    def cut(self, *ends: "Edge | Guest") -> None:
        for end in ends:
            end.cut()

    async def forward(self, owner: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """Let the owner answer. False when it is dead and nothing was answered yet."""
        edge = Edge(self, secrets.token_urlsafe(12), owner, receive, send)
        self.edges[edge.tunnel] = edge
        try:
            return await edge.run({name: scope[name] for name in SCOPE if name in scope})
        finally:
            del self.edges[edge.tunnel]

    async def host(self, guest: "Guest", scope: Scope) -> None:
        scope["relayed"] = True
        scope["headers"] = [tuple(header) for header in scope["headers"]]
        try:
            await self.server.serve(scope, guest.receive, guest.send)
            await self.tell(guest.process, "answer", guest.tunnel, None)
        except OSError:
            return
        finally:
            del self.guests[guest.tunnel]

    async def check_owners(self) -> None:
        """Cut what waits for the answer of a dead process."""
        owners = {edge.owner for edge in self.edges.values()}
        if owners:
            living = await self.server.registry.living(owners)
            self.cut(*(edge for edge in self.edges.values() if not living.get(edge.owner)))


class Edge:
    """Where the client is."""

    def __init__(self, relay: Relay, tunnel: str, owner: str, receive: Receive, send: Send) -> None:
        self.relay, self.tunnel, self.owner = relay, tunnel, owner
        self.receive, self.send = receive, send
        self.answers: asyncio.Queue[Event | None] = asyncio.Queue()
        self.is_cut = self.client_left = False

    def cut(self) -> None:
        self.is_cut = True
        self.answers.put_nowait(None)

    async def run(self, scope: Scope) -> bool:
        forwarding: asyncio.Task[None] | None = None
        has_answered = False
        try:
            await self.tell("open", scope)
            forwarding = asyncio.create_task(self.forward_events())
            while (answer := await self.answers.get()) is not None:
                has_answered, had_left = True, self.client_left
                await self.send(answer)  # after the last part the client may go
                await self.tell("written", not had_left)
        except OSError:
            self.is_cut = True
        finally:
            if forwarding:
                forwarding.cancel()
        return has_answered or not self.is_cut

    async def forward_events(self) -> None:
        try:
            while True:
                event = await self.receive()
                self.client_left = event["type"] in GONE.values()
                await self.tell("event", event)
                if self.client_left:
                    return
        except OSError:
            self.cut()

    async def tell(self, kind: str, content: Any) -> None:
        await self.relay.tell(self.owner, kind, self.tunnel, content)


class Guest:
    """Where the connection is: what stands for the client's socket."""

    def __init__(self, relay: Relay, tunnel: str, process: str, kind: str) -> None:
        self.relay, self.tunnel, self.process = relay, tunnel, process
        self.gone_type = GONE[kind]
        self.is_cut = False
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        if kind == "websocket":
            self.events.put_nowait({"type": "websocket.connect"})
        self.written: asyncio.Queue[bool | None] = asyncio.Queue()

    def cut(self) -> None:
        self.is_cut = True
        self.events.put_nowait({"type": self.gone_type, "code": 1006})
        self.written.put_nowait(None)

    async def receive(self) -> Event:
        return await self.events.get()

    async def send(self, event: Event) -> None:
        """Returns when the edge has written it. Raises Gone, or Unsure."""
        if self.is_cut:
            raise Gone
        await self.relay.tell(self.process, "answer", self.tunnel, dict(event))
        is_written = await self.written.get()
        if is_written is None:
            raise Unsure
        if not is_written:
            raise Gone
