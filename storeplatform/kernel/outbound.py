"""Requests to addresses that merchants name: only public ones, whatever a name resolves to.

A URL is checked when it is saved and again with every request. The name is resolved once, each of
its addresses is looked at, and the connection goes to one of those very addresses while TLS keeps
the name (reliability.md, section 5). No redirect is followed, no proxy and no cookie is known.
"""

import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, cast
from urllib.parse import urlsplit

import httpcore
import httpx
from django.conf import settings

PORTS = (443, 8443)
MAX_URL = 2048
MAX_ANSWER = 2048  # of its body
MAX_READ = 64 * 1024  # bytes off the wire: small pieces cost more time than large ones
PLAIN = re.compile(r"[!-~]+")
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"{LABEL}(?:\.{LABEL})*")

LOOKS_NUMERIC = re.compile(r"(?:\d+|0x[0-9a-f]*)")
GLOBAL_UNICAST = IPv6Network("2000::/3")
CARRIES_IPV4 = [IPv6Network("2002::/16"), IPv6Network("2001::/32"), IPv6Network("64:ff9b::/96")]
# Set aside by IANA for other uses than hosts, some of which older Pythons call global. A cloud
# answers for its machines' credentials at 192.0.0.192.
SET_ASIDE = [
    ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")
]

Address = IPv4Address | IPv6Address


class NotAllowed(Exception):
    """The address is none that the server calls; the text says why."""


class Unreachable(Exception):
    """The name does not resolve."""


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL that passed `check_url`."""

    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `body` holds at most the first 2 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def parse_url(url: str) -> Target:
    """The parts of a URL that may be called. Raises NotAllowed; looks nothing up."""
    if len(url) > MAX_URL or not PLAIN.fullmatch(url) or "\\" in url:
        raise NotAllowed("An address of at most 2048 plain characters, names in punycode.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotAllowed("This is not an address.") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise NotAllowed("An address that begins with https://.")
    if "@" in parts.netloc:
        raise NotAllowed("An address without a user name or password.")
    if parts.fragment:
        raise NotAllowed("An address without a fragment.")
    host = parts.hostname
    literal = literal_address(host)
    if literal is None:
        if not HOST.fullmatch(host) or len(host) > 253:
            raise NotAllowed("A plain host name, without a dot at its end.")
        if LOOKS_NUMERIC.fullmatch(host.rpartition(".")[2]):
            raise NotAllowed("Numbers as a host are written as four decimal parts.")
    is_loopback = host == "localhost" or (literal is not None and literal.is_loopback)
    if settings.OUTBOUND_LOOPBACK and is_loopback:
        pass
    elif parts.scheme != "https":
        raise NotAllowed("An address that begins with https://.")
    elif (port or 443) not in PORTS:
        raise NotAllowed("The port is 443 or 8443.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Target(parts.scheme, host, port or default, path)


def literal_address(host: str) -> Address | None:
    """The address that a host is spelt as, in its one canonical form; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def check_url(url: str) -> Target:
    """A URL whose every address is public at this moment. Raises NotAllowed or Unreachable."""
    target = parse_url(url)
    vetted(target.host, target.port)
    return target


def vetted(host: str, port: int) -> list[Address]:
    """The addresses of a host, all of them allowed. Raises NotAllowed if any one is not."""
    addresses = resolve(host, port)
    for address in addresses:
        if not (is_public(address) or (settings.OUTBOUND_LOOPBACK and address.is_loopback)):
            raise NotAllowed("The address is not a public one.")
    return addresses


def resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable("The host name is not known.") from None
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return [ip_address(text) for text in texts]


def is_public(address: Address) -> bool:
    """Whether an address is reached over the internet and stands for itself. Forms of IPv6 that
    carry an IPv4 address inside are not."""
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if any(address in network for network in SET_ASIDE):
        return False
    if isinstance(address, IPv4Address):
        return True
    return address in GLOBAL_UNICAST and not any(address in network for network in CARRIES_IPV4)


class TimedStream(httpcore.NetworkStream):
    """A connection whose whole use ends at a moment, however slowly the other side drips, and
    after `MAX_READ` bytes, however much it has to say."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self.stream, self.ends, self.count = stream, ends, 0

    def left(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.count >= MAX_READ:
            raise httpcore.ReadError("the answer is too large")
        read = self.stream.read(max_bytes, self.left())
        self.count += len(read)
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.left())

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secured = self.stream.start_tls(ssl_context, server_hostname, self.left())
        return TimedStream(secured, self.ends)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


class VettedBackend(httpcore.SyncBackend):
    """Connects to the vetted addresses of a host; the caller goes on with the name."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        fault: Exception | None = None
        for address in vetted(host, port):
            left = self.ends - time.monotonic()
            if left <= 0:
                raise httpcore.ConnectTimeout("the time is over")
            try:
                stream = super().connect_tcp(str(address), port, left, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
            else:
                return TimedStream(stream, self.ends)
        raise fault or httpcore.ConnectError("no address")


@cache
def trusted() -> ssl.SSLContext:
    """Public certificate authorities, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Reply:
    """Send a body and read the answer, all within `seconds`. Raises NotAllowed, Unreachable,
    TimeoutError, ConnectionError; answers of any status, redirects too, are a Reply."""
    target = parse_url(url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    origin = f"{target.scheme}://{host}:{target.port}"
    backend = VettedBackend(seconds)
    named = target.port in (443 if target.scheme == "https" else 80,)
    sent = {"Host": host if named else f"{host}:{target.port}", **headers}
    pool = httpcore.ConnectionPool(
        ssl_context=trusted(), network_backend=cast(httpcore.NetworkBackend, backend)
    )
    limits = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    try:
        with (
            pool,
            pool.stream(
                "POST",
                origin + target.path,
                headers=[(name.encode(), value.encode()) for name, value in sent.items()],
                content=body,
                extensions={"timeout": limits},
            ) as response,
        ):
            return Reply(response.status, readable(response.headers), first_bytes(response))
    except httpcore.TimeoutException:
        raise TimeoutError("No answer in time.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise ConnectionError(f"{type(error).__name__}: {error}"[:200]) from None


def readable(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def first_bytes(response: httpcore.Response) -> bytes:
    read = bytearray()
    for chunk in response.iter_stream():
        read += chunk
        if len(read) >= MAX_ANSWER:
            break
    return bytes(read[:MAX_ANSWER])
