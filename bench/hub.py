"""`make bench-hub`: 5,000 joined WebSockets over two processes on production settings, against the
targets of the hub: memory of each, one event to all of them, commit to frame at 50 messages a
second.

BENCH_SOCKETS (5000) says how many, BENCH_SECONDS (20) how long the messages go on. The clients and
the load run on the same cores as the server.
"""

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import uvloop

from bench.server import PORT, memory_of, production, serving, sign_in

SOCKETS = int(os.environ.get("BENCH_SOCKETS", "5000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
FIRST = 1000  # the target's size for one event to many
STORES = 100  # over which the sockets are spread for the message rate
RATE = 50
ROUNDS = 7
JOINING = 32  # at once
HANDSHAKE = b'{"protocol":"json","version":1}\x1e'
UPGRADE = (
    b"GET /hubs/store-conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OCCURRED = re.compile(rb'"occurredAt":"([^"]+)"')
HUB = {
    "store_connections": 10**6,
    "principal_connections": 10**6,
    "process_connections": 10**6,
    "silence_seconds": 3600,
}


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < SOCKETS + 500:
        raise SystemExit(f"{SOCKETS} sockets need more open files than {most}; see ulimit -Hn.")
    with production(
        RATE_LIMITS="off",
        LOG_LEVEL="ERROR",
        HUB=json.dumps(HUB),
        DJANGO_ALLOW_ASYNC_UNSAFE="1",  # of the load generator, which makes hub tokens
    ):
        desks = make_desks()
        flags = ["--ws-ping-interval", "86400", "--timeout-keep-alive", "75"]
        with serving(*flags) as (server, _):
            uvloop.run(measure(server, desks))


def make_desks() -> list[dict[str, Any]]:
    """A store each, with its owner signed in and a conversation."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from store_modules.stores import trading
    from store_modules.stores.models import Membership, Store, User

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench@example.com", "irrelevant here", full_name="Bench")
    desks = []
    for number in range(STORES):
        store = Store.objects.create(name=f"Bench {number}")
        Membership.objects.create(user=user, store=store, role="store_owner")
        trading.initialise(
            store.pk,
            {
                "currency_code": "IQD",
                "timezone": "Asia/Baghdad",
                "industry": "general",
                "country_code": "IQ",
                "default_delivery_fee": 5000,
            },
        )
        desks.append({"headers": sign_in(store.pk, user.pk)})
    connection.close()
    return desks


class Frames:
    """When messages came, over all sockets."""

    def __init__(self) -> None:
        self.awaited = self.lost = 0
        self.all_came = asyncio.Event()
        self.delays: list[float] | None = None

    def expect(self, count: int) -> None:
        self.awaited = count
        self.all_came.clear()

    def came(self, payload: bytes) -> None:
        if self.delays is not None and (found := OCCURRED.search(payload)):
            told = datetime.fromisoformat(found[1].decode())
            self.delays.append(time.time() - told.timestamp())
        self.awaited -= 1
        if self.awaited == 0:
            self.all_came.set()


class Socket(asyncio.Protocol):
    """As little of a SignalR client as will do; what it sends is masked with zeros."""

    def __init__(self, frames: Frames) -> None:
        self.frames, self.buffer = frames, b""
        self.is_open = False
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_open:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self.answer.set_exception(OSError(head.decode()))
                return
            self.is_open, self.buffer = True, rest
            self.send(HANDSHAKE)
        while (frame := self.next_frame()) is not None:
            self.take(frame)

    def next_frame(self) -> bytes | None:
        buffer = self.buffer
        if len(buffer) < 4:
            return None
        start, size = 2, buffer[1]
        if size == 126:
            start, size = 4, int.from_bytes(buffer[2:4])
        if len(buffer) < start + size:
            return None
        self.buffer = buffer[start + size :]
        return buffer[start : start + size]

    def take(self, frame: bytes) -> None:
        if b'"target":"MessageSent"' in frame:
            self.frames.came(frame)
        elif (frame == b"{}\x1e" or b'"type":3' in frame) and not self.answer.done():
            self.answer.set_result(frame)

    def connection_lost(self, error: Exception | None) -> None:
        self.frames.lost += 1
        if not self.answer.done():
            self.answer.set_exception(OSError("the server hung up"))

    def send(self, record: bytes) -> None:
        size = len(record)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2)
        self.transport.write(head + bytes(4) + record)

    async def join(self, token: str) -> None:
        self.answer = asyncio.get_running_loop().create_future()
        call = {"type": 1, "invocationId": "1", "target": "JoinStore", "arguments": [token]}
        self.send(json.dumps(call).encode() + b"\x1e")
        answer = await asyncio.wait_for(self.answer, 60)
        if b'"error"' in answer:
            raise SystemExit(answer.decode())


class Desk:
    """A store's team over REST."""

    def __init__(self, web: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.web, self.headers = web, headers
        self.base = f"http://127.0.0.1:{PORT}/api/v1/store/chat"
        self.conversation = ""

    async def call(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self.web.post(self.base + path, json=body, headers=self.headers)
        while answer.status_code == 503:  # busy: it says so when a queue is full
            await asyncio.sleep(1)
            answer = await self.web.post(self.base + path, json=body, headers=self.headers)
        if answer.status_code >= 300:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    async def open(self) -> None:
        body: dict[str, Any] = {"visitor": {"externalId": "bench", "name": "Bench"}}
        self.conversation = (await self.call("/conversations", body))["id"]

    async def token(self) -> str:
        token: str = (await self.call("/hub-token", {}))["token"]
        return token

    async def say(self) -> None:
        await self.call(f"/conversations/{self.conversation}/messages", {"text": "x" * 80})


async def measure(server: "subprocess.Popen[bytes]", made: list[dict[str, Any]]) -> None:
    limits = httpx.Limits(max_connections=JOINING)
    async with httpx.AsyncClient(limits=limits, timeout=120) as web:
        desks = [Desk(web, one["headers"]) for one in made]
        for desk in desks:
            await desk.open()
        frames = Frames()
        # What the first of everything costs is no socket's own.
        sockets = [await joined(frames, desks[0]) for _ in range(20)]
        before = sum(memory_of(server))
        for size in sorted({min(FIRST, SOCKETS), SOCKETS}):
            await grow(sockets, size, frames, desks[0])
            if size == SOCKETS:
                await asyncio.sleep(2)
                each = (sum(memory_of(server)) - before) * 1024 / (SOCKETS - 20)
                tell(f"memory of a joined socket: {each:.1f} KB (target: at most 45)")
            await one_to_all(server, sockets, frames, desks[0])
        await spread(sockets, desks)
        await at_a_rate(server, sockets, frames, desks)


async def joined(frames: Frames, desk: Desk) -> Socket:
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(frames), "127.0.0.1", PORT)
    await asyncio.wait_for(socket.answer, 60)
    await socket.join(await desk.token())
    return socket


async def grow(sockets: list[Socket], size: int, frames: Frames, desk: Desk) -> None:
    started = time.monotonic()
    count = size - len(sockets)
    turns = asyncio.Semaphore(JOINING)

    async def one() -> None:
        async with turns:
            sockets.append(await joined(frames, desk))

    await asyncio.gather(*(one() for _ in range(count)))
    tell(f"{count} sockets joined in {time.monotonic() - started:.1f} s")


async def one_to_all(
    server: "subprocess.Popen[bytes]", sockets: list[Socket], frames: Frames, desk: Desk
) -> None:
    """From the commit, which the event's own time is, to the last frame."""
    took, cost = [], []
    for _ in range(ROUNDS):
        frames.expect(len(sockets))
        frames.delays = []
        before = cpu_of(server)
        await desk.say()
        try:
            await asyncio.wait_for(frames.all_came.wait(), 60)
        except TimeoutError:
            raise SystemExit(
                f"{frames.awaited} sockets did not hear the event; {frames.lost} were closed."
            ) from None
        took.append(max(frames.delays))
        cost.append(cpu_of(server) - before)
        await asyncio.sleep(0.3)
    frames.delays = None
    target = " (target: at most 100)" if len(sockets) == FIRST else ""
    tell(
        f"one event to {len(sockets)} sockets: median {median(took) * 1000:.0f} ms{target},"
        f" {median(cost) / len(sockets) * 1e6:.0f} µs of the server's processor a frame"
    )


async def spread(sockets: list[Socket], desks: list[Desk]) -> None:
    """Every socket moves to one of the stores."""
    turns = asyncio.Semaphore(JOINING)

    async def move(number: int, socket: Socket) -> None:
        async with turns:
            await socket.join(await desks[number % STORES].token())

    await asyncio.gather(*(move(number, socket) for number, socket in enumerate(sockets)))
    tell(f"the sockets are spread over {STORES} stores")


async def at_a_rate(
    server: "subprocess.Popen[bytes]", sockets: list[Socket], frames: Frames, desks: list[Desk]
) -> None:
    frames.expect(10**9)
    frames.delays = []
    before, started, sent = cpu_of(server), time.monotonic(), 0
    posting: set[asyncio.Task[None]] = set()
    while (now := time.monotonic() - started) < SECONDS:
        while sent < now * RATE:
            task = asyncio.create_task(desks[sent % STORES].say())
            posting.add(task)
            task.add_done_callback(posting.discard)
            sent += 1
        await asyncio.sleep(1 / RATE)
    await asyncio.gather(*posting)
    await asyncio.sleep(1)
    cuts = quantiles(frames.delays, n=100)
    used = (cpu_of(server) - before) / (time.monotonic() - started)
    tell(
        f"{sent / SECONDS:.0f} messages a second to {len(sockets)} sockets: commit to frame"
        f" p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms over {len(frames.delays)}"
        f" frames (targets: 20 and 150); the server used {used:.2f} processors"
    )
    wanted = sent * len(sockets) // STORES
    if len(frames.delays) < wanted:
        raise SystemExit(f"Only {len(frames.delays)} of {wanted} frames came.")


def cpu_of(server: "subprocess.Popen[bytes]") -> float:
    """Seconds of processor that the server and its workers have used."""
    found = subprocess.run(
        ["/bin/ps", "-ww", "--ppid", str(server.pid), "-o", "pid="],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ticks = 0
    for pid in found.stdout.split():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
