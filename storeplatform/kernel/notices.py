"""Word from one process to all others, carried by Channels' layer over Redis.

A notice may be lost; whoever sends one has something slower behind it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

Notice = dict[str, Any]
GROUP = "processes"
PAUSE_SECONDS = 1.0


def tell(notice: Notice) -> None:
    """Tell every process that listens, this one too. Not from inside an event loop."""
    try:
        async_to_sync(get_channel_layer().group_send)(GROUP, {"type": "notice", **notice})
    except (RedisError, OSError) as error:
        log.warning("notice_lost", error=type(error).__name__)


async def listen(hear: Callable[[Notice], None]) -> None:
    """Hear what is told, for as long as the process runs."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    while True:
        try:
            await layer.group_add(GROUP, channel)
            while True:
                hear(await layer.receive(channel))
        except (RedisError, OSError) as error:
            log.warning("notices_wait", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
