import json

import httpx
import pytest
from websockets.sync.client import connect

from tests.servers import RunningServer


@pytest.fixture(scope="module")
def server():
    server = RunningServer(
        workers=1, application="tests.signalr.echo:application", LOG_LEVEL="INFO"
    )
    yield server
    assert server.stop() == 0


def test_a(server):
    r = httpx.post(f"{server.url}/hubs/echo/negotiate?negotiateVersion=1").json()
    print(r)
    with connect(f"{server.url}/hubs/echo?id={r['connectionToken']}".replace("http", "ws")) as ws:
        ws.send('{"protocol":"json","version":1}\x1e')
        assert ws.recv() == "{}\x1e"
        for i, (t, a) in enumerate(
            [
                ("Echo", ["x"]),
                ("Add", [1]),
                ("Add", ["1"]),
                ("Nope", []),
                ("Fail", []),
                ("Refuse", []),
                ("Nothing", []),
                ("Join", ["g"]),
                ("Say", ["g", "hello"]),
            ]
        ):
            ws.send(
                json.dumps({"type": 1, "invocationId": str(i), "target": t, "arguments": a})
                + "\x1e"
            )
            print(ws.recv())
        print(ws.recv())
        ws.send(
            json.dumps(
                {"type": 4, "invocationId": "s", "target": "CountThenFail", "arguments": [3]}
            )
            + "\x1e"
        )
        for _ in range(4):
            print(ws.recv())
        ws.send("x\x1e")
        print(ws.recv())
