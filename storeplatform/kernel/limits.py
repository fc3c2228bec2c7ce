"""Rate limits: token buckets in Valkey, all buckets of a request in one atomic script
(platform.md, section 6)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import redis
import structlog
from django.conf import settings

from storeplatform.kernel.errors import TooMany
from storeplatform.kernel.valkey import client

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` tokens, refilled evenly over `window` seconds."""

    name: str
    quota: int
    window: int


POLICIES = {
    policy.name: policy
    for policy in (
        Policy("integration-read", 600, 60),
        Policy("integration-write", 300, 60),
        Policy("integration-store", 1200, 60),
        Policy("dashboard", 1200, 60),
        Policy("auth-failure", 20, 60),
        Policy("hub-token", 30, 60),
        Policy("widget-session", 10, 60),
        Policy("widget-message", 20, 60),
        Policy("widget-upload", 10, 600),
        Policy("widget-read", 240, 60),
        Policy("nawa-inbound", 1200, 60),
        Policy("webhook-replay", 60, 3600),
        Policy("agent", 60, 60),
        Policy("agent-store", 300, 60),
        Policy("agent-write", 10, 60),
        Policy("agent-failure", 30, 60),
        Policy("oauth-token", 60, 60),
        Policy("oauth-register", 10, 3600),
    )
}


@dataclass(frozen=True, slots=True)
class Bucket:
    policy: Policy
    partition: str
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Level:
    """What is left of a bucket. `seconds` until it is full, or until the next token."""

    policy: Policy
    allowed: bool
    left: int
    seconds: int


# Each bucket is a hash of its level and the time it was read. All are charged, or none.
SCRIPT = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local levels, allowed = {}, 1
for i, key in ipairs(KEYS) do
  local quota, window, cost = tonumber(ARGV[i*3-2]), tonumber(ARGV[i*3-1]), tonumber(ARGV[i*3])
  local kept = redis.call('HMGET', key, 'l', 't')
  local level = quota
  if kept[1] then
    level = math.min(quota, tonumber(kept[1]) + (now - tonumber(kept[2])) * quota / window)
  end
  levels[i] = level
  if level < cost then allowed = 0 end
end
local answer = {}
for i, key in ipairs(KEYS) do
  local quota, window, cost = tonumber(ARGV[i*3-2]), tonumber(ARGV[i*3-1]), tonumber(ARGV[i*3])
  local enough = levels[i] >= cost and 1 or 0
  if allowed == 1 then levels[i] = levels[i] - cost end
  redis.call('HSET', key, 'l', tostring(levels[i]), 't', tostring(now))
  redis.call('EXPIRE', key, math.ceil(window) + 1)
  answer[#answer+1] = enough
  answer[#answer+1] = tostring(levels[i])
end
return answer
"""


@cache
def script() -> Any:
    return client().register_script(SCRIPT)


def charge(buckets: Sequence[Bucket]) -> list[Level]:
    """Take the tokens and tell what is left; nothing when limits are off or Valkey is away."""
    if not buckets or settings.RATE_LIMITS == "off":
        return []
    keys = [f"limit:{bucket.policy.name}:{bucket.partition}" for bucket in buckets]
    numbers = [n for b in buckets for n in (b.policy.quota, b.policy.window, b.cost)]
    try:
        answer = script()(keys=keys, args=numbers)
    except redis.RedisError as error:
        log.warning("limits_away", error=type(error).__name__)
        return []
    levels = []
    for bucket, enough, text in zip(buckets, answer[::2], answer[1::2], strict=True):
        policy, left = bucket.policy, float(text)
        missing = policy.quota - left if enough else bucket.cost - left
        seconds = ceil(missing * policy.window / policy.quota)
        levels.append(Level(policy, bool(enough), max(0, int(left)), max(0, seconds)))
    return levels


def headers(levels: Sequence[Level]) -> dict[str, str]:
    """RateLimit headers, the tightest policy first, and the older X- names for that one."""
    if not levels:
        return {}
    ordered = sorted(levels, key=lambda level: level.left / level.policy.quota)
    tightest = ordered[0]
    return {
        "RateLimit-Policy": ", ".join(
            f'"{level.policy.name}";q={level.policy.quota};w={level.policy.window}'
            for level in ordered
        ),
        "RateLimit": ", ".join(
            f'"{level.policy.name}";r={level.left};t={level.seconds}' for level in ordered
        ),
        "X-RateLimit-Limit": str(tightest.policy.quota),
        "X-RateLimit-Remaining": str(tightest.left),
        "X-RateLimit-Reset": str(int(time.time()) + tightest.seconds),
    }


def refuse_over(levels: Sequence[Level]) -> None:
    """Raises TooMany for the bucket that needs longest, unless limits only count."""
    empty = [level for level in levels if not level.allowed]
    if not empty or settings.RATE_LIMITS == "count":
        return
    worst = max(empty, key=lambda level: level.seconds)
    refusal = TooMany(
        "rate_limited",
        "Too many requests; wait and try again.",
        retry_after=max(1, worst.seconds),
        policy=worst.policy.name,
    )
    refusal.headers |= headers(levels)
    raise refusal
