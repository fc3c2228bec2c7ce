"""One logical connection: handshake, invocations, queue, replay buffer, close.

It lives in the process that owns it, whatever transport carries it and however often that
changes. Nothing in here waits for the client: a carrier writes, everybody else only enqueues.
"""

import asyncio
from collections import deque
from contextlib import aclosing
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from chat.signalr import protocol
from chat.signalr.hub import Event, Hub, HubError, Method
from chat.signalr.protocol import (
    Ack,
    CancelInvocation,
    Close,
    Completion,
    HubProtocol,
    Invocation,
    Message,
    Ping,
    ProtocolError,
    Sequence,
    StreamInvocation,
    StreamItem,
)

if TYPE_CHECKING:
    from chat.signalr.server import HubServer

log = structlog.get_logger(__name__)

WEBSOCKET, SSE, POLL = "websocket", "sse", "poll"
CREDENTIAL_REFUSED = "credential_refused"


class Carrier(Protocol):
    """A socket, stream or poll that is attached to a connection. `is_single` carriers are over
    after one write."""

    is_single: bool

    async def write(self, records: list[bytes]) -> None:
        """Returns when they are written. Raises OSError or TimeoutError when they cannot be."""

    async def finish(self) -> None:
        """The connection is over and everything is written."""

    def abort(self) -> None:
        """Let go of the client: another carrier has come, or this one is stuck."""


class Allowance:
    """A token bucket."""

    __slots__ = ("at", "burst", "level", "rate")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self.level, self.at = rate, burst, float(burst), monotonic()

    def take(self) -> bool:
        now = monotonic()
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Connection:
    """What a hub knows as `self.connection`."""

    __slots__ = (
        "__weakref__", "acknowledged", "address", "allowance", "awaits_sequence", "calls",
        "carrier", "counts", "farewell", "groups", "has_ended", "hub", "id", "inbound_number",
        "inbox", "is_closing", "is_greeted", "is_stateful", "joined", "kind", "last_received",
        "last_sent", "opened_at", "other_allowance", "protocol", "queue", "queued_bytes",
        "received_number", "removed_number", "renewed_at", "room", "sent_number",
        "server", "stands_since", "streams", "token", "urgent", "worker", "writer",
    )  # fmt: skip

    def __init__(
        self, server: "HubServer", hub: type[Hub], *, public_id: str, token: str, is_stateful: bool,
        address: str,
    ) -> None:  # fmt: skip
        settings, now = server.settings, monotonic()
        self.server, self.id, self.token, self.address = server, public_id, token, address
        self.hub = hub(self)
        self.joined = False  # a hub sets it; see Hub.join_seconds
        self.protocol: HubProtocol | None = None
        self.is_stateful = is_stateful  # asked for; the handshake decides
        self.kind: str | None = None
        self.carrier: Carrier | None = None
        self.writer: asyncio.Task[None] | None = None
        self.is_closing = self.has_ended = self.is_greeted = False
        self.farewell = b""
        self.opened_at = self.last_received = self.last_sent = self.renewed_at = now
        self.stands_since = now  # without a carrier, or closing

        self.inbox = b""
        self.allowance = Allowance(settings.records_per_second, settings.records_burst)
        self.other_allowance = Allowance(settings.records_per_second, settings.records_burst)
        self.calls: deque[tuple[Method, tuple[Any, ...], str | None]] = deque()
        self.worker: asyncio.Task[None] | None = None
        self.streams: dict[str, asyncio.Task[None]] = {}
        self.groups: set[str] = set()
        self.counts: list[str] = []

        # Trackable records: until they are written, those of a stateful connection until they are
        # acknowledged. They are numbered from 1. Everything else is urgent.
        self.queue: deque[bytes] = deque()
        self.queued_bytes = self.removed_number = self.sent_number = 0
        self.urgent: deque[bytes] = deque()
        self.room: asyncio.Future[None] | None = None
        self.received_number = self.inbound_number = self.acknowledged = 0
        self.awaits_sequence = False

    # What hubs use

    def send(self, event: str, *arguments: Any) -> None:
        """Have the client's handlers of `event` called. Never waits."""
        self.send_event(Event(event, *arguments))

    def send_event(self, event: Event) -> None:
        if self.protocol and not self.is_closing:
            self.enqueue(event.encode(self.protocol))

    async def drain(self) -> None:
        """Wait until half of the queue is free: for whoever sends many events in a row."""
        while not self.is_closing and self.is_half_full():
            if self.room is None:
                self.room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self.room)

    async def join(self, group: str) -> None:
        """When this returns, no message to the group is missed."""
        self.groups.add(group)
        await self.server.join(self, group)

    def leave(self, group: str) -> None:
        self.groups.discard(group)
        self.server.leave(self, group)

    async def take_place(self, count: str, most: int) -> bool:
        """Count this connection, until it ends, among those of a store or person, over all
        processes. False when `most` are there already."""
        return count in self.counts or await self.server.take_place(self, count, most)

    def give_back_place(self, count: str) -> None:
        if count in self.counts:
            self.counts.remove(count)
            self.server.registry.given_back[count] += 1

    def close(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        """Say what is queued, then goodbye. A client that may not reconnect stays away."""
        if self.is_closing:
            return
        farewell = b""
        if self.protocol:
            farewell = self.protocol.encode(Close(error, allow_reconnect))
        self.close_with(farewell)

    # The carrier

    def attach(self, kind: str, carrier: Carrier) -> None:
        """From now on this carrier alone reads and writes."""
        self.detach()
        self.kind, self.carrier = kind, carrier
        self.last_received = self.last_sent = monotonic()
        if self.is_resumable:
            self.inbox, self.sent_number, self.awaits_sequence = b"", self.removed_number, True
            self.urgent = deque([self.encode(Sequence(self.removed_number + 1))])
        self.read_early()
        self.wake()

    def open_polling(self) -> None:
        """The first poll, which is answered at once. Carriers come with the later ones."""
        self.kind, self.stands_since = POLL, monotonic()
        self.read_early()

    def keep_early(self, data: bytes) -> bool:
        """Keep what was posted before a transport attached; False when that is too much."""
        if len(self.inbox) + len(data) > self.server.settings.body_bytes:
            return False
        self.inbox += data
        return True

    def read_early(self) -> None:
        if self.protocol is None and self.inbox:
            early, self.inbox = self.inbox, b""
            self.receive(early)

    def detach(self) -> None:
        carrier, self.carrier = self.carrier, None
        self.stop_writer()
        if carrier:
            carrier.abort()

    def dropped(self, carrier: Carrier) -> None:
        """The transport of this carrier is gone."""
        if self.carrier is not carrier:
            return
        self.carrier = None
        self.stop_writer()
        self.stands_since = monotonic()
        if self.kind != POLL and (self.is_closing or not self.is_resumable):
            self.end()

    @property
    def is_resumable(self) -> bool:
        return self.is_stateful and self.protocol is not None and not self.is_closing

    def stop_writer(self) -> None:
        if self.writer and self.writer is not asyncio.current_task():
            self.writer.cancel()
        self.writer = None

    def wake(self) -> None:
        if self.carrier and not self.writer and (self.has_output or self.is_closing):
            self.writer = self.server.spawn(self.write(self.carrier))

    @property
    def has_output(self) -> bool:
        return bool(self.urgent or self.farewell or self.unwritten)

    @property
    def unwritten(self) -> int:
        return len(self.queue) - self.written

    @property
    def written(self) -> int:
        """How many records of the queue this carrier has had."""
        return max(0, self.sent_number - self.removed_number)

    async def write(self, carrier: Carrier) -> None:
        try:
            while self.has_output:
                await self.write_batch(carrier)
                if carrier.is_single:
                    self.dropped(carrier)
                    return
            if self.is_closing:
                await carrier.finish()
        except (OSError, TimeoutError):
            carrier.abort()
            self.dropped(carrier)
        finally:
            if self.carrier is carrier:
                self.writer = None

    async def write_batch(self, carrier: Carrier) -> None:
        """What is written leaves the queue only then."""
        urgent, queued = list(self.urgent), list(islice(self.queue, self.written, None))
        last_number = self.removed_number + len(self.queue)
        farewell = [self.farewell] if self.farewell else []
        await carrier.write(urgent + queued + farewell)
        self.last_sent = monotonic()
        for _ in urgent:
            self.urgent.popleft()
        self.farewell = b"" if farewell else self.farewell
        self.sent_number = max(self.sent_number, last_number)
        if not self.is_stateful:
            self.remove(last_number)
        self.make_room()

    def remove(self, last_number: int) -> None:
        while self.removed_number < last_number:
            self.queued_bytes -= len(self.queue.popleft())
            self.removed_number += 1

    def make_room(self) -> None:
        if self.room and not self.is_half_full():
            if not self.room.done():
                self.room.set_result(None)
            self.room = None

    def enqueue(self, record: bytes) -> None:
        """A trackable record; an answer may still come before the goodbye. A client that does not
        take them in time is closed: nothing is skipped."""
        if self.has_ended or (self.is_closing and not self.farewell):
            return
        self.queue.append(record)
        self.queued_bytes += len(record)
        most_records = self.server.settings.queue_records
        if self.unwritten > most_records or self.queued_bytes > self.most_bytes:
            self.give_up_slow_consumer()
        else:
            self.wake()

    @property
    def most_bytes(self) -> int:
        settings = self.server.settings
        return settings.replay_bytes if self.is_stateful else settings.queue_bytes

    def is_half_full(self) -> bool:
        half = self.server.settings.queue_records // 2
        return self.unwritten >= half or self.queued_bytes >= self.most_bytes // 2

    def give_up_slow_consumer(self) -> None:
        self.close("slow_consumer", allow_reconnect=True)
        self.remove(self.removed_number + len(self.queue))

    def encode(self, message: Message) -> bytes:
        assert self.protocol
        return self.protocol.encode(message)

    # Records from the client

    def receive(self, data: bytes) -> None:
        self.last_received = monotonic()
        if self.is_closing:
            return
        self.inbox += data
        try:
            if self.protocol is None:
                self.shake_hands()
            if self.protocol:
                limit = self.server.settings.record_bytes
                records, self.inbox = self.protocol.split(self.inbox, limit)
                self.take_records(self.protocol, records)
        except protocol.HandshakeRefused as error:
            self.close_with(protocol.refusal(str(error)))
        except ProtocolError as error:
            self.close(str(error))

    def shake_hands(self) -> None:
        if self.holds_credential(self.inbox.partition(protocol.RECORD_SEPARATOR)[0]):
            raise protocol.HandshakeRefused(CREDENTIAL_REFUSED)
        read = protocol.read_handshake(self.inbox, self.server.settings.record_bytes)
        if read is None:
            return
        handshake, self.inbox = read
        if self.kind == SSE and handshake.protocol.is_binary:
            raise protocol.HandshakeRefused("Server-sent events carry no binary protocol.")
        self.protocol = handshake.protocol
        self.is_stateful = (
            self.is_stateful
            and self.kind == WEBSOCKET
            and handshake.version >= protocol.STATEFUL_VERSION
        )
        self.urgent.append(protocol.ACCEPTED)
        self.start_worker()
        self.wake()

    def take_records(self, spoken: HubProtocol, records: list[bytes]) -> None:
        for record in records:
            if self.is_closing:
                return
            self.take_record(spoken, record)

    def take_record(self, spoken: HubProtocol, record: bytes) -> None:
        if self.holds_credential(record):
            self.close(CREDENTIAL_REFUSED)
            return
        message = spoken.decode(record)
        if self.is_stateful and not self.is_new(message):
            return
        if isinstance(message, Invocation | StreamInvocation):
            if self.allowance.take():
                self.take_message(message)
            else:
                self.give_up_fast_caller(message)
        elif not self.other_allowance.take():
            self.close(TOO_FAST.code)
        elif message is not None:
            self.take_message(message)

    def holds_credential(self, record: bytes) -> bool:
        """Whether a record holds what none may, which is then reported."""
        forbidden = self.hub.forbidden
        if forbidden is None or not forbidden.search(record):
            return False
        self.server.spawn(self.hub.exposed(record, self.address))
        return True

    def give_up_fast_caller(self, message: Invocation | StreamInvocation) -> None:
        if message.invocation_id is not None:
            self.complete(message.invocation_id, failed(message.target, TOO_FAST))
        self.close(TOO_FAST.code)

    def take_message(self, message: Message) -> None:
        match message:
            case Invocation():
                self.invoke(message)
            case StreamInvocation():
                self.start_stream(message)
            case CancelInvocation(identifier):
                if stream := self.streams.get(identifier):
                    stream.cancel()
            case Ack(number):
                self.take_ack(number)
            case Close():
                self.close_with(b"")
            case _:
                return  # a Ping, or part of a client's stream, which no method takes

    def is_new(self, message: Message | None) -> bool:
        """Whether to look at a record: not while its number is unknown, not twice."""
        if isinstance(message, Sequence):
            if message.sequence_id > self.received_number + 1:
                raise ProtocolError("The sequence leaves out records.")
            self.inbound_number = message.sequence_id - 1
            self.awaits_sequence = False
            return False
        if self.awaits_sequence:
            return False
        if isinstance(message, protocol.TRACKABLE):
            self.inbound_number += 1
            if self.inbound_number <= self.received_number:
                return False
            self.received_number = self.inbound_number
        return True

    def take_ack(self, number: int) -> None:
        if not self.is_stateful:
            return
        if number > self.removed_number + len(self.queue):
            raise ProtocolError("The acknowledged record was not sent.")
        self.remove(number)
        self.make_room()

    # Invocations

    def invoke(self, message: Invocation) -> None:
        method, identifier = self.hub.methods.get(message.target), message.invocation_id
        error, arguments = self.check_call(method, message, is_streaming=False)
        if error is None and len(self.calls) >= self.server.settings.waiting_calls:
            error = failed(message.target, TOO_FAST)
        if error is not None:
            if identifier is not None:
                self.complete(identifier, error)
            return
        assert method
        self.calls.append((method, arguments, identifier))
        self.start_worker()

    def check_call(
        self, method: Method | None, message: Invocation | StreamInvocation, *, is_streaming: bool
    ) -> tuple[str | None, tuple[Any, ...]]:
        """What is wrong with a call, else its arguments."""
        if method is None:
            return f"Unknown hub method '{message.target}'", ()
        if method.is_streaming != is_streaming:
            other = "streaming" if method.is_streaming else "non-streaming"
            return f"The client attempted to call the {other} '{method.name}' method wrongly.", ()
        try:
            if message.stream_ids:
                raise ValueError("no method takes a stream")
            return None, method.arguments(message.arguments)
        except ValueError:
            return f"Failed to invoke '{method.name}' due to an error on the server.", ()

    def start_worker(self) -> None:
        if self.worker is None:
            self.worker = self.server.spawn(self.work())

    async def work(self) -> None:
        try:
            if not self.is_greeted:
                self.is_greeted = True
                await self.greet()
            while self.calls:
                await self.call(*self.calls.popleft())
        finally:
            self.worker = None

    async def greet(self) -> None:
        try:
            await self.hub.connected()
        except Exception:
            log.exception("signalr_connect_failed", hub=self.hub.name)
            self.close("The server failed.", allow_reconnect=True)

    async def call(
        self, method: Method, arguments: tuple[Any, ...], identifier: str | None
    ) -> None:
        try:
            result = await method.function(self.hub, *arguments)
            if identifier is not None:
                completion = Completion(identifier, None, result, method.has_result)
                self.enqueue(self.encode(completion))
        except Exception as error:
            if identifier is not None:
                self.complete(identifier, failed(method.name, error))
            elif not isinstance(error, HubError):
                failed(method.name, error)

    def complete(self, identifier: str, error: str | None = None) -> None:
        self.enqueue(self.encode(Completion(identifier, error)))

    def start_stream(self, message: StreamInvocation) -> None:
        method, identifier = self.hub.methods.get(message.target), message.invocation_id
        error, arguments = self.check_call(method, message, is_streaming=True)
        if error is None and len(self.streams) >= self.server.settings.streams:
            error = failed(message.target, TOO_FAST)
        if error is not None or identifier in self.streams:
            self.complete(identifier, error or "This invocation id is in use.")
            return
        assert method
        task = self.server.spawn(self.stream(method, arguments, identifier))
        self.streams[identifier] = task
        task.add_done_callback(lambda _: self.streams.pop(identifier, None))
        task.add_done_callback(lambda task: self.stream_ended(method.name, identifier, task))

    async def stream(self, method: Method, arguments: tuple[Any, ...], identifier: str) -> None:
        async with aclosing(method.function(self.hub, *arguments)) as items:
            async for item in items:
                self.enqueue(self.encode(StreamItem(identifier, item)))
                await self.drain()

    def stream_ended(self, name: str, identifier: str, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        self.complete(identifier, failed(name, error) if error else None)

    # The end

    def close_with(self, farewell: bytes) -> None:
        if self.is_closing:
            return
        self.is_closing, self.farewell, self.stands_since = True, farewell, monotonic()
        self.inbox = b""
        self.stop_hub()
        if self.carrier is None and self.kind != POLL:
            self.end()
        else:
            self.wake()

    def stop_hub(self) -> None:
        for group in tuple(self.groups):
            self.leave(group)
        self.calls.clear()
        running = [task for task in (self.worker, *self.streams.values()) if task]
        if self.room and not self.room.done():
            self.room.set_result(None)
        for task in running:
            if task is not asyncio.current_task():
                task.cancel()
        if self.is_greeted:
            self.server.spawn(self.say_goodbye(running))

    async def say_goodbye(self, running: list["asyncio.Task[None]"]) -> None:
        if running:
            await asyncio.wait(running, timeout=self.server.settings.flush_seconds)
        try:
            await self.hub.disconnected()
        except Exception:
            log.exception("signalr_disconnect_failed", hub=self.hub.name)

    def end(self) -> None:
        """Nothing more can be said or heard."""
        if self.has_ended:
            return
        self.has_ended = True
        if not self.is_closing:
            self.is_closing = True
            self.stop_hub()
        self.detach()
        self.queue.clear()
        self.server.forget(self)

    # Time

    def check(self, now: float) -> None:
        """Do what is due. Called about once a second."""
        settings = self.server.settings
        if self.is_closing:
            patience = settings.handshake_seconds if self.kind == POLL else settings.write_seconds
            if now - self.stands_since > patience and not (self.kind == POLL and self.carrier):
                self.end()
        elif self.carrier is None:
            patience = settings.handshake_seconds
            if self.is_resumable:
                patience = settings.resume_seconds
            if now - self.stands_since > patience:
                self.end()
        elif self.protocol is None:
            if now - self.opened_at > settings.handshake_seconds:
                self.close()
        elif self.is_overdue(now):
            self.close("not_joined")
        elif self.kind != POLL:
            self.check_silence(now)

    def is_overdue(self, now: float) -> bool:
        seconds = self.hub.join_seconds
        return seconds is not None and not self.joined and now - self.opened_at > seconds

    def check_silence(self, now: float) -> None:
        settings = self.server.settings
        if now - self.last_received > settings.silence_seconds:
            self.close("The client was silent for too long.", allow_reconnect=True)
            return
        if self.is_stateful and self.received_number > self.acknowledged:
            self.acknowledged = self.received_number
            self.urgent.append(self.encode(Ack(self.received_number)))
        elif now - self.last_sent >= settings.ping_seconds and not self.has_output:
            self.urgent.append(self.encode(Ping()))
        self.wake()


TOO_FAST = HubError("rate_limited", "Too many invocations; wait and try again.")


def failed(target: str, error: BaseException) -> str:
    """What the caller is told. Only our own refusals say more than that it went wrong."""
    sentence = f"An unexpected error occurred invoking '{target}' on the server."
    if isinstance(error, HubError):
        return f"{sentence} HubException: {error}"
    log.error("signalr_method_failed", method=target, exc_info=error)
    return sentence
