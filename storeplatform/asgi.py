"""The application that uvicorn serves: the front, Django behind it, websockets to Channels."""

import os
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import re_path

from storeplatform.serving import Front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storeplatform.settings")
wsgi = get_wsgi_application()


class NoSuchSocket(AsyncWebsocketConsumer):
    """Refuses paths without a hub."""

    async def connect(self) -> None:
        await self.close()


sockets: Any = URLRouter([re_path(r"", NoSuchSocket.as_asgi())])
application = Front(
    wsgi, websocket=sockets, threads=settings.THREADS, origin=settings.PUBLIC_ORIGIN
)
