"""The application that uvicorn serves: the front, Django behind it, hubs hosted by Channels, the
MCP server at its one path."""

import os
from functools import partial
from typing import Any

from channels.routing import URLRouter
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver, re_path

from chat.signalr.server import HubServer
from chat.signalr.settings import Settings
from chat.signalr.transports import HubConsumer
from storeplatform.kernel import memory, notices
from storeplatform.kernel.cache import forget_too
from storeplatform.serving import Front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storeplatform.settings")
wsgi = get_wsgi_application()

from chat.hub import HUBS  # noqa: E402  # it has models, so Django must be set up
from integrations.mcp.gateway import Gateway  # noqa: E402
from storeplatform.kernel import metrics  # noqa: E402

assert get_resolver().url_patterns  # loads the views now, not with the first request
numbers: dict[str, Any] = settings.HUB
hub_settings = Settings(
    origins=tuple(settings.CORS_ALLOWED_ORIGINS),
    trusted_proxies=settings.TRUSTED_PROXY_COUNT,
    limit_addresses=settings.RATE_LIMITS == "on",
    **numbers,
)
hubs = HubServer(settings.REDIS_URL, hubs=HUBS, settings=hub_settings)
channels: Any = URLRouter([re_path(r"", HubConsumer.as_asgi(server=hubs))])
application = Front(
    wsgi,
    hubs=channels,
    apps={settings.MCP_PATH: Gateway()},
    drain=hubs.drain,
    beside=[partial(notices.listen, forget_too), metrics.keep_sampling, memory.keep_trimmed],
    threads=settings.THREADS,
    origin=settings.PUBLIC_ORIGIN,
    told=metrics.refused,
)
metrics.from_process("requests_running", lambda: application.running)
metrics.from_process("hub_connections", lambda: len(hubs.connections))
