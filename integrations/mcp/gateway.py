"""What stands before the SDK: origin, size, bearer, limits, scopes, and the record of each call.

The order of the checks is mcp.md's, section 5. Nothing is kept in memory between requests.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import INVALID_REQUEST, PARSE_ERROR

from integrations.mcp import audit, resources
from integrations.mcp.models import AgentCall
from integrations.mcp.oauth.metadata import RESOURCE_DOCUMENT
from integrations.mcp.oauth.scopes import SCOPES
from integrations.mcp.principal import Call, Principal, principal_of
from integrations.mcp.registry import TOOLS
from integrations.mcp.server import make_server, on_thread
from storeplatform.kernel import limits, metrics
from storeplatform.kernel.addresses import client_address, forwarded_for, network_of
from storeplatform.kernel.edges import problem_object, request_id_of
from storeplatform.kernel.errors import TooMany
from storeplatform.kernel.limits import POLICIES, Bucket, Policy

log = structlog.get_logger("agent")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
RECORDED = Policy("agent-limited", 60, 60)  # refusals over a limit; it refuses nothing itself
METHODS = ("POST", "GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH")
MAX_BODY = 2**20
BODY_SECONDS = 20
EXPOSED = "WWW-Authenticate, Retry-After, MCP-Protocol-Version, X-Request-Id"
Outcome = AgentCall.Outcome


class Answered(Exception):
    """The gateway answers by itself."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class NoRequest(Answered):
    """A body that is no single request, in the protocol's words."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(400, message=message)
        self.number = number


@dataclass(frozen=True, slots=True)
class Asked:
    """What the body asks for, and the body written anew: the SDK reads just what was judged here,
    whatever its own parser would have made of the original."""

    content: bytes
    method: str = ""
    name: str = ""
    arguments: Any = None
    fault: NoRequest | None = None


def challenge(error: str = "", scope: str = "") -> str:
    """WWW-Authenticate (RFC 6750, RFC 9728)."""
    parts = [f'error="{error}"'] if error else []
    parts.append(f'scope="{scope or " ".join(settings.MCP_FIRST_SCOPES)}"')
    parts.append(f'resource_metadata="{settings.PUBLIC_ORIGIN}{RESOURCE_DOCUMENT}"')
    return "Bearer " + ", ".join(parts)


class Gateway:
    """An ASGI application for the one path. `start` and `stop` come with the server's own; the
    first request starts it too, where nobody announces a beginning."""

    def __init__(self) -> None:
        self.manager: StreamableHTTPSessionManager | None = None
        self.runner: asyncio.Task[None] | None = None
        self.ready, self.stopping = asyncio.Event(), asyncio.Event()

    async def start(self) -> None:
        if self.runner is None:
            self.manager = StreamableHTTPSessionManager(
                make_server(), stateless=True, json_response=True, max_request_body_size=MAX_BODY
            )
            self.runner = asyncio.get_running_loop().create_task(self.run(self.manager))
        await self.ready.wait()

    async def run(self, manager: StreamableHTTPSessionManager) -> None:
        """The manager is entered and left in this one task."""
        async with manager.run():
            self.ready.set()
            await self.stopping.wait()

    async def stop(self) -> None:
        if self.runner is not None:
            self.stopping.set()
            with suppress(asyncio.CancelledError):
                await self.runner
            self.runner = None
            self.ready, self.stopping = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.start()
        started = time.perf_counter()
        clean = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        headers = dict(clean)
        request_id = request_id_of(headers.get(b"x-request-id", b"").decode("latin-1"))
        answer = Sending(send, request_id, own_origin(headers))
        try:
            asked, call = await self.let_in(scope, headers, receive, request_id, started)
            answer.call = call
            structlog.contextvars.bind_contextvars(request_id=request_id)
            assert self.manager is not None
            inner = {**scope, "headers": clean, "agent_call": call}
            await self.manager.handle_request(inner, replay(asked.content, receive), answer)
        except Answered as refused:
            await answer.refuse(refused)
        except Exception:
            log.exception("gateway_failed", request_id=request_id)
            if not answer.status:
                await answer.refuse(Answered(500, "internal_error", "The server failed to answer."))
        await answer.record()  # of those who left before they were answered
        seconds = time.perf_counter() - started
        known = scope["method"] if scope["method"] in METHODS else "other"
        metrics.answered(known, settings.MCP_PATH.removeprefix("/"), answer.status, seconds)
        log.info(
            "agent_request",
            request_id=request_id,
            method=answer.call.method if answer.call else None,
            tool=answer.call.name if answer.call else None,
            status=answer.status,
            ms=round(seconds * 1000, 1),
        )

    async def let_in(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str,
        started: float,
    ) -> tuple[Asked, Call]:  # fmt: skip
        check_host(headers)
        check_method(scope["method"], headers)
        check_origin(headers)
        asked = what_is_asked(await read_body(headers, receive))
        ip = address_of(scope)
        raw = bearer_of(headers)
        if raw is None:
            raise Answered(401, WWW_Authenticate=challenge())
        call = await on_thread(lambda: admit(raw, asked, request_id, ip, started))
        if isinstance(call, Answered):
            raise call
        if asked.fault is not None:
            await on_thread(lambda: audit.record(call, Outcome.PROTOCOL_ERROR))
            raise asked.fault
        needed = needed_scopes(call)
        if missing_scopes(call.principal, needed):
            await on_thread(lambda: audit.record(call, Outcome.DENIED))
            raise Answered(
                403,
                "insufficient_scope",
                f"This needs the scope {needed[0]}.",
                WWW_Authenticate=challenge(
                    "insufficient_scope", wanted_scopes(call.principal, needed)
                ),
            )
        return asked, call


def outcome_of(status: int) -> str:
    if status >= 500:
        return Outcome.FAULT
    return Outcome.OK if status < 400 else Outcome.PROTOCOL_ERROR


# The checks


def check_host(headers: dict[bytes, bytes]) -> None:
    domain, _ = split_domain_port(headers.get(b"host", b"").decode("latin-1"))
    if not validate_host(domain, settings.ALLOWED_HOSTS):
        raise Answered(400, "validation_error", "This host is not served here.")


def own_origin(headers: dict[bytes, bytes]) -> str:
    """The request's Origin, if it is ours."""
    origin = headers.get(b"origin", b"").decode("latin-1")
    allowed = origin in (settings.PUBLIC_ORIGIN, *settings.CORS_ALLOWED_ORIGINS)
    return origin if allowed else ""


def check_method(method: str, headers: dict[bytes, bytes]) -> None:
    if method == "OPTIONS":
        check_origin(headers)
        raise Answered(
            204,
            Access_Control_Allow_Methods="POST",
            Access_Control_Allow_Headers="Authorization, Content-Type, Accept, "
            "Mcp-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, X-Request-Id",
            Access_Control_Max_Age="86400",
        )
    if method != "POST":
        raise Answered(405, "method_not_allowed", "Only POST is served here.", Allow="POST")


def check_origin(headers: dict[bytes, bytes]) -> None:
    if b"origin" in headers and not own_origin(headers):
        raise Answered(403, "origin_not_allowed", "This page's origin is not allowed.")


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    too_large = Answered(413, "payload_too_large", f"The body is larger than {MAX_BODY} bytes.")
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Answered(400, "validation_error", "The body did not arrive.")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MAX_BODY:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Answered(408, "request_timeout", "The body did not arrive in time.") from None


def what_is_asked(body: bytes) -> Asked:
    """From the body itself, never from headers."""
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Asked(b"", fault=NoRequest(PARSE_ERROR, "This is no JSON in UTF-8."))
    if not is_request(read):
        return Asked(b"", fault=NoRequest(INVALID_REQUEST, "One JSON-RPC 2.0 request a body."))
    method, params = read["method"], read.get("params", {})
    name = params.get("uri" if method == "resources/read" else "name", "")
    name = name if isinstance(name, str) else ""
    return Asked(orjson.dumps(read), method, name, params.get("arguments"))


def is_request(read: Any) -> bool:
    """Whether it is one request or notification."""
    return (
        isinstance(read, dict)
        and read.get("jsonrpc") == "2.0"
        and isinstance(read.get("method"), str)
        and isinstance(read.get("params", {}), dict)
        and type(read.get("id", 0)) in (int, str)
    )


def bearer_of(headers: dict[bytes, bytes]) -> str | None:
    """The token of the Authorization header; no other place counts."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def admit(raw: str, asked: Asked, request_id: str, ip: str, started: float) -> Call | Answered:
    """The call of whoever holds the token, within the limits; else the answer."""
    principal = principal_of(raw)
    if principal is None:
        failed = limits.charge([Bucket(POLICIES["agent-failure"], network_of(ip))])
        return over(failed) or Answered(401, WWW_Authenticate=challenge("invalid_token"))
    call = Call(principal, asked.method, asked.name, asked.arguments, request_id, ip, started)
    token = str(principal.token_id)
    buckets = [
        Bucket(POLICIES["agent"], token),
        Bucket(POLICIES["agent-store"], str(principal.actor.store_id)),
    ]
    tool = TOOLS.get(call.name) if call.method == "tools/call" else None
    if tool and tool.writes:
        buckets.append(Bucket(POLICIES["agent-write"], token))
    refused = over(limits.charge(buckets))
    if refused is None:
        return call
    # Who goes on calling must not fill the table: so many of the refusals are recorded, no more.
    if all(one.allowed for one in limits.charge([Bucket(RECORDED, token)])):
        audit.record(call, Outcome.LIMITED)
    return refused


def over(levels: list[limits.Level]) -> Answered | None:
    try:
        limits.refuse_over(levels)
    except TooMany as refusal:
        return Answered(
            429, "rate_limited", refusal.message, Retry_After=refusal.headers["Retry-After"]
        )
    return None


def needed_scopes(call: Call) -> tuple[str, ...]:
    if call.method == "tools/call":
        tool = TOOLS.get(call.name)
        return tool.scopes if tool else ()
    return resources.scopes_of(call.name) if call.method == "resources/read" else ()


def wanted_scopes(principal: Principal, needed: tuple[str, ...]) -> str:
    """Everything to ask consent for at once: what is granted and what is missing, because some
    clients ask for just what they are told and would lose the rest."""
    held = {*principal.scopes, *needed}
    return " ".join(scope for scope in SCOPES if scope in held)


def missing_scopes(principal: Principal, needed: tuple[str, ...]) -> bool:
    """Whether more consent would help: what the role forbids, no consent opens."""
    return any(scope not in principal.scopes for scope in needed) and all(
        principal.role_gives(scope) for scope in needed
    )


def address_of(scope: Scope) -> str:
    peer = (scope.get("client") or ("", 0))[0]
    return client_address(peer, forwarded_for(scope["headers"]), settings.TRUSTED_PROXY_COUNT)


def replay(body: bytes, receive: Receive) -> Receive:
    """The body, read already, for the SDK; then whatever comes."""
    told = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Sending:
    """The way out: headers of ours on every answer, the status remembered, and the call's record
    written before the caller hears anything."""

    def __init__(self, send: Send, request_id: str, origin: str) -> None:
        self.send, self.status = send, 0
        self.call: Call | None = None
        self.own = [
            (b"x-request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if origin:
            self.own += [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", EXPOSED.encode()),
                (b"vary", b"Origin"),
            ]
        self.request_id = request_id

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await self.record(message["status"])
            self.status = message["status"]
            names = {name for name, _ in self.own}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *self.own]}
        await self.send(message)

    async def record(self, status: int = 0) -> None:
        call = self.call
        if call is not None and not call.recorded:
            await on_thread(lambda: audit.record(call, outcome_of(status)))

    async def refuse(self, refused: Answered) -> None:
        body = b""
        headers = [(n.lower().encode(), v.encode()) for n, v in refused.headers.items()]
        if isinstance(refused, NoRequest):
            error = {"code": refused.number, "message": refused.message}
            body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})
            headers.append((b"content-type", b"application/json"))
        elif refused.code:
            body = orjson.dumps(
                problem_object(
                    settings.PUBLIC_ORIGIN,
                    refused.status,
                    refused.code,
                    refused.message,
                    settings.MCP_PATH,
                    self.request_id,
                )
            )
            headers.append((b"content-type", b"application/problem+json"))
        if refused.status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        await self({"type": "http.response.start", "status": refused.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})
