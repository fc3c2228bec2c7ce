"""@modelcontextprotocol/conformance: its scenarios that need no fixture tools, both revisions."""

import re
import socket
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest

from tests.mcp.agents import a_token, an_agent, an_application
from tests.mcp.clients import CHECKS, node
from tests.mcp.people import Browser

SERVER = [
    ("server-initialize", "2025-11-25"),
    ("ping", "2025-11-25"),
    ("tools-list", "2025-11-25"),
    ("resources-list", "2025-11-25"),
    ("prompts-list", "2025-11-25"),
    ("dns-rebinding-protection", "2025-11-25"),
    ("server-stateless", "2026-07-28"),
    ("tools-list", "2026-07-28"),
    ("resources-list", "2026-07-28"),
    ("prompts-list", "2026-07-28"),
    ("dns-rebinding-protection", "2026-07-28"),
    ("caching", "2026-07-28"),
    ("http-header-validation", "2026-07-28"),
    ("sep-2164-resource-not-found", "2026-07-28"),
]


class WithToken(BaseHTTPRequestHandler):
    """Adds the bearer that the checks themselves cannot send."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        target, token = self.server.target
        there, own = urlsplit(target), f"localhost:{self.server.server_port}"
        connection = HTTPConnection(there.hostname, there.port, timeout=30)
        connection.putrequest(self.command, there.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "authorization"):
                connection.putheader(name, value.replace(own, there.netloc))
        connection.putheader("authorization", f"Bearer {token}")
        connection.endheaders(self.rfile.read(int(self.headers.get("content-length", 0))))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name not in ("connection", "content-length", "transfer-encoding", "date"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_OPTIONS = pass_on  # noqa: N815  # the base class asks so

    def log_message(self, *_):
        pass


@pytest.fixture
def open_door(server, shop, settings):
    """The server's address with the owner's agent let in already."""
    settings.MCP_RESOURCE = server.mcp
    door = ThreadingHTTPServer(("127.0.0.1", 0), WithToken)
    door.target = (server.mcp, a_token(an_agent(shop)))
    thread = threading.Thread(target=door.serve_forever)
    thread.start()
    yield f"http://localhost:{door.server_port}/mcp"
    door.shutdown()
    thread.join()
    door.server_close()


@pytest.mark.parametrize(("scenario", "revision"), SERVER)
def test_the_server_conforms(open_door, scenario, revision):
    checks = node(
        CHECKS, "server", "--url", open_door, "--scenario", scenario, "--spec-version", revision
    )

    told, _ = checks.communicate(timeout=180)

    if scenario == "server-stateless":  # asks for fixture tools too, which we never ship
        faults = re.findall(r"^ *Error: (.*)", told, re.MULTILINE)
        assert all(one.startswith("Not testable: server does not list") for one in faults), told
        assert "Passed: 21/25" in told, told
    else:
        assert checks.returncode == 0, told
        assert "0 failed" in told, told


def test_the_authorization_server_conforms(server, shop, browser, tmp_path):
    """Its documents, and the grant of a code with a person in between."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = an_application(redirect_uris=f"http://127.0.0.1:{port}/callback")
    checks = node(
        CHECKS, "authorization", "--url", server.url, "--client-id", client.client_id,
        "--resource", server.mcp, "--port", port, "--output-dir", tmp_path,
    )  # fmt: skip
    told = []
    for line in checks.stdout:
        told.append(line)
        if link := re.search(r"http\S+/authorize\?\S+", line):
            visit(browser, link[0], port)
    checks.wait(timeout=180)
    checks.stdout.close()

    text = "".join(told)
    found = [file.read_text() for file in tmp_path.rglob("*.json")]
    assert checks.returncode == 0, (text, found)
    assert "Total: 3 passed, 0 failed" in text


def visit(browser: Browser, url, port):
    given = browser.decide(url)
    httpx.get(f"http://127.0.0.1:{port}/callback", params=given, timeout=30)
