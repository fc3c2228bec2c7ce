"""The application that uvicorn serves: the front, Django behind it, hubs hosted by Channels, the
MCP server at its one path."""

import asyncio
import os
from functools import partial
from importlib import import_module
from typing import Any

from channels.routing import URLRouter
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import re_path

from chat.signalr.server import HubServer
from chat.signalr.settings import Settings
from chat.signalr.transports import HubConsumer
from storeplatform.kernel import memory, notices
from storeplatform.kernel.cache import forget_too
from storeplatform.serving import Front, Receive, Scope, Send

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storeplatform.settings")
wsgi = get_wsgi_application()

from chat.hub import HUBS  # noqa: E402  # it has models, so Django must be set up
from storeplatform.kernel import metrics  # noqa: E402

import_module(settings.ROOT_URLCONF)  # the views, now and not with the first request
numbers: dict[str, Any] = settings.HUB
hub_settings = Settings(
    origin=settings.PUBLIC_ORIGIN,
    origins=tuple(settings.CORS_ALLOWED_ORIGINS),
    trusted_proxies=settings.TRUSTED_PROXY_COUNT,
    limit_addresses=settings.RATE_LIMITS == "on",
    **numbers,
)
hubs = HubServer(settings.REDIS_URL, hubs=HUBS, settings=hub_settings)


class Agents:
    """The MCP server, loaded with the first call of an agent: its SDK knows two revisions of the
    protocol and is a tenth of a worker's memory."""

    def __init__(self) -> None:
        self.gateway: Any = None
        self.loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.loading:
            if self.gateway is None:
                module = await asyncio.to_thread(import_module, "integrations.mcp.gateway")
                self.gateway = module.Gateway()
        await self.gateway(scope, receive, send)

    async def start(self) -> None:
        """Nothing before the first call."""

    async def stop(self) -> None:
        if self.gateway is not None:
            await self.gateway.stop()


channels: Any = URLRouter([re_path(r"", HubConsumer.as_asgi(server=hubs))])
application = Front(
    wsgi,
    hubs=channels,
    apps={settings.MCP_PATH: Agents()},
    drain=hubs.drain,
    beside=[partial(notices.listen, forget_too), metrics.keep_sampling, memory.keep_trimmed],
    threads=settings.THREADS,
    origin=settings.PUBLIC_ORIGIN,
    told=metrics.refused,
)
metrics.from_process("requests_running", lambda: application.running)
metrics.from_process("hub_connections", lambda: len(hubs.connections))
