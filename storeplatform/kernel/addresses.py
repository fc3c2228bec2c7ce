"""Where a request comes from."""

import re
from ipaddress import IPv6Address, ip_address

WITH_PORT = re.compile(r"(?:\[([^]]+)\]|([\d.]+))(?::\d+)?")  # as some proxies write a hop


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """The rightmost hop of X-Forwarded-For that no trusted proxy wrote, else the socket's peer;
    an IPv4-mapped one (::ffff:203.0.113.7) as the IPv4 address that it is, a port left out. Empty
    when it is no address, as with a socket file."""
    if trusted_proxies:
        hops = [hop.strip() for hop in forwarded_for.split(",")]
        if len(hops) >= trusted_proxies and hops[-trusted_proxies]:
            hop = WITH_PORT.fullmatch(hops[-trusted_proxies])
            peer = (hop[1] or hop[2]) if hop else hops[-trusted_proxies]
    try:
        address = ip_address(peer)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
