"""A hub for the tests of `chat.signalr`, behind the real front."""

import asyncio
import json
import os
import re

from channels.routing import URLRouter
from django.urls import re_path

from chat.signalr.hub import Hub, HubError, method
from chat.signalr.server import HubServer
from chat.signalr.settings import Settings
from chat.signalr.transports import HubConsumer
from storeplatform.kernel import logging
from storeplatform.serving import Front


class EchoHub(Hub):
    name = "echo"
    forbidden = re.compile(rb"stk_[0-9A-Za-z]{16}\.")
    cleaned_up = 0

    @method("Echo")
    async def echo(self, text: str) -> str:
        return text

    @method("EchoAny")
    async def echo_any(self, value: object) -> object:
        return value

    @method("Add")
    async def add(self, a: int, b: int = 1) -> int:
        return a + b

    @method("Nothing")
    async def nothing(self) -> None:
        pass

    @method("Refuse")
    async def refuse(self) -> None:
        raise HubError("not_today", "Come back tomorrow.")

    @method("Fail")
    async def fail(self) -> None:
        raise RuntimeError("a secret detail")

    @method("Sleep")
    async def sleep(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    @method("Process")
    async def process(self) -> str:
        return self.connection.server.process

    @method("Join")
    async def join(self, group: str) -> None:
        self.connection.joined = True
        await self.connection.join(group)

    @method("Leave")
    async def leave(self, group: str) -> None:
        self.connection.leave(group)

    @method("Say")
    async def say(self, group: str, text: str) -> None:
        message = {"event": "Said", "arguments": [{"text": text}]}
        await self.connection.server.publish(EchoHub, group, message)

    @method("TellMe")
    async def tell_me(self, count: int, size: int = 1) -> None:
        for number in range(count):
            await self.connection.drain()
            self.connection.send("Told", {"number": number, "filling": "x" * size})

    @method("Flood")
    async def flood(self, count: int, size: int) -> None:
        for number in range(count):
            self.connection.send("Told", {"number": number, "filling": "x" * size})

    @method("Take")
    async def take(self, count: str, most: int) -> bool:
        return await self.connection.take_place(count, most)

    @method("Bye")
    async def bye(self, error: str | None, may_return: bool) -> None:
        self.connection.close(error, allow_reconnect=may_return)

    @method("Cut")
    async def cut(self) -> None:
        """Drop the transport, as a network would."""
        carrier = self.connection.carrier
        carrier.abort()

    @method("Life")
    async def life(self) -> list[int]:
        """How many connections and tasks this process has."""
        server = self.connection.server
        return [len(server.connections), len(server.tasks)]

    @method("CleanedUp")
    async def cleaned(self) -> int:
        return EchoHub.cleaned_up

    @method("Count")
    async def count(self, to: int, pause: float):
        try:
            for number in range(to):
                await asyncio.sleep(pause)
                yield number
        finally:
            EchoHub.cleaned_up += 1

    @method("CountThenFail")
    async def count_then_fail(self, to: int):
        for number in range(to):
            yield number
        raise HubError("no_more", "That is all.")

    @classmethod
    async def check_credential(cls, credential):
        return credential == "good"


class StrictHub(EchoHub):
    """Closes who does not join."""

    name = "strict"
    join_seconds = 0.5


def no_pages(environ, start_response):
    start_response("200 OK", [])
    return [b"ready"]


logging.configure(os.environ.get("LOG_LEVEL", "INFO"))
settings = Settings(**json.loads(os.environ.get("HUB", "{}")))
server = HubServer(os.environ["REDIS_URL"], [EchoHub, StrictHub], settings)
consumer = URLRouter([re_path("", HubConsumer.as_asgi(server=server))])
application = Front(no_pages, hubs=consumer, drain=server.drain)
