"""What the processes know together, in Redis: negotiated tokens, owners, and how many there are.

Everything a process holds counts for as long as its one lease lives, so that a crashed process
leaks nothing and a living one renews a single key.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgpack
from redis.asyncio import Redis

from chat.signalr.settings import Settings

DAY = 86_400

# Take a place in the count of KEYS[1] unless all ARGV[2] are taken by living processes.
TAKE = """
local total, counts = 0, redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
  if counts[i] == ARGV[1] or redis.call('EXISTS', ARGV[3] .. counts[i]) == 1 then
    total = total + counts[i+1]
  else
    redis.call('HDEL', KEYS[1], counts[i])
  end
end
if total >= tonumber(ARGV[2]) then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
GIVE_BACK = """
if redis.call('HINCRBY', KEYS[1], ARGV[1], -tonumber(ARGV[2])) <= 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
"""


class TooManyConnections(Exception):
    """One address has as many as it may."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What negotiation left for whoever attaches."""

    hub: str
    connection_id: str
    stateful: bool


class Registry:
    def __init__(self, redis: "Redis", process: str, settings: Settings) -> None:
        self.redis, self.process, self.settings = redis, process, settings
        self.take_script = redis.register_script(TAKE)
        self.give_back_script = redis.register_script(GIVE_BACK)
        # Writes that nobody waits for; `flush` makes them together.
        self.ended: list[str] = []
        self.lasting: list[str] = []
        self.given_back: Counter[str] = Counter()

    async def renew_lease(self) -> None:
        await self.redis.set(lease_key(self.process), 1, ex=self.settings.lease_seconds)

    async def drop_lease(self) -> None:
        await self.redis.delete(lease_key(self.process))

    async def negotiate(self, token: str, record: Negotiated) -> None:
        data = msgpack.packb([record.hub, record.connection_id, record.stateful])
        seconds = int(self.settings.handshake_seconds * 1000)
        await self.redis.set(negotiated_key(token), data, px=seconds)

    async def claim(self, token: str) -> tuple[str | None, Negotiated | None]:
        """The process that owns the token's connection, and what was negotiated when that is us
        from now on. None for a token unknown, forgotten or of a dead process."""
        data, owner = await self.redis.mget(negotiated_key(token), owner_key(token))
        if owner is None and data is not None:
            taken = await self.redis.set(
                owner_key(token), self.process, nx=True, ex=self.settings.owner_seconds
            )
            if taken:
                await self.redis.delete(negotiated_key(token))
                return self.process, Negotiated(*msgpack.unpackb(data))
            owner = await self.redis.get(owner_key(token))
        return owner.decode() if owner else None, None

    async def take_place(self, count: str, most: int) -> bool:
        """Whether there was room for one more in a count over all processes."""
        taken = await self.take_script(
            keys=[count_key(count)], args=[self.process, most, lease_key(""), DAY]
        )
        return bool(taken)

    async def over_rate(self, count: str, most: int, seconds: int) -> bool:
        """Whether this, which is counted, is more than `most` in a window of `seconds`."""
        key = f"hub:rate:{count}"
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, seconds, nx=True)
            number, _ = await pipeline.execute()
        return int(number) > most

    async def flush(self) -> None:
        """Make the writes that were put off. Raises RedisError; they are then made later."""
        ended, lasting, given_back = list(self.ended), list(self.lasting), Counter(self.given_back)
        if not (ended or lasting or given_back):
            return
        async with self.redis.pipeline(transaction=False) as pipeline:
            for token in ended:
                pipeline.delete(owner_key(token))
            for token in lasting:
                pipeline.set(owner_key(token), self.process, ex=self.settings.owner_seconds)
            for count, places in given_back.items():
                await self.give_back_script(
                    keys=[count_key(count)], args=[self.process, places], client=pipeline
                )
            await pipeline.execute()
        del self.ended[: len(ended)], self.lasting[: len(lasting)]
        self.given_back -= given_back

    async def living(self, processes: Iterable[str]) -> dict[str, bool]:
        """Which processes hear their channel. A killed one is known at once, by its socket."""
        channels = [process_channel(process) for process in processes]
        counts: Any = await self.redis.pubsub_numsub(*channels)
        prefix = len(process_channel(""))
        return {channel.decode()[prefix:]: bool(count) for channel, count in counts}


def lease_key(process: str) -> str:
    return f"hub:lease:{process}"


def negotiated_key(token: str) -> str:
    return f"hub:negotiated:{token}"


def owner_key(token: str) -> str:
    return f"hub:owner:{token}"


def count_key(count: str) -> str:
    return f"hub:count:{count}"


def process_channel(process: str) -> str:
    return f"hub:process:{process}"
