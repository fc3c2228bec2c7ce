"""A wire between clients and servers that a test can cut or hold."""

import socket
import threading
from contextlib import contextmanager, suppress
from itertools import cycle


class Proxy:
    """Passes each TCP connection to the next of the ports."""

    def __init__(self, *ports):
        self.ports = cycle(ports)
        self.ends = []
        self.is_away = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.is_away:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", next(self.ports)))
            except OSError:
                client.close()
                continue
            self.ends += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(source, target), daemon=True).start()

    def pump(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        hang_up(source)
        hang_up(target)

    def cut(self):
        """As a network that goes away and comes back."""
        for end in self.ends:
            hang_up(end)

    @contextmanager
    def away(self):
        """As a network that is gone for a while."""
        self.is_away = True
        self.cut()
        yield
        self.is_away = False

    def close(self):
        self.listener.close()
        for end in self.ends:
            hang_up(end)
            end.close()


def hang_up(end):
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
