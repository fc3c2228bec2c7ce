"""Drives PyPI pysignalr: one JSON command a line in, one JSON fact a line out."""

import asyncio
import json
import sys

from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol


def say(**fact):
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


async def main(url, protocol, events, token=None, **_):
    spoken = MessagepackProtocol() if protocol == "messagepack" else JSONProtocol()
    hub = SignalRClient(
        url,
        protocol=spoken,
        retry_sleep=0.2,
        headers={"Authorization": f"Bearer {token}"} if token else None,
    )
    waiting = {}

    def listener(event):
        async def hear(arguments):
            say(event=event, arguments=arguments)

        return hear

    async def opened():
        say(state="connected")

    async def closed():
        say(state="reconnecting")

    async def failed(message):
        say(id=waiting.pop(message.invocation_id, None), error=message.error)

    for event in events:
        hub.on(event, listener(event))
    hub.on_open(opened)
    hub.on_close(closed)
    hub.on_error(failed)
    running = asyncio.create_task(hub.run())
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        if command["do"] == "stop":
            break
        await do(hub, waiting, command)
    running.cancel()


async def do(hub, waiting, command):
    number, method, arguments = command.get("id"), command["method"], command["arguments"]
    if command["do"] == "invoke":
        before = set(hub._invocation_handlers)

        async def done(message):
            say(id=number, result=getattr(message, "result", None))

        await hub.send(method, arguments, done)
        for invocation in set(hub._invocation_handlers) - before:
            waiting[invocation] = number
    elif command["do"] == "send":
        await hub.send(method, arguments)
    elif command["do"] == "stream":

        async def item(value):
            say(id=number, item=value)

        async def complete(message):
            say(id=number, result=None)

        async def error(message):
            say(id=number, error=message.error)

        await hub.stream(method, arguments, item, complete, error)


asyncio.run(main(**json.loads(sys.argv[1])))
