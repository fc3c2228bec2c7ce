from tests.openapi.clients import FOLDER
from tests.signalr.clients import install

install(FOLDER)
