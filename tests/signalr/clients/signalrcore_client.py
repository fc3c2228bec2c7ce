"""Drives PyPI signalrcore: one JSON command a line in, one JSON fact a line out."""

import json
import logging
import os
import sys

from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.types import HttpTransportType, HubProtocolEncoding

TRANSPORTS = {
    "WebSockets": HttpTransportType.web_sockets,
    "ServerSentEvents": HttpTransportType.server_sent_events,
    "LongPolling": HttpTransportType.long_polling,
}
ENCODINGS = {"json": HubProtocolEncoding.text, "messagepack": HubProtocolEncoding.binary}


def say(**fact):
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def main(url, transport, protocol, events, **_):
    hub = (
        HubConnectionBuilder()
        .with_url(url, options={"transport": TRANSPORTS[transport]})
        .with_hub_protocol(ENCODINGS[protocol])
        .configure_logging(logging.CRITICAL)
        .with_automatic_reconnect({"type": "interval", "intervals": [0.2, 0.5, 1, 1, 2, 2, 2]})
        .build()
    )
    waiting = {}
    for event in events:
        hub.on(event, lambda arguments, event=event: say(event=event, arguments=arguments))
    hub.on_open(lambda: say(state="connected"))
    hub.on_reconnect(lambda: say(state="reconnecting"))
    hub.on_close(lambda: say(state="closed"))
    hub.on_error(lambda m: say(id=waiting.get(m.invocation_id), error=m.error))
    hub.start()
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "stop":
            hub.stop()
        elif command["do"] == "start":
            hub.start()
        else:
            do(hub, waiting, command)
    os._exit(0)  # its own stop waits up to 15 seconds for a thread


def do(hub, waiting, command):
    number, method, arguments = command.get("id"), command["method"], command["arguments"]
    if command["do"] == "stream":
        hub.stream(method, arguments).subscribe(
            {
                "next": lambda item: say(id=number, item=item),
                "complete": lambda _: say(id=number, result=None),
                "error": lambda m: say(id=number, error=m.error),
            }
        )
    else:
        invocation = f"call-{number}"
        waiting[invocation] = number

        def done(message):
            if message.error is None:
                say(id=number, result=message.result)

        hub.invoke(method, arguments, done, invocation)


main(**json.loads(sys.argv[1]))
