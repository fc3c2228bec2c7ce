"""The front between uvicorn and Django: whole bodies under limits, then WSGI on a thread pool.
Hubs and their sockets stay on the event loop.

Django's WSGI handler on threads answers several times as many requests as its ASGI handler, and a
body that is read before a thread is taken lets slow clients hold nothing but a socket
(reliability.md, section 7; performance.md).
"""

import asyncio
import io
import logging
import signal
import sys
import time
import typing
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from storeplatform.kernel.edges import problem_object, request_id_of

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HUBS = "/hubs/"
STREAM_CHUNKS = 8  # made ahead of the client
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of reliability.md, section 3 and 4; bytes and seconds."""

    body: int = MEBIBYTE
    bulk_body: int = 5 * MEBIBYTE
    upload_body: int = 10 * MEBIBYTE + 64 * 1024
    body_seconds: float = 20
    query: int = 4096
    url: int = 8192
    header_bytes: int = 32 * 1024
    headers: int = 100
    waiting: int = 256
    waiting_seconds: float = 2
    stop_seconds: float = 20

    def of_body(self, path: str, content_type: bytes) -> int:
        if content_type.startswith(b"multipart/form-data"):
            return self.upload_body
        return self.bulk_body if path.endswith("/bulk") else self.body


class Refused(Exception):
    """The request goes no further."""

    def __init__(self, status: int, code: str, title: str) -> None:
        super().__init__(title)
        self.status, self.code, self.title = status, code, title


class BrokenOff(Exception):
    """An answer that was being sent cannot be finished; its connection is closed, so that the
    client does not take what it has for the whole."""


class State:
    draining = False


def is_draining() -> bool:
    """A SIGTERM has come: requests that run are finished, new ones belong elsewhere."""
    return State.draining


class LivingApp(typing.Protocol):
    """An ASGI application with a beginning and an end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Front:
    """An ASGI application around a WSGI one. `/hubs/…` goes to `hubs`, all websockets too, and
    `drain` ends what they hold before the server stops. `apps` have single paths of their own.
    What is `beside` runs as long as it serves."""

    def __init__(
        self,
        wsgi: Callable[..., Iterable[bytes]],
        *,
        hubs: App,
        apps: Mapping[str, LivingApp] | None = None,
        drain: Callable[[], Awaitable[None]] | None = None,
        beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
        threads: int = 16,
        limits: Limits | None = None,
        origin: str = "",
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.wsgi = wsgi
        self.hubs, self.drain, self.beside = hubs, drain, beside
        self.apps = dict(apps or {})
        self.limits = limits or Limits()
        self.origin = origin
        self.told = told  # of each refusal
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self.running = 0
        self.most = threads + self.limits.waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.hubs(scope, receive, send)
        else:
            await self.lifespan(receive, send)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        notice_sigterm(self.drain)
        beside = [asyncio.create_task(run()) for run in self.beside]
        for app in self.apps.values():
            await app.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in beside:
            task.cancel()
        State.draining = True
        deadline = time.monotonic() + self.limits.stop_seconds
        while self.running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for app in self.apps.values():
            await app.stop()
        self.pool.shutdown(wait=False, cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = {}
        request_id = ""
        try:
            headers = self.read_headers(scope)
            if scope["path"].startswith(HUBS):
                await self.hubs(scope, receive, send)
                return
            if app := self.apps.get(scope["path"]):
                await app(scope, receive, send)
                return
            request_id = id_of(headers)
            body = await self.read_body(scope, headers, receive)
            if body is None:
                return  # the client left
            if self.running >= self.most:
                raise Refused(503, "unavailable", "The service is busy; try again.")
            environ = environ_of(scope, headers, body, request_id)
            await self.run(environ, send)
        except BrokenOff:
            log.warning("answer_broken_off", path=scope["path"])  # and is left without its end
        except Refused as refused:
            await self.refuse(scope, refused, request_id or id_of(headers), send)
        except Exception:
            log.exception("front_failed")
            fault = Refused(500, "internal_error", "The server failed to answer.")
            await self.refuse(scope, fault, request_id or id_of(headers), send)

    def read_headers(self, scope: Scope) -> dict[bytes, bytes]:
        """The headers, repeated ones joined, within their bounds."""
        limits, query = self.limits, scope["query_string"]
        if len(query) > limits.query or len(scope["raw_path"]) + len(query) > limits.url:
            raise Refused(414, "uri_too_long", "The address is too long.")
        if len(scope["headers"]) > limits.headers:
            raise Refused(431, "headers_too_large", f"More than {limits.headers} headers.")
        headers: dict[bytes, bytes] = {}
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name in headers:
                joint = b"; " if name == b"cookie" else b","
                headers[name] += joint + value
            else:
                headers[name] = value
        if size > limits.header_bytes:
            raise Refused(431, "headers_too_large", "The headers are too large.")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "unsupported_media_type", "Bodies are not compressed.")
        return headers

    async def read_body(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive
    ) -> bytes | None:
        most = self.limits.of_body(scope["path"], headers.get(b"content-type", b""))
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            raise too_large(most)
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > most:
                raise too_large(most)
            return body
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while message["type"] == "http.request":
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large(most)
                    if not message.get("more_body"):
                        return b"".join(parts)
                    message = await receive()
        except TimeoutError:
            raise Refused(408, "request_timeout", "The body did not arrive in time.") from None
        return None

    async def run(self, environ: dict[str, Any], send: Send) -> None:
        """Answer on a thread. A streaming answer is passed on while it is made."""
        loop = asyncio.get_running_loop()
        stream: asyncio.Queue[bytes | BrokenOff | None] = asyncio.Queue(STREAM_CHUNKS)
        started: asyncio.Future[tuple[int, list[tuple[bytes, bytes]], bytes | None]]
        started = loop.create_future()
        self.running += 1
        job = loop.run_in_executor(
            self.pool, Answer(self, environ, loop, started, stream, time.monotonic()).make
        )
        job.add_done_callback(self.done)
        status, headers, body = await started
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if body is not None:
            await send({"type": "http.response.body", "body": body})
            return
        try:
            while (chunk := await stream.get()) is not None:
                if isinstance(chunk, BrokenOff):
                    raise chunk
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            while not job.done():  # the client left: let the maker see its end
                if stream.full():
                    stream.get_nowait()
                await asyncio.sleep(0.01)
            while not stream.empty():
                stream.get_nowait()

    def done(self, job: "asyncio.Future[None]") -> None:
        self.running -= 1
        if not job.cancelled() and (error := job.exception()):
            log.error("answer_failed", error=repr(error))

    async def refuse(self, scope: Scope, refused: Refused, request_id: str, send: Send) -> None:
        status, code = refused.status, refused.code
        body = orjson.dumps(
            problem_object(self.origin, status, code, refused.title, scope["path"], request_id)
        )
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
        ]
        if refused.status == 503:
            headers.append((b"retry-after", b"1"))
        if refused.status in (408, 413):
            headers.append((b"connection", b"close"))
        if self.told:
            self.told(refused.code)
        log.info("refused", status=refused.status, code=refused.code, request_id=request_id)
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(slots=True)
class Answer:
    """One WSGI call on a thread, and its way back to the event loop."""

    front: Front
    environ: dict[str, Any]
    loop: asyncio.AbstractEventLoop
    started: "asyncio.Future[tuple[int, list[tuple[bytes, bytes]], bytes | None]]"
    stream: "asyncio.Queue[bytes | BrokenOff | None]"
    asked: float
    status: int = 500
    headers: list[tuple[bytes, bytes]] | None = None

    def make(self) -> None:
        try:
            if time.monotonic() - self.asked > self.front.limits.waiting_seconds:
                raise Refused(503, "unavailable", "The service is busy; try again.")
            response = self.front.wsgi(self.environ, self.start_response)
            try:
                if getattr(response, "streaming", False):
                    self.pass_on(response)
                else:
                    self.begin(b"".join(response))
            finally:
                if hasattr(response, "close"):
                    response.close()
        except BaseException as error:
            if not self.fail(error):
                raise

    def start_response(self, status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        self.status = int(status[:3])
        self.headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]

    def begin(self, body: bytes | None) -> None:
        headers = self.headers or []
        if body is not None and self.status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        answer = (self.status, headers, body)
        self.loop.call_soon_threadsafe(set_result, self.started, answer)

    def pass_on(self, response: Iterable[bytes]) -> None:
        self.begin(None)
        try:
            for chunk in response:
                if chunk:
                    self.hand_on(chunk)
        except Exception:
            self.put(BrokenOff())  # whenever there is room: the thread goes on
            raise
        self.hand_on(None)

    def hand_on(self, chunk: bytes | BrokenOff | None) -> None:
        """Wait for room, at most a minute."""
        put = self.put(chunk)
        try:
            put.result(60)
        except TimeoutError:
            put.cancel()
            raise

    def put(self, chunk: bytes | BrokenOff | None) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self.stream.put(chunk), self.loop)

    def fail(self, error: BaseException) -> bool:
        """Hand an error to whoever waits for the beginning; False when it has begun."""
        if self.started.done():
            return False
        self.loop.call_soon_threadsafe(set_exception, self.started, error)
        return True


def set_result(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def without_refusals(record: logging.LogRecord) -> bool:
    """uvicorn takes every refused websocket for an error of ours."""
    return "without completing handshake" not in record.getMessage()


logging.getLogger("uvicorn.error").addFilter(without_refusals)


def too_large(most: int) -> Refused:
    return Refused(413, "payload_too_large", f"The body is larger than {most} bytes.")


def id_of(headers: dict[bytes, bytes]) -> str:
    return request_id_of(headers.get(b"x-request-id", b"").decode("latin-1"))


def environ_of(
    scope: Scope, headers: dict[bytes, bytes], body: bytes, request_id: str
) -> dict[str, Any]:
    """The WSGI environment of a request (PEP 3333)."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "REMOTE_ADDR": client[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "storeplatform.request_id": request_id,
    }
    for name, value in headers.items():
        if name == b"content-type":
            environ["CONTENT_TYPE"] = value.decode("latin-1")
        elif name != b"content-length" and b"_" not in name:
            key = header_key(name)
            environ[key] = value.decode("latin-1")
    return environ


_header_keys: dict[bytes, str] = {}


def header_key(name: bytes) -> str:
    key = _header_keys.get(name)
    if key is None:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        if len(_header_keys) < 1000:
            _header_keys[name] = key
    return key


def notice_sigterm(drain: Callable[[], Awaitable[None]] | None) -> None:
    """Remember a SIGTERM, and drain, before uvicorn, whose handler is installed by now, acts on it.
    A second one acts at once."""
    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    draining: set[asyncio.Task[None]] = set()

    def stop(number: int, frame: Any) -> None:
        if callable(before):
            before(number, frame)

    async def drain_and_stop() -> None:
        try:
            if drain:
                await drain()
        finally:
            stop(signal.SIGTERM, None)

    def handler(number: int, frame: Any) -> None:
        if State.draining:
            stop(number, frame)
        else:
            State.draining = True
            loop.call_soon_threadsafe(lambda: draining.add(loop.create_task(drain_and_stop())))

    signal.signal(signal.SIGTERM, handler)


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a limit on how long headers may take to arrive."""

    HEADER_SECONDS = 10.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.expect_headers()

    def expect_headers(self) -> None:
        self.header_timer = self.loop.call_later(self.HEADER_SECONDS, self.give_up)

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as HTTP is a problem like any other; uvicorn would say it as text."""
        title = "This is no HTTP request."
        body = orjson.dumps(
            {"type": "about:blank", "title": title, "status": 400, "code": "validation_error"}
        )
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.header_timer.cancel()
        self.expect_headers()

    def on_headers_complete(self) -> None:
        self.header_timer.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.header_timer.cancel()
        super().connection_lost(exc)
