"""What happens to the clients when processes stop, die, and fill."""

import json
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.servers import RunningServer
from tests.signalr.clients import Client
from tests.signalr.conftest import APPLICATION
from tests.signalr.proxy import Proxy

HANDSHAKE = b'{"protocol":"json","version":1}\x1e'
JOIN = b'{"type":1,"target":"Join","arguments":["crowd"]}\x1e'
CONNECTIONS = 1000
LIMIT_OF_ONE = 45 * 1024


@pytest.fixture
def two():
    """Two processes, and a proxy that uses them in turn."""
    servers = [RunningServer(1, APPLICATION, HUB='{"limit_addresses": false}') for _ in range(2)]
    proxy = Proxy(*(server.port for server in servers))
    yield servers, proxy
    proxy.close()
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def clients(two):
    transports = 2 * ["WebSockets", "ServerSentEvents", "LongPolling"]
    made = [Client("official", two[1].url + "/hubs/echo", transport) for transport in transports]
    for client in made:
        client.wait_for({"state": "connected"})
    yield made
    for client in made:
        client.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_clients_of_a_process_that_ends_move_to_another(two, clients, how):
    first, second = two[0]

    first.process.send_signal(how)
    assert first.process.wait(15) is not None
    two[1].ports = iter([second.port] * 10_000)

    deadline = time.monotonic() + 15
    for client in clients:
        answer = None
        while answer != "here":
            assert time.monotonic() < deadline
            number = client.begin("Echo", "here")
            fact = client.wait_for({"id": number}, 15)
            answer = fact.get("result")
            time.sleep(0.1)


def test_a_joined_socket_costs_little_memory():
    server = RunningServer(1, APPLICATION, HUB='{"limit_addresses": false}')
    sockets = []
    try:
        sockets += [joined_socket(server.port) for _ in range(20)]
        before = resident(server.process.pid)

        sockets += [joined_socket(server.port) for _ in range(CONNECTIONS)]

        each = (resident(server.process.pid) - before) / CONNECTIONS
        started = time.monotonic()
        say(sockets[0])
        for client in sockets:
            until(client, b"hello")
        took = time.monotonic() - started
        sys.stderr.write(
            f"\n{CONNECTIONS} joined sockets: {each / 1024:.1f} KiB each;"
            f" an event to all of them took {took * 1000:.0f} ms\n"
        )
        assert each <= LIMIT_OF_ONE
    finally:
        for client in sockets:
            client.close()
        server.stop()


def joined_socket(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(
        b"GET /hubs/echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    until(client, b"\r\n\r\n")
    client.sendall(
        frame(HANDSHAKE) + frame(JOIN.replace(b'"target"', b'"invocationId":"j","target"'))
    )
    until(client, b'"invocationId":"j"')
    return client


def say(client):
    record = {"type": 1, "target": "Say", "arguments": ["crowd", "hello"]}
    client.sendall(frame(json.dumps(record).encode() + b"\x1e"))


def until(client, wanted):
    data = b""
    while wanted not in data:
        part = client.recv(65536)
        assert part, "the server hung up"
        data += part


def frame(text):
    """A masked WebSocket text frame; the mask is zero."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def resident(pid):
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_without_the_broker_a_negotiation_is_refused_and_sockets_work():
    server = RunningServer(1, APPLICATION, REDIS_URL="redis://127.0.0.1:1/0")
    try:
        assert httpx.post(f"{server.url}/hubs/echo/negotiate", timeout=10).status_code == 503
        client = joined_socket(server.port)
        client.close()
    finally:
        server.stop()
