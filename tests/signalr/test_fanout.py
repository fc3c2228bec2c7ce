"""One process's subscription: who joins while others leave, or while it begins, hears all."""

import asyncio
import os

import pytest

from chat.signalr.fanout import Bus


async def with_bus(body):
    bus, tasks = Bus(os.environ["REDIS_URL"], asyncio.create_task), []

    def begin():
        tasks.append(asyncio.create_task(bus.listen()))

    try:
        await body(bus, begin)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await bus.close()


def heard_by(bus, channel):
    """What comes to a channel from when it is subscribed."""
    heard = asyncio.Queue()
    return heard, asyncio.create_task(bus.subscribe(channel, heard.put_nowait))


async def next_of(heard):
    async with asyncio.timeout(30):
        return await heard.get()


def test_who_comes_back_while_the_last_is_leaving_hears_all():
    async def body(bus, begin):
        _, joining = heard_by(bus, "test:left")
        begin()
        await joining
        async with bus.lock:  # somebody else's subscription is under way
            leaving = asyncio.create_task(bus.unsubscribe("test:left"))
            await asyncio.sleep(0)
            heard, coming = heard_by(bus, "test:left")
            await asyncio.sleep(0)
        await asyncio.gather(leaving, coming)

        await bus.publish("test:left", b"news")

        assert await next_of(heard) == b"news"

    asyncio.run(with_bus(body))


def test_who_joins_while_the_subscription_begins_hears_all():
    async def body(bus, begin):
        _, first = heard_by(bus, "test:first")
        begin()
        while bus.subscriber.connection_pool._in_use_connections == set():
            await asyncio.sleep(0)
        heard, second = heard_by(bus, "test:second")

        await asyncio.gather(first, second)
        await bus.publish("test:second", b"news")

        assert await next_of(heard) == b"news"

    asyncio.run(with_bus(body))


@pytest.mark.parametrize("fault", [ValueError, KeyError])
def test_what_a_listener_cannot_read_ends_nothing(fault):
    async def body(bus, begin):
        def fails(data):
            raise fault

        heard, joining = heard_by(bus, "test:sound")
        failing = asyncio.create_task(bus.subscribe("test:failing", fails))
        begin()
        await asyncio.gather(joining, failing)

        await bus.publish("test:failing", b"unreadable")
        await bus.publish("test:sound", b"news")

        assert await next_of(heard) == b"news"

    asyncio.run(with_bus(body))
