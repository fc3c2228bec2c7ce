import sys

from tests.signalr.clients import install

install(sys.argv[1])
