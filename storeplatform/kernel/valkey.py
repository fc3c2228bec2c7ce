"""The connection to Valkey (or Redis). What it holds may vanish at any time; nothing here fails a
request when it is away."""

from functools import cache
from typing import Any

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)


@cache
def client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, health_check_interval=30
    )


def answers() -> bool:
    try:
        return bool(client().ping())
    except redis.RedisError:
        return False


def get(name: str) -> bytes | None:
    try:
        value: Any = client().get(name)
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)
        return None
    return bytes(value) if value is not None else None


def put(name: str, value: str | bytes, *, seconds: int) -> None:
    try:
        client().set(name, value, ex=seconds)
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)


def hold(name: str, *, seconds: int) -> bool:
    """Whether nobody else holds a name: it is the caller's until `release`, or for so long."""
    try:
        return bool(client().set(name, "held", nx=True, ex=seconds))
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)
        return True


def release(name: str) -> None:
    try:
        client().delete(name)
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)


def count(name: str, *, seconds: int) -> None:
    """One more of a kind, remembered for a while."""
    try:
        pipeline = client().pipeline()
        pipeline.incr(name)
        pipeline.expire(name, seconds)
        pipeline.execute()
    except redis.RedisError as error:
        log.warning("valkey_away", error=type(error).__name__)
