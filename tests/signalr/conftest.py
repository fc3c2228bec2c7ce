"""The echo hub on real servers, and real clients for it."""

import pytest

from tests.servers import RunningServer
from tests.signalr.clients import Client
from tests.signalr.proxy import Proxy

APPLICATION = "tests.signalr.echo:application"
TOPOLOGIES = {"one process": [1], "two processes": [1, 1], "two workers": [2]}


@pytest.fixture(scope="session", params=TOPOLOGIES)
def wire(request):
    """A proxy before one server, two servers in turn, or one of two workers."""
    servers = [RunningServer(workers, APPLICATION) for workers in TOPOLOGIES[request.param]]
    proxy = Proxy(*(server.port for server in servers))
    yield proxy
    proxy.close()
    for server in servers:
        server.stop()


@pytest.fixture
def client(wire):
    """Makes clients that are stopped in the end."""
    clients = []

    def connect(*options, path="/hubs/echo", **more):
        library, *options = options
        made = Client(library, wire.url + path, *options, **more)
        clients.append(made)
        made.wait_for({"state": "connected"})
        return made

    yield connect
    for made in clients:
        made.stop()
