"""Where a request comes from."""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

WITH_PORT = re.compile(r"(?:\[([^]]+)\]|([\d.]+))(?::\d+)?")  # as some proxies write a hop


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """The rightmost hop of X-Forwarded-For that no trusted proxy wrote, else the socket's peer;
    an IPv4-mapped one (::ffff:203.0.113.7) as the IPv4 address that it is, a port and a zone left
    out. Empty when it is no address, as with a socket file."""
    if trusted_proxies:
        hops = [hop.strip() for hop in forwarded_for.split(",")]
        if len(hops) >= trusted_proxies and hops[-trusted_proxies]:
            hop = WITH_PORT.fullmatch(hops[-trusted_proxies])
            peer = (hop[1] or hop[2]) if hop else hops[-trusted_proxies]
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def network_of(address: str) -> str:
    """What is counted as one client: an IPv4 address itself, of an IPv6 address its /64, within
    which a client picks its addresses."""
    if ":" not in address:
        return address
    return str(IPv6Network((address, 64), strict=False).network_address)


def client_network(request: Any) -> str | None:
    """Of a request, where attempts to sign in are counted together."""
    return network_of(getattr(request, "client_ip", None) or "") or None


def forwarded_for(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """X-Forwarded-For of an ASGI scope. Proxies that add a line of their own leave the client's
    before it: all of them are one list (RFC 9110, section 5.3)."""
    hops = [value for name, value in headers if name == b"x-forwarded-for"]
    return b",".join(hops).decode("latin-1")
