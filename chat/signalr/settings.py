"""Every number of the hubs, with its default. Seconds and bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    # Time
    ping_seconds: float = 15  # a Ping when nothing was sent for so long
    silence_seconds: float = 30  # a client that says nothing for so long is gone
    handshake_seconds: float = 15  # also: nobody attaches, no poll is outstanding
    poll_seconds: float = 90  # below the proxy's read timeout and the client's 100 s
    resume_seconds: float = 30  # a stateful connection waits so long for its client
    write_seconds: float = 10  # one write to a transport
    body_seconds: float = 20  # the body of a POST
    flush_seconds: float = 5  # the last words when the process stops
    tick_seconds: float = 1  # how often all of this is looked at; also how often we acknowledge

    # Size
    record_bytes: int = 32 * 1024
    body_bytes: int = 64 * 1024  # of a POST, and kept before a transport attaches
    queue_records: int = 256
    queue_bytes: int = 1024 * 1024
    replay_bytes: int = 100_000  # kept of a stateful connection until acknowledged

    # Number
    process_connections: int = 5000
    address_connections: int = 50
    store_connections: int = 500
    principal_connections: int = 20  # a person's or key's
    negotiations_per_minute: int = 30  # from one address
    records_per_second: float = 20  # invocations from one connection; all else is counted apart
    records_burst: int = 40
    waiting_calls: int = 32
    streams: int = 4

    # Several processes
    lease_seconds: int = 20  # a process that does not renew it is dead
    renew_seconds: float = 5
    owner_seconds: int = 3600  # who owns a connection; counts while its process lives

    # The edge
    stateful: bool = True
    limit_addresses: bool = True
    origin: str = ""  # our own, where problems are explained
    origins: tuple[str, ...] = ()  # whose pages may connect, besides our own
    trusted_proxies: int = 0
