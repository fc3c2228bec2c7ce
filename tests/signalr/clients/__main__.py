from tests.signalr.clients import install

install()
