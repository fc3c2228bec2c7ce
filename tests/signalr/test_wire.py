"""What goes over the wire, frame by frame: endpoints, transports, limits, time, bad input."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import httpx
import msgpack
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.servers import RunningServer
from tests.signalr.conftest import APPLICATION

SETTINGS = {
    "ping_seconds": 1, "silence_seconds": 2.5, "handshake_seconds": 1.5, "poll_seconds": 1,
    "resume_seconds": 2, "write_seconds": 2, "tick_seconds": 0.2, "limit_addresses": False,
    "origins": ["https://shop.example"],
}  # fmt: skip
HANDSHAKE = '{"protocol":"json","version":1}\x1e'
numbers = count(1)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("signalr") / "log"


@pytest.fixture(scope="module")
def server(log):
    with log.open("wb") as file:
        server = RunningServer(1, APPLICATION, log=file, HUB=json.dumps(SETTINGS), LOG_LEVEL="INFO")
        yield server
        server.stop()
    lines = log.read_text().splitlines()
    text = "\n".join(line for line in lines if '"method":"Fail"' not in line)
    assert "Traceback" not in text
    assert "ERROR" not in text
    for secret in SECRETS:
        assert secret not in text


SECRETS = []


@pytest.fixture
def hub(server):
    return f"{server.url}/hubs/echo"


@pytest.fixture
def http():
    with httpx.Client(timeout=20) as client:
        yield client


def negotiate(hub, query="negotiateVersion=1"):
    answer = httpx.post(f"{hub}/negotiate?{query}").json()
    token = answer.get("connectionToken") or answer["connectionId"]
    SECRETS.append(token)
    return token


def open_socket(hub, token=None, handshake=HANDSHAKE, **options):
    url = hub.replace("http", "ws") + (f"?id={token}" if token else "")
    opened = connect(url, compression=None, legacy=True, **options)
    if handshake:
        opened.send(handshake)
        assert opened.recv(5) == "{}\x1e"
    return opened


def call(opened, target, *arguments):
    number = str(next(numbers))
    record = {"type": 1, "invocationId": number, "target": target, "arguments": arguments}
    opened.send(json.dumps(record) + "\x1e")
    return read_until(opened, lambda message: message.get("invocationId") == number)


def read(opened, seconds=5):
    return json.loads(opened.recv(seconds).removesuffix("\x1e"))


def read_until(opened, wanted, seconds=5):
    while not wanted(message := read(opened, seconds)):
        continue
    return message


def closing(opened):
    """The Close record, after which the socket ends."""
    close = read_until(opened, lambda message: message.get("type") == 7)
    with pytest.raises(ConnectionClosed):
        opened.recv(5)
    return close


def polling(http, hub):
    """The token of a long-polling connection that has shaken hands."""
    token = negotiate(hub)
    first = http.get(f"{hub}?id={token}")
    assert (first.status_code, first.content) == (200, b"")
    posted = http.post(f"{hub}?id={token}", content=HANDSHAKE)
    assert (posted.status_code, posted.content) == (200, b"")
    assert http.get(f"{hub}?id={token}").content == b"{}\x1e"
    return token


# Negotiation and paths


def test_negotiation_gives_a_public_and_a_secret_id(hub, http):
    answer = http.post(f"{hub}/negotiate?negotiateVersion=1&_=5&id=stale")

    made = answer.json()
    assert answer.headers["cache-control"] == "no-cache, no-store"
    assert made["connectionId"] != made["connectionToken"]
    assert "useStatefulReconnect" not in made
    assert [t["transport"] for t in made["availableTransports"]] == [
        "WebSockets",
        "ServerSentEvents",
        "LongPolling",
    ]
    assert http.get(f"{hub}?id={made['connectionId']}").status_code == 404


@pytest.mark.parametrize("version", ["x", "-1", "1.5", "", "²"])
def test_a_negotiation_version_that_is_no_number_is_an_error(hub, http, version):
    answer = http.post(f"{hub}/negotiate", params={"negotiateVersion": version})

    assert answer.status_code == 200
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/hubs/echo/negotiate", 405),
        ("PUT", "/hubs/echo?id=x", 405),
        ("HEAD", "/hubs/echo?id=x", 405),
        ("GET", "/hubs/echo", 400),
        ("POST", "/hubs/echo", 400),
        ("DELETE", "/hubs/echo?id=", 400),
        ("GET", "/hubs/echo?id=unknown", 404),
        ("POST", "/hubs/echo/?id=unknown", 404),
        ("DELETE", "/hubs/echo?id=unknown", 404),
        ("GET", "/hubs/nothing?id=unknown", 404),
        ("POST", "/hubs/nothing/negotiate", 404),
        ("POST", "/hubs/", 404),
        ("POST", "/hubs/echo/negotiate/", 200),
        ("OPTIONS", "/hubs/echo", 204),
        ("OPTIONS", "/hubs/echo/negotiate", 204),
        ("GET", "/", 200),
    ],
)
def test_each_path_answers_its_status(server, http, method, path, status):
    answer = http.request(method, server.url + path)

    assert answer.status_code == status
    spoken = method in ("POST", "DELETE") and "?id" in path  # read as a record by signalrcore
    if status < 400 or spoken or method == "HEAD":
        assert status == 200 or answer.content == b""
        return
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() - {"detail"} == {
        "type", "title", "status", "code", "instance", "requestId",
    }  # fmt: skip
    assert (problem["status"], problem["instance"]) == (status, path.partition("?")[0])
    assert problem["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/hubs/echo?id=unknown", "/hubs/nothing"])
def test_a_socket_without_a_connection_is_refused(server, path):
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + path, legacy=True)

    assert refused.value.response.status_code == 404


def test_a_credential_is_only_looked_at_to_connect(hub, http):
    bad = {"Authorization": "Bearer bad"}
    token = negotiate(hub)

    assert http.post(f"{hub}/negotiate", headers=bad).status_code == 401
    assert http.post(f"{hub}/negotiate?access_token=bad").status_code == 401
    assert http.post(f"{hub}/negotiate?access_token=good").status_code == 200
    assert http.get(f"{hub}?id={token}", headers=bad).status_code == 401
    assert http.get(f"{hub}?id={token}").status_code == 200
    assert http.get(f"{hub}?id={token}", headers=bad).status_code == 200
    with pytest.raises(InvalidStatus):
        open_socket(hub, additional_headers=bad)


def test_browsers_of_allowed_origins_may_read(hub, http):
    allowed = http.post(f"{hub}/negotiate", headers={"Origin": "https://shop.example"})
    other = http.post(f"{hub}/negotiate", headers={"Origin": "https://evil.example"})
    asked = http.options(hub, headers={"Origin": "https://shop.example"})
    missing = http.get(f"{hub}?id=x", headers={"Origin": "https://shop.example"})

    for answer in (allowed, asked, missing):
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
    assert "x-signalr-user-agent" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in other.headers
    with pytest.raises(InvalidStatus) as refused:
        open_socket(hub, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with open_socket(hub, origin="https://shop.example"):
        pass


@pytest.mark.parametrize("origin", ["http://[", "null", "//", "https://shop.example:x"])
def test_an_origin_that_is_no_address_is_nobodys(hub, http, origin):
    answer = http.post(f"{hub}/negotiate", headers={"Origin": origin})

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    with pytest.raises(InvalidStatus) as refused:
        open_socket(hub, origin=origin)
    assert refused.value.response.status_code == 403


# WebSockets


def test_a_socket_needs_no_negotiation(hub):
    with open_socket(hub) as opened:
        assert call(opened, "Echo", "x")["result"] == "x"


def test_records_may_come_with_the_handshake_and_in_pieces(hub):
    record = '{"type":1,"invocationId":"1","target":"Echo","arguments":["x"]}\x1e'
    with open_socket(hub, handshake=None) as opened:
        opened.send(HANDSHAKE + record + record[:10])
        opened.send(record[10:])

        assert opened.recv(5) == "{}\x1e"
        assert [read(opened)["result"] for _ in range(2)] == ["x", "x"]


def test_a_second_socket_is_refused(hub):
    token = negotiate(hub)
    with open_socket(hub, token) as opened:
        with pytest.raises(InvalidStatus) as refused:
            open_socket(hub, token)

        assert refused.value.response.status_code == 409
        assert call(opened, "Echo", "x")["result"] == "x"


def test_other_transports_are_refused_on_a_socket(hub, http):
    token = negotiate(hub)
    with open_socket(hub, token):
        assert http.post(f"{hub}?id={token}", content=b"x").status_code == 405
        assert http.get(f"{hub}?id={token}").status_code == 400
        assert http.delete(f"{hub}?id={token}").status_code == 400


@pytest.mark.parametrize(
    "frame",
    [
        "x\x1e", "\x1e", "{}\x1e", "[]\x1e", '{"type":1,"target":1}\x1e', "x" * 33_000,
        b"\xff\xfe\x1e", '{"type":1,"target":"Echo","arguments":["\\ud800"]}\x1e',
        '{"type":1,"target":"Echo","arguments":[' + "[" * 100 + "]" * 100 + "]}\x1e",
        '{"type":3,"invocationId":"1","result":1,"error":"x"}\x1e',
    ],
)  # fmt: skip
def test_a_bad_record_closes_with_an_error(hub, frame):
    with open_socket(hub) as opened:
        opened.send(frame)

        assert closing(opened)["error"]


BINARY_HANDSHAKE = '{"protocol":"messagepack","version":1}\x1e'
BAD_BINARY = [
    b"\x01\xc1",  # a byte that MessagePack does not use
    b"\x02\x91\x01",  # an invocation of nothing
    b"\x01\x80",  # a map
    b"\x02\x92\x06",  # less than the array says
    b"\x06\x95\x01\x80\xc0\x01\x90",  # a target that is no text
    b"\xff\xff\xff\xff\x7f",  # a length beyond every limit
    b"\xff\xff\xff\xff\xff\xff",  # a length that does not end
    b"\x80\x80\x04" + bytes(65),  # 64 KiB to come
    b"\x05\xc9\x7f\xff\xff\xff",  # an extension that is not there
]


@pytest.mark.parametrize("frame", BAD_BINARY)
def test_a_bad_binary_record_closes_with_an_error(hub, frame):
    with open_socket(hub, handshake=None) as opened:
        opened.send(BINARY_HANDSHAKE)
        assert opened.recv(5) == b"{}\x1e"
        opened.send(frame)

        close = opened.recv(5)

        length, fields = close[0], msgpack.unpackb(close[1:])
        assert length == len(close) - 1
        assert fields[0] == 7
        assert fields[1]
        with pytest.raises(ConnectionClosed):
            opened.recv(5)


def test_bad_records_in_a_post_end_the_poll_and_the_stream(hub, http):
    polled, streamed = polling(http, hub), negotiate(hub)
    accept = {"Accept": "text/event-stream"}

    assert http.post(f"{hub}?id={polled}", content=b"\xff\x1e").status_code == 200
    with http.stream("GET", f"{hub}?id={streamed}", headers=accept) as stream:
        httpx.post(f"{hub}?id={streamed}", content=HANDSHAKE + "x\x1e")
        told = "".join(stream.iter_text())

    assert b'"type":7' in http.get(f"{hub}?id={polled}").content
    assert '"type":7' in told
    for token in (polled, streamed):
        assert http.post(f"{hub}?id={token}", content=HANDSHAKE).status_code == 404


def test_a_poll_may_not_go_on_as_something_else(hub, http):
    token = polling(http, hub)

    stream = http.get(f"{hub}?id={token}", headers={"Accept": "text/event-stream"})
    with pytest.raises(InvalidStatus) as refused:
        open_socket(hub, token, None)

    assert stream.status_code == 400
    assert refused.value.response.status_code in (400, 409)
    assert http.get(f"{hub}?id={token}").status_code == 200


def test_whatever_was_sent_nothing_is_left_hanging(hub, http):
    """Every kind of abuse, many at once; afterwards the process has what it had."""
    with open_socket(hub) as watching:
        until_quiet(watching, [1, 100])
        connections, tasks = call(watching, "Life")["result"]

        def abuse(number):
            try:
                if number % 4 == 0:
                    with open_socket(hub, handshake=None) as opened:
                        opened.send(BINARY_HANDSHAKE)
                        opened.send(BAD_BINARY[number % len(BAD_BINARY)])
                        opened.recv(5)
                elif number % 4 == 1:
                    token = polling(http, hub)
                    http.post(f"{hub}?id={token}", content=b"x\x1e")
                elif number % 4 == 2:
                    with open_socket(hub) as opened:
                        record = {"type": 4, "invocationId": "s", "target": "Count"}
                        record["arguments"] = [1000, 0.05]
                        opened.send(json.dumps(record) + "\x1e")
                        opened.socket.close()  # leaves without a word
                else:
                    with open_socket(hub) as opened:
                        opened.send('{"type":1,"target":"Sleep","arguments":[60.0]}\x1e')
                        opened.send("{}\x1e")
            except (ConnectionClosed, OSError):
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(abuse, range(40)))

        until_quiet(watching, [connections, tasks])


def until_quiet(watching, most):
    deadline = time.monotonic() + 20
    while True:
        life = call(watching, "Life")["result"]
        if all(now <= bound for now, bound in zip(life, most, strict=True)):
            return
        assert time.monotonic() < deadline, (life, most)
        time.sleep(0.3)


@pytest.mark.parametrize(
    ("handshake", "answers"),
    [
        ("x\x1e", False),
        ("\x1e", False),
        ("x" * 40_000, False),
        ('{"protocol":"xml","version":1}\x1e', True),
        ('{"protocol":"json","version":9}\x1e', True),
        (b'{"protocol":"messagepack","version":9}\x1e', True),
    ],
)
def test_a_bad_handshake_is_told_if_it_can_be_read(hub, handshake, answers):
    with open_socket(hub, handshake=None) as opened:
        opened.send(handshake)

        if answers:
            assert read(opened).keys() == {"error"}
        with pytest.raises(ConnectionClosed):
            opened.recv(5)


def test_no_handshake_in_time_closes(hub):
    with open_socket(hub, handshake=None) as opened, pytest.raises(ConnectionClosed):
        opened.recv(5)


def test_a_frame_over_the_servers_limit_ends_the_socket(hub):
    with open_socket(hub) as opened:
        opened.send("x" * 70_000)

        with pytest.raises(ConnectionClosed):
            opened.recv(5)
        assert opened.close_code == 1009


def test_a_silent_client_is_pinged_and_then_closed(hub):
    with open_socket(hub) as opened:
        assert read(opened) == {"type": 6}
        close = closing(opened)

    assert close["allowReconnect"] is True


def test_who_does_not_join_is_closed(server):
    with open_socket(f"{server.url}/hubs/strict") as opened:
        assert closing(opened)["error"] == "not_joined"
    with open_socket(f"{server.url}/hubs/strict") as opened:
        call(opened, "Join", "x")
        time.sleep(1)
        assert call(opened, "Echo", "x")["result"] == "x"


def test_a_credential_in_a_frame_closes(hub):
    with open_socket(hub) as opened:
        key = "stk_" + "a" * 16 + ".secretsecret"
        SECRETS.append(key)
        opened.send(json.dumps({"type": 1, "target": "Echo", "arguments": [key]}) + "\x1e")

        assert closing(opened) == {"type": 7, "error": "credential_refused"}


def test_a_credential_in_a_handshake_or_an_address_is_refused(hub, http):
    key = "stk_" + "b" * 16 + ".secretsecret"
    SECRETS.append(key)
    with open_socket(hub, handshake=None) as opened:
        opened.send('{"protocol":"json","version":1,"key":"' + key + '"}\x1e')
        assert json.loads(opened.recv(5)[:-1]) == {"error": "credential_refused"}
        with pytest.raises(ConnectionClosed):
            opened.recv(5)
    for query in (f"key={key}", f"x={key.replace('.', '%2E')}", f"access_token=good&a={key}"):
        assert http.post(f"{hub}/negotiate?{query}").status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{hub.replace('http', 'ws')}?{query}", legacy=True)
        assert refused.value.response.status_code == 401


# Invocations


@pytest.mark.parametrize(
    ("target", "arguments", "error"),
    [
        ("Nope", [], "Unknown hub method 'Nope'"),
        ("echo", ["x"], "Unknown hub method 'echo'"),
        ("Echo", [], "Failed to invoke 'Echo' due to an error on the server."),
        ("Echo", [1], "Failed to invoke 'Echo' due to an error on the server."),
        ("Echo", ["a", "b"], "Failed to invoke 'Echo' due to an error on the server."),
        ("Add", [True, 1], "Failed to invoke 'Add' due to an error on the server."),
        ("Add", [1.5], "Failed to invoke 'Add' due to an error on the server."),
        ("Fail", [], "An unexpected error occurred invoking 'Fail' on the server."),
        (
            "Refuse",
            [],
            "An unexpected error occurred invoking 'Refuse' on the server. "
            "HubException: not_today: Come back tomorrow.",
        ),
    ],
)
def test_a_failed_invocation_says_why_and_closes_nothing(hub, target, arguments, error):
    with open_socket(hub) as opened:
        assert call(opened, target, *arguments)["error"] == error
        assert call(opened, "Add", 1)["result"] == 2


def test_an_invocation_without_an_id_gets_no_answer(hub):
    with open_socket(hub) as opened:
        for target in ("Echo", "Nope", "Fail", "Count"):
            opened.send(json.dumps({"type": 1, "target": target, "arguments": []}) + "\x1e")

        assert call(opened, "Nothing").keys() == {"type", "invocationId"}


def test_a_method_of_the_other_kind_is_an_error(hub):
    with open_socket(hub) as opened:
        assert "streaming" in call(opened, "Count", 1, 0.1)["error"]
        record = {"type": 4, "invocationId": "s", "target": "Echo", "arguments": ["x"]}
        opened.send(json.dumps(record) + "\x1e")
        assert "error" in read_until(opened, lambda message: message.get("invocationId") == "s")


def test_a_streams_error_comes_after_its_items(hub):
    with open_socket(hub) as opened:
        record = {"type": 4, "invocationId": "s", "target": "CountThenFail", "arguments": [2]}
        opened.send(json.dumps(record) + "\x1e")

        assert [read(opened).get("item") for _ in range(2)] == [0, 1]
        assert "no_more" in read(opened)["error"]


def test_the_reader_does_not_wait_for_a_method(hub):
    with open_socket(hub) as opened:
        opened.send('{"type":1,"invocationId":"slow","target":"Sleep","arguments":[1.0]}\x1e')
        opened.send('{"type":4,"invocationId":"s","target":"Count","arguments":[1,0.0]}\x1e')
        opened.send('{"type":1,"invocationId":"next","target":"Nothing"}\x1e')

        order = [read_until(opened, lambda m: m["type"] == 3)["invocationId"] for _ in range(3)]
        assert order == ["s", "slow", "next"]


def test_too_many_invocations_end_the_connection(hub):
    with open_socket(hub) as opened:
        for number in range(60):
            record = {"type": 1, "invocationId": str(number), "target": "Nope"}
            opened.send(json.dumps(record) + "\x1e")

        refused = read_until(opened, lambda message: "rate_limited" in message.get("error", ""))
        assert refused["type"] == 3
        assert closing(opened)["error"] == "rate_limited"


def test_a_full_queue_of_calls_refuses_the_next(hub):
    with open_socket(hub) as opened:
        opened.send('{"type":1,"target":"Sleep","arguments":[1.0]}\x1e')
        for number in range(34):
            record = {"type": 1, "invocationId": str(number), "target": "Nothing"}
            opened.send(json.dumps(record) + "\x1e")

        assert "rate_limited" in read(opened)["error"]
        assert call(opened, "Nothing")["type"] == 3


def test_places_are_counted_and_given_back(hub):
    with open_socket(hub) as one, open_socket(hub) as two:
        assert call(one, "Take", "store:1", 1)["result"] is True
        assert call(one, "Take", "store:1", 1)["result"] is True
        assert call(two, "Take", "store:1", 1)["result"] is False
        one.close()
        time.sleep(0.6)
        assert call(two, "Take", "store:1", 1)["result"] is True


def flood(opened, count):
    record = {"type": 1, "target": "Flood", "arguments": [count, 50_000]}
    opened.send(json.dumps(record) + "\x1e")


def test_a_client_that_is_sent_too_much_at_once_is_told_so(hub):
    with open_socket(hub) as opened:
        flood(opened, 250)

        assert closing(opened) == {"type": 7, "error": "slow_consumer", "allowReconnect": True}


def test_a_client_that_does_not_read_is_dropped_alone(hub):
    port = int(hub.split(":")[2].split("/")[0])
    narrow = socket.create_connection(("127.0.0.1", port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with open_socket(hub) as other, open_socket(hub, sock=narrow, max_queue=1) as stuck:
        call(stuck, "Take", "narrow", 1)
        flood(stuck, 20)

        for _ in range(6):
            assert call(other, "Echo", "still here")["result"] == "still here"
            time.sleep(0.5)
        assert call(other, "Take", "narrow", 1)["result"] is True
        narrow.close()


# Server-sent events


def test_events_come_as_a_stream(hub, http):
    token = negotiate(hub)
    with http.stream("GET", f"{hub}?id={token}", headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["x-accel-buffering"] == "no"
        lines = stream.iter_lines()
        assert next(lines) == ":"
        again = httpx.get(f"{hub}?id={token}", headers={"Accept": "text/event-stream"})
        assert again.status_code == 409
        assert httpx.get(f"{hub}?id={token}").status_code == 400
        assert httpx.post(f"{hub}?id={token}", content=HANDSHAKE).content == b""
        assert next(line for line in lines if line.startswith("data")) == "data: {}"
    time.sleep(0.3)
    assert http.post(f"{hub}?id={token}", content=HANDSHAKE).status_code == 404


def test_a_stream_carries_no_binary_protocol(hub, http):
    token = negotiate(hub)
    with http.stream("GET", f"{hub}?id={token}", headers={"Accept": "text/event-stream"}) as stream:
        httpx.post(f"{hub}?id={token}", content='{"protocol":"messagepack","version":1}\x1e')

        assert '{"error":' in "".join(stream.iter_text())


def test_bytes_that_come_before_the_stream_are_kept(hub, http):
    token = negotiate(hub)
    assert http.post(f"{hub}?id={token}", content=HANDSHAKE).status_code == 200

    with http.stream("GET", f"{hub}?id={token}", headers={"Accept": "text/event-stream"}) as stream:
        assert next(line for line in stream.iter_lines() if line.startswith("data"))


# Long polling


def test_a_poll_waits_and_ends_empty(hub, http):
    token = polling(http, hub)

    started = time.monotonic()
    answer = http.get(f"{hub}?id={token}")

    assert (answer.status_code, answer.content) == (200, b"")
    assert 0.9 < time.monotonic() - started < 2


def test_a_new_poll_ends_the_older_one(hub, http):
    token = polling(http, hub)

    with ThreadPoolExecutor() as pool:
        older = pool.submit(httpx.get, f"{hub}?id={token}")
        time.sleep(0.3)
        newer = pool.submit(httpx.get, f"{hub}?id={token}")

    assert (older.result().status_code, newer.result().status_code) == (204, 200)


def test_a_deleted_connection_says_its_last_once(hub, http):
    token = polling(http, hub)

    statuses = [http.delete(f"{hub}?id={token}").status_code]
    statuses += [http.get(f"{hub}?id={token}").status_code for _ in range(2)]

    assert statuses == [202, 204, 404]
    assert http.post(f"{hub}?id={token}", content=b"x").status_code == 404


def test_asking_again_right_after_the_end_stops_nobody(hub, http):
    for _ in range(30):  # the answer may be out before its poll has let go of the connection
        token = polling(http, hub)
        http.delete(f"{hub}?id={token}")
        assert http.get(f"{hub}?id={token}").status_code == 204
        assert http.get(f"{hub}?id={token}").status_code == 404


def test_what_is_left_comes_before_the_end(hub, http):
    token = polling(http, hub)
    http.post(
        f"{hub}?id={token}", content='{"type":1,"invocationId":"1","target":"Nothing"}\x1ebad\x1e'
    )

    answers = [http.get(f"{hub}?id={token}") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 204, 404]
    assert b'"type":7' in answers[0].content


def test_a_connection_nobody_polls_is_forgotten(hub, http):
    polled, unattached = polling(http, hub), negotiate(hub)

    time.sleep(2.5)

    assert http.get(f"{hub}?id={polled}").status_code == 404
    assert http.get(f"{hub}?id={unattached}").status_code == 404


def test_a_large_post_is_refused(hub, http):
    token = polling(http, hub)
    early = negotiate(hub)

    assert http.post(f"{hub}?id={token}", content=b"x" * 66_000).status_code == 413
    assert http.post(f"{hub}?id={early}", content=b"x" * 60_000).status_code == 200
    assert http.post(f"{hub}?id={early}", content=b"x" * 60_000).status_code == 413


# Stateful reconnect


STATEFUL = '{"protocol":"json","version":2}\x1e'


def stateful_socket(hub):
    token = negotiate(hub, "negotiateVersion=1&useStatefulReconnect=true")
    return token, open_socket(hub, token, STATEFUL)


def test_a_resumed_socket_gets_what_was_not_acknowledged(hub):
    token, first = stateful_socket(hub)
    assert call(first, "Echo", "one")["result"] == "one"
    assert call(first, "Echo", "two")["result"] == "two"
    first.send('{"type":8,"sequenceId":1}\x1e')
    first.send('{"type":1,"target":"Nothing"}\x1e')
    call(first, "Nothing")

    second = open_socket(hub, token, None)  # while the first still looks alive

    assert read(second) == {"type": 9, "sequenceId": 2}
    assert read(second)["result"] == "two"
    record = '{"type":1,"invocationId":"again","target":"Echo","arguments":["x"]}\x1e'
    second.send(record)  # ignored, before the sequence
    second.send('{"type":9,"sequenceId":4}\x1e' + record.replace("again", "old"))
    second.send(record.replace("again", "new"))
    answered = read_until(second, lambda m: m.get("invocationId") in ("again", "old", "new"))
    assert answered["invocationId"] == "new"
    acknowledged = read_until(second, lambda message: message["type"] == 8)
    assert acknowledged["sequenceId"] == 5
    with pytest.raises(ConnectionClosed):
        read_until(first, lambda message: False)
    second.close()
    first.close()


@pytest.mark.parametrize("record", ['{"type":9,"sequenceId":7}', '{"type":8,"sequenceId":7}'])
def test_a_number_from_the_future_closes(hub, record):
    _, opened = stateful_socket(hub)

    opened.send(record + "\x1e")

    assert closing(opened)["error"]


def test_nobody_resumes_after_the_window(hub):
    token, opened = stateful_socket(hub)
    opened.close()

    time.sleep(2.8)

    with pytest.raises(InvalidStatus) as refused:
        open_socket(hub, token, None)
    assert refused.value.response.status_code == 404


def test_a_client_that_says_goodbye_is_not_waited_for(hub):
    token, opened = stateful_socket(hub)
    opened.send('{"type":7}\x1e')
    with pytest.raises(ConnectionClosed):
        opened.recv(5)

    with pytest.raises(InvalidStatus):
        open_socket(hub, token, None)
