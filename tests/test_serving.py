"""The front: bounded input, patience with slow clients, an orderly stop."""

import ctypes
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import uvicorn

from storeplatform.kernel import memory
from storeplatform.serving import Front, Limits, Protocol
from tests.clients import key_client_of
from tests.factories import a_store
from tests.servers import ROOT, RunningServer

LIMITS = Limits(body=1000, bulk_body=5000, body_seconds=0.5, waiting=2, waiting_seconds=0.3)


class Streaming(list):
    """A streaming WSGI answer that remembers being closed."""

    streaming = True
    closed = False

    def close(self):
        Streaming.closed = True


class Breaking:
    """A streaming answer that fails on the way."""

    streaming = True

    def __iter__(self):
        yield b"x" * 1000
        raise RuntimeError("boom")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fault":
        raise RuntimeError("boom")
    if path == "/slow":
        time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return Streaming(b"x" * 1000 for _ in range(200))
    if path == "/breaks":
        return Breaking()
    body = environ["wsgi.input"].read()
    return [json.dumps({"length": len(body), "query": environ["QUERY_STRING"]}).encode()]


async def no_sockets(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


class Quick(Protocol):
    HEADER_SECONDS = 0.5


@pytest.fixture(scope="module")
def port():
    front = Front(application, hubs=no_sockets, threads=2, limits=LIMITS)
    config = uvicorn.Config(
        front, port=0, http=Quick, log_level="error", access_log=False, ws="websockets-sansio",
        lifespan="off",
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def exchange(port, request):
    with connect(port) as client:
        client.sendall(request)
        return read(client)


def read(client):
    """Status, headers and body of an answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        if not part:
            return 0, {}, b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += client.recv(65536)
    return int(lines[0].split()[1]), headers, body


def post(path="/", body=b"", headers=""):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}".encode() + (
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    )


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(body=b"x" * 1000), 200),
        (post(body=b"x" * 1001), 413),
        (post("/orders/bulk", b"x" * 5000), 200),
        (post("/orders/bulk", b"x" * 5001), 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1f4\r\n" + b"x" * 500 + b"\r\n" + b"1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n",
            413,
        ),
        (post(body=b"x", headers="Content-Encoding: gzip\r\n"), 415),
        (b"GET /?" + b"q" * 4097 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"b" * 33_000 + b"\r\n\r\n", 431),
        (b"GET /fault HTTP/1.1\r\nHost: x\r\n\r\n", 500),
    ],
)  # fmt: skip
def test_input_is_bounded(port, request_bytes, status):
    found, headers, body = exchange(port, request_bytes)

    assert found == status
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == status
        assert problem["requestId"] == headers["x-request-id"]
        assert "boom" not in body.decode()


def test_a_chunked_body_arrives_whole(port):
    request = (
        b"POST /?a=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    _, _, body = exchange(port, request)

    assert json.loads(body) == {"length": 5, "query": "a=1"}


def test_a_body_that_does_not_come_is_given_up(port):
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")

        status, _, _ = read(client)

    assert status == 408


def test_headers_that_do_not_come_are_given_up(port):
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost:")

        assert client.recv(100) == b""


def test_sixty_slow_clients_delay_nobody(port):
    slow = [connect(port) for _ in range(60)]
    try:
        for client in slow:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\na")
        started = time.monotonic()

        status, _, _ = exchange(port, post(body=b"honest"))

        assert status == 200
        assert time.monotonic() - started < 1
    finally:
        for client in slow:
            client.close()


def test_more_than_can_wait_are_told_to_come_back(port):
    clients = [connect(port) for _ in range(8)]
    for client in clients:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")

    answers = [read(client) for client in clients]

    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 503}
    refused = next(headers for status, headers, _ in answers if status == 503)
    assert refused["retry-after"] == "1"
    for client in clients:
        client.close()


def test_a_stream_ends_when_its_client_leaves(port):
    Streaming.closed = False
    with connect(port) as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(1000)

    for _ in range(100):
        if Streaming.closed:
            break
        time.sleep(0.05)
    assert Streaming.closed


def test_a_stream_that_fails_is_cut_off_without_its_end(port):
    with connect(port) as client:
        client.sendall(b"GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while part := client.recv(65536):
            received += part

    assert b"200 OK" in received
    assert b"x" * 1000 in received
    assert not received.endswith(b"0\r\n\r\n")


def test_a_keep_alive_connection_serves_one_request_after_the_other(port):
    with connect(port) as client:
        for number in range(5):
            client.sendall(post(f"/?n={number}", b"x"))
            status, _, body = read(client)
            assert status == 200
            assert json.loads(body)["query"] == f"n={number}"


def test_an_address_that_the_client_claims_is_not_believed(parallel):
    store = a_store()
    key = key_client_of(store, allowed_ips=["10.1.1.1"]).headers["X_API_Key"]
    server = RunningServer(workers=1)
    try:
        url = f"{server.url}/api/v1/store/integrations/whoami"
        answer = httpx.get(url, headers={"X-API-Key": key, "X-Forwarded-For": "10.1.1.1"})
    finally:
        server.stop()

    assert answer.status_code == 403
    assert answer.json()["code"] == "ip_not_allowed"


def test_what_is_no_http_is_a_problem(parallel):
    server = RunningServer(workers=1)
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = plain.recv(4096)
    finally:
        server.stop()

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def test_a_worker_loads_its_views_at_once_and_the_agents_server_when_one_calls():
    code = (
        "import sys, storeplatform.asgi as app\n"
        "print('store_modules.orders.views' in sys.modules, 'mcp' in sys.modules)\n"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert loaded.stdout.split() == ["True", "False"], loaded.stderr


def test_free_memory_goes_back_to_the_system():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(60_000) for _ in range(1000)]  # below what is mapped by itself
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    last = libc.malloc(60_000)  # keeps the top of the heap in use
    for block in blocks:
        libc.free(block)
    before = resident()

    memory.trim()

    given_back = before - resident()
    libc.free(last)
    assert given_back > 30_000_000


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
