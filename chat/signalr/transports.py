"""The paths of a hub: negotiation, WebSockets, server-sent events, long polling."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import structlog
from channels.consumer import AsyncConsumer
from redis.exceptions import RedisError

from chat.signalr.connection import POLL, SSE, WEBSOCKET, Connection
from chat.signalr.hub import Hub
from chat.signalr.registry import Negotiated, TooManyConnections
from chat.signalr.relay import Event, Gone, Receive, Scope, Send
from chat.signalr.settings import Settings
from storeplatform.kernel.addresses import client_address, forwarded_for, network_of
from storeplatform.kernel.edges import problem_object, request_id_of

if TYPE_CHECKING:
    from chat.signalr.server import HubServer

log = structlog.get_logger(__name__)

TRANSPORTS = [
    {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
    {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
    {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
]
NO_STORE = (b"cache-control", b"no-cache, no-store")
ALLOWED = [
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, x-requested-with, x-signalr-user-agent",
    ),
    (b"access-control-max-age", b"600"),
]
JSON_TYPE = (b"content-type", b"application/json")
OCTETS = (b"content-type", b"application/octet-stream")
EXPOSED = "A lasting credential does not belong in an address; it was reported. Ask for a token."
PROBLEM = (b"content-type", b"application/problem+json")
PROBLEMS = {
    400: ("validation_error", "The request does not fit the connection that it names."),
    401: ("authentication_required", "This credential opens no hub."),
    403: ("forbidden", "Pages of this origin may not connect here."),
    404: ("not_found", "There is no such hub, or no such connection any more."),
    405: ("method_not_allowed", "This method is not served here."),
    408: ("request_timeout", "The body did not arrive in time."),
    409: ("conflict", "The connection has its transport already."),
    413: ("payload_too_large", "The body is too large."),
    429: ("rate_limited", "Too many connections; try again later."),
    503: ("unavailable", "The hub takes no connection now; try again."),
}
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    NO_STORE,
    (b"x-accel-buffering", b"no"),
]


class HubConsumer(AsyncConsumer):
    """Hosts the hubs in Channels. Records bypass its dispatch, which handles one event at a time
    and would keep a slow method's connection from seeing its disconnect."""

    def __init__(self, server: "HubServer") -> None:
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.server.serve(scope, receive, send)


Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """The answer is this status, with the sentence of it unless there is a better one."""

    def __init__(self, status: int, headers: Headers | None = None, message: str = "") -> None:
        super().__init__(status)
        self.status, self.headers, self.message = status, headers or [], message


class Request:
    """An ASGI scope as the hubs read it, and the plain answer to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.server_origin = settings.origin
        self.is_socket = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")
        self.path = scope["path"].strip("/").split("/")
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first counts
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        self.query: dict[str, str] = dict(reversed(pairs))
        self.parameters = "\n".join(part for pair in pairs for part in pair).encode()
        self.origin = self.header(b"origin")
        self.address = client_address(
            (scope.get("client") or ("", 0))[0],
            forwarded_for(scope["headers"]),
            settings.trusted_proxies,
        )
        self.cors: Headers = []

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def credential(self) -> str:
        scheme, _, bearer = self.header(b"authorization").partition(" ")
        if scheme.lower() == "bearer":
            return bearer.strip()
        return self.query.get("access_token", "")

    @property
    def token(self) -> str:
        if not (token := self.query.get("id")):
            raise Refused(400)
        return token

    async def refuse(self, refused: Refused) -> None:
        """As a problem, but for what a connection sends and its end: one of the clients reads any
        answer to these as a record."""
        if "id" in self.query and self.method in ("POST", "DELETE"):
            await self.answer(refused.status, headers=refused.headers)
            return
        status, (code, message) = refused.status, PROBLEMS[refused.status]
        request_id = request_id_of(self.header(b"x-request-id"))
        problem = problem_object(
            self.server_origin,
            status,
            code,
            refused.message or message,
            self.scope["path"],
            request_id,
        )
        headers = [*refused.headers, PROBLEM, (b"x-request-id", request_id.encode())]
        await self.answer(status, orjson.dumps(problem), headers)

    async def answer(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        kind = "websocket.http.response" if self.is_socket else "http.response"
        if self.is_socket and kind not in self.scope.get("extensions", {}):
            await self.send({"type": "websocket.close"})
            return
        headers = [NO_STORE, *self.cors, *(headers or [])]
        if status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": body, "more_body": False})

    async def body(self, limit: int, seconds: float) -> bytes:
        """Raises Refused when it is too large or too slow, Gone when the client leaves."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                while True:
                    event = await self.receive()
                    if event["type"] != "http.request":
                        raise Gone
                    parts.append(event.get("body", b""))
                    size += len(parts[-1])
                    if size > limit:
                        raise Refused(413, [(b"connection", b"close")])
                    if not event.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, [(b"connection", b"close")]) from None

    async def gone(self) -> None:
        """Returns when the client has left."""
        while (await self.receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass


async def serve(server: "HubServer", scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive, send, server.settings)
    try:
        await route(server, request)
    except Refused as refused:
        await request.refuse(refused)
    except TooManyConnections:
        await request.refuse(Refused(429, [(b"retry-after", b"5")]))
    except RedisError as error:
        log.warning("signalr_broker_away", error=type(error).__name__)
        await request.refuse(Refused(503, [(b"retry-after", b"1")]))
    except (OSError, TimeoutError):
        return  # the client has left, or reads nothing


async def route(server: "HubServer", request: Request) -> None:
    if request.is_socket:
        await request.receive()
    hub, negotiates = hub_of(server, request)
    await check_origin(server, hub, request)
    await check_address(hub, request)
    if request.method == "OPTIONS":
        await request.answer(204, headers=ALLOWED if request.cors else [])
    elif negotiates:
        await negotiate(server, hub, request)
    elif request.is_socket and "id" not in request.query:
        await open_socket(server, hub, request)
    else:
        await reach(server, hub, request)


def hub_of(server: "HubServer", request: Request) -> tuple[type[Hub], bool]:
    """The hub of a path `hubs/name` or `hubs/name/negotiate`."""
    match request.path:
        case ["hubs", name] if name in server.hubs:
            return server.hubs[name], False
        case ["hubs", name, "negotiate"] if name in server.hubs and not request.is_socket:
            return server.hubs[name], True
    raise Refused(404)


async def check_origin(server: "HubServer", hub: type[Hub], request: Request) -> None:
    """Browsers may read answers of their own origin and of those allowed. They do not ask before
    they open a WebSocket, so that is refused."""
    origin = request.origin
    if not origin:
        return
    if (
        is_own(origin, request.header(b"host"))
        or origin in server.settings.origins
        or await hub.allows_origin(origin)
    ):
        request.cors = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]
    elif request.is_socket:
        raise Refused(403)


def is_own(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:  # no address at all
        return False


async def check_address(hub: type[Hub], request: Request) -> None:
    """Addresses are logged on the way: whatever parameter holds a lasting credential exposed it."""
    forbidden = hub.forbidden
    if forbidden and forbidden.search(request.parameters):
        await hub.exposed(request.parameters, request.address)
        raise Refused(401, [(b"www-authenticate", b"Bearer")], EXPOSED)


async def check_credential(hub: type[Hub], request: Request) -> None:
    if request.credential and not await hub.check_credential(request.credential):
        raise Refused(401, [(b"www-authenticate", b"Bearer")])


def check_room(server: "HubServer") -> None:
    if server.is_draining:
        raise Refused(503, [(b"retry-after", b"1")])
    if len(server.connections) >= server.settings.process_connections:
        raise Refused(429, [(b"retry-after", b"5")])


# Negotiation


async def negotiate(server: "HubServer", hub: type[Hub], request: Request) -> None:
    if request.method != "POST":
        raise Refused(405, [(b"allow", b"POST, OPTIONS")])
    check_room(server)
    await check_credential(hub, request)
    await check_rate(server, request)
    version = request.query.get("negotiateVersion", "0")
    if not (version.isascii() and version.isdigit()):
        answer: dict[str, Any] = {"error": "The negotiation version is not a number."}
    else:
        answer = await negotiated(server, hub, request, int(version[:9]))
    await request.answer(200, orjson.dumps(answer), [JSON_TYPE])


async def negotiated(
    server: "HubServer", hub: type[Hub], request: Request, version: int
) -> dict[str, Any]:
    """Version 0 knows one id, which is the secret."""
    token, public = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    asked = request.query.get("useStatefulReconnect", "").lower() == "true"
    stateful = asked and server.settings.stateful
    await server.registry.negotiate(token, Negotiated(hub.name, public, stateful))
    if version == 0:
        answer: dict[str, Any] = {"negotiateVersion": 0, "connectionId": token}
    else:
        answer = {"negotiateVersion": 1, "connectionId": public, "connectionToken": token}
    answer["availableTransports"] = TRANSPORTS
    return answer | ({"useStatefulReconnect": True} if stateful else {})


async def check_rate(server: "HubServer", request: Request) -> None:
    settings = server.settings
    if settings.limit_addresses and await server.registry.over_rate(
        f"negotiate:{network_of(request.address)}", settings.negotiations_per_minute, 60
    ):
        raise Refused(429, [(b"retry-after", b"60")])


# Requests of a connection


async def open_socket(server: "HubServer", hub: type[Hub], request: Request) -> None:
    """A WebSocket without negotiation."""
    check_room(server)
    await check_credential(hub, request)
    connection = await server.open(hub, secrets.token_urlsafe(16), request.address)
    await socket(request, connection)


async def reach(server: "HubServer", hub: type[Hub], request: Request) -> None:
    """Go where the connection is."""
    if request.method not in ("GET", "POST", "DELETE"):
        raise Refused(405, [(b"allow", b"GET, POST, DELETE, OPTIONS")])
    token = request.token
    if token not in server.connections:
        check_room(server)
    found = await server.find(hub, token, request.address)
    if isinstance(found, str) and "relayed" not in request.scope:
        if not await server.relay.forward(found, request.scope, request.receive, request.send):
            raise Refused(404)
    elif isinstance(found, Connection) and isinstance(found.hub, hub):
        await handle(hub, request, found)
    else:
        raise Refused(404)


async def handle(hub: type[Hub], request: Request, connection: Connection) -> None:
    if request.method == "POST":
        await post(request, connection)
    elif request.method == "DELETE":
        await delete(request, connection)
    else:
        if connection.kind is None:
            await check_credential(hub, request)
        wanted = kind_of(request)
        if connection.kind not in (None, wanted):
            raise Refused(400)
        await {WEBSOCKET: socket, SSE: stream, POLL: poll}[wanted](request, connection)


def kind_of(request: Request) -> str:
    if request.is_socket:
        return WEBSOCKET
    return SSE if "text/event-stream" in request.header(b"accept") else POLL


async def post(request: Request, connection: Connection) -> None:
    if connection.kind == WEBSOCKET:
        raise Refused(405, [(b"allow", b"GET")])
    settings = connection.server.settings
    body = await request.body(settings.body_bytes, settings.body_seconds)
    if connection.is_closing:
        raise Refused(404)
    if connection.kind is None:
        if not connection.keep_early(body):
            raise Refused(413)
    else:
        connection.receive(body)
    await request.answer(200)


async def delete(request: Request, connection: Connection) -> None:
    if connection.kind != POLL:
        raise Refused(400)
    connection.close_with(b"")
    await request.answer(202)


# Carriers


class Transport:
    """What the carriers have in common: one request, and writes that take only so long."""

    is_single = False

    def __init__(self, request: Request, connection: Connection) -> None:
        self.request = request
        self.connection = connection
        self.is_finished = False

    async def send(self, event: Event) -> None:
        async with asyncio.timeout(self.connection.server.settings.write_seconds):
            await self.request.send(event)


class Socket(Transport):
    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self.reader = asyncio.current_task()
        self.is_aborted = False

    async def write(self, records: list[bytes]) -> None:
        protocol = self.connection.protocol
        is_binary = protocol is not None and protocol.is_binary
        for record in records:
            content = {"bytes": record} if is_binary else {"text": record.decode()}
            await self.send({"type": "websocket.send"} | content)

    async def finish(self) -> None:
        if not self.is_finished:
            self.is_finished = True
            await self.send({"type": "websocket.close", "code": 1000})

    def abort(self) -> None:
        if self.reader and not self.is_aborted and self.reader is not asyncio.current_task():
            self.is_aborted = True
            self.reader.cancel()


async def socket(request: Request, connection: Connection) -> None:
    if connection.kind is not None and not connection.is_resumable:
        raise Refused(404 if connection.is_closing else 409)
    connection.kind = WEBSOCKET
    await request.send({"type": "websocket.accept"})
    carrier = Socket(request, connection)
    connection.attach(WEBSOCKET, carrier)
    try:
        while (event := await request.receive())["type"] == "websocket.receive":
            connection.receive(event.get("bytes") or event.get("text", "").encode())
    except asyncio.CancelledError:
        if not carrier.is_aborted:
            raise
    finally:
        connection.dropped(carrier)


class Stream(Transport):
    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def write(self, records: list[bytes]) -> None:
        events = b"".join(b"data: " + record + b"\n\n" for record in records)
        await self.send({"type": "http.response.body", "body": events, "more_body": True})

    async def finish(self) -> None:
        if not self.is_finished:
            self.is_finished = True
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        self.abort()

    def abort(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def stream(request: Request, connection: Connection) -> None:
    if connection.kind is not None:
        raise Refused(409)
    connection.kind = SSE
    carrier = Stream(request, connection)
    headers = STREAM_HEADERS + request.cors
    await carrier.send({"type": "http.response.start", "status": 200, "headers": headers})
    await carrier.send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
    connection.attach(SSE, carrier)
    try:
        if not await first_of(carrier.over, request.gone()):
            await carrier.finish()
    finally:
        connection.dropped(carrier)


class Poll(Transport):
    is_single = True

    def __init__(self, request: Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_answering = False

    async def write(self, records: list[bytes]) -> None:
        try:
            await self.answer(200, b"".join(records))
        except Gone:
            raise  # the next poll brings them
        except (OSError, TimeoutError):
            self.connection.end()  # the client may have them: neither repeat nor skip them
            raise

    async def finish(self) -> None:
        self.is_finished = True
        await self.answer(204)

    async def answer(self, status: int, body: bytes = b"") -> None:
        self.is_answering = True
        try:
            async with asyncio.timeout(self.connection.server.settings.write_seconds):
                await self.request.answer(status, body, [OCTETS] if body else [])
        finally:
            self.abort()

    def abort(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def poll(request: Request, connection: Connection) -> None:
    if connection.kind is None:
        connection.open_polling()
        await request.answer(200)
        return
    while isinstance(connection.carrier, Poll) and connection.carrier.is_answering:
        await connection.carrier.over  # the client has its answer before we hear that it is written
        await asyncio.sleep(0)  # so that its own poll can let go of it
    if connection.has_ended:
        raise Refused(404)
    carrier = Poll(request, connection)
    connection.attach(POLL, carrier)
    seconds = connection.server.settings.poll_seconds
    try:
        has_left = await first_of(carrier.over, request.gone(), seconds)
        if carrier.is_answering:
            await carrier.over  # also a client that has read its answer leaves
        replaced = carrier.over.done()
        connection.dropped(carrier)
        if not carrier.is_answering and not has_left:
            await carrier.answer(204 if replaced else 200)
        if carrier.is_finished:
            connection.end()
    finally:
        connection.dropped(carrier)


async def first_of(
    over: "asyncio.Future[None]", leaving: Coroutine[Any, Any, None], seconds: float | None = None
) -> bool:
    """Whether the client left before the carrier was over or the time was up."""
    client = asyncio.ensure_future(leaving)
    try:
        await asyncio.wait((over, client), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return client.done() and not over.done()
    finally:
        client.cancel()
