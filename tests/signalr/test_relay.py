"""Long polls that reach another process than the owner of their connection, when the news that an
answer is written comes late, comes not at all, or is lost."""

import asyncio
import os
from collections import Counter

import pytest

from chat.signalr.server import HubServer
from chat.signalr.settings import Settings
from tests.signalr.echo import EchoHub
from tests.signalr.test_wire import HANDSHAKE

SETTINGS = Settings(poll_seconds=0.4, write_seconds=0.5, tick_seconds=0.1, limit_addresses=False)
ACCEPTED = b"{}\x1e"
EMPTY = (200, b"")
CALL = b'{"type":1,"invocationId":"1","target":"Echo","arguments":["once"]}\x1e'
RESULT = b'{"type":3,"invocationId":"1","result":"once"}\x1e'


class Process:
    """One of several servers, all in this event loop, and the news it has still to tell."""

    def __init__(self):
        self.hubs = HubServer(os.environ["REDIS_URL"], [EchoHub], SETTINGS)
        self.holds_back = self.loses_news = False
        self.has_answered, self.may_tell = asyncio.Event(), asyncio.Event()

    async def start(self):
        await self.hubs.start()
        tell, told = self.hubs.relay.tell, Counter()

        async def held_back(process, kind, tunnel, content):
            told[tunnel, kind] += 1
            if told[tunnel, "written"] == 2 and kind == "written":  # the head, then the body
                self.has_answered.set()
                if self.loses_news:
                    return
                if self.holds_back:
                    await self.may_tell.wait()
            await tell(process, kind, tunnel, content)

        self.hubs.relay.tell = held_back

    def request(self, method, token="", body=b"", path="/hubs/echo", leaves=None):
        """A task whose result is status and body. `leaves` is an event: the client hangs up."""
        return asyncio.create_task(self.answer(method, token, body, path, leaves))

    async def answer(self, method, token, body, path, leaves):
        query = f"id={token}" if token else "negotiateVersion=0"
        scope = {
            "type": "http", "method": method, "path": path, "headers": [],
            "query_string": query.encode(), "client": ("127.0.0.1", 1), "extensions": {},
        }  # fmt: skip
        unread = [{"type": "http.request", "body": body, "more_body": False}]
        parts, over = [], leaves or asyncio.Event()

        async def receive():
            if unread:
                return unread.pop()
            await over.wait()  # as uvicorn does: also once the answer is complete
            return {"type": "http.disconnect"}

        async def send(event):
            parts.append(event)
            if event["type"] == "http.response.body" and not event.get("more_body"):
                over.set()

        await self.hubs.serve(scope, receive, send)
        return parts[0]["status"], b"".join(part.get("body", b"") for part in parts)

    async def stop(self):
        while tasks := set(self.hubs.tasks):  # the Redis client may swallow one cancellation
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=0.2)
        await self.hubs.bus.close()


def over_two_processes(play):
    """Run `play(owner, edge, token)` for a connection whose first poll was answered."""

    async def main():
        owner, edge = Process(), Process()
        try:
            await owner.start()
            await edge.start()
            negotiated = await owner.request("POST", path="/hubs/echo/negotiate")
            token = negotiated[1].split(b'"connectionId":"')[1].split(b'"')[0].decode()
            assert await owner.request("GET", token) == EMPTY
            await play(owner, edge, token)
        finally:
            await owner.stop()
            await edge.stop()

    asyncio.run(asyncio.wait_for(main(), 10))


async def greeted(owner, token):
    assert await owner.request("POST", token, HANDSHAKE.encode()) == EMPTY
    assert await owner.request("GET", token) == (200, ACCEPTED)


@pytest.mark.parametrize("asked_again_at", ["owner", "edge"])
def test_a_late_word_of_the_handshakes_answer_does_not_repeat_it(asked_again_at):
    async def play(owner, edge, token):
        await owner.request("POST", token, HANDSHAKE.encode())
        edge.holds_back = True
        first = edge.request("GET", token)
        await edge.has_answered.wait()
        again = {"owner": owner, "edge": edge}[asked_again_at].request("GET", token)
        await asyncio.sleep(0.1)

        edge.may_tell.set()

        assert await first == (200, ACCEPTED)
        assert await again == EMPTY

    over_two_processes(play)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_late_word_of_a_record_does_not_repeat_it(repeats):
    async def play(owner, edge, token):
        await greeted(owner, token)
        await owner.request("POST", token, CALL)
        edge.holds_back = True
        first = edge.request("GET", token)
        await edge.has_answered.wait()
        again = [owner.request("GET", token) for _ in range(repeats)]
        await asyncio.sleep(0.1)

        edge.may_tell.set()

        assert await first == (200, RESULT)
        answers = await asyncio.gather(*again)
        assert answers == [(204, b"")] * (repeats - 1) + [EMPTY]

    over_two_processes(play)


def test_a_word_that_never_comes_ends_the_connection_instead_of_repeating():
    async def play(owner, edge, token):
        await greeted(owner, token)
        await owner.request("POST", token, CALL)
        edge.loses_news = True
        edge.request("GET", token)
        await edge.has_answered.wait()

        assert (await owner.request("GET", token))[0] == 404
        assert await owner.request("POST", token, CALL) == (404, b"")

    over_two_processes(play)


def test_a_gap_in_what_the_owner_hears_ends_the_connection_instead_of_repeating():
    async def play(owner, edge, token):
        await greeted(owner, token)
        await owner.request("POST", token, CALL)
        edge.holds_back = True
        edge.request("GET", token)
        await edge.has_answered.wait()

        owner.hubs.relay.hear(None)

        assert (await owner.request("GET", token))[0] == 404

    over_two_processes(play)


def test_a_client_that_left_before_the_answer_finds_it_in_its_next_poll():
    async def play(owner, edge, token):
        await greeted(owner, token)
        leaves = asyncio.Event()
        first = edge.request("GET", token, leaves=leaves)
        await asyncio.sleep(0.1)

        leaves.set()
        await until(first.done)
        await owner.request("POST", token, CALL)

        assert await edge.request("GET", token) == (200, RESULT)

    over_two_processes(play)


def test_an_answer_to_a_request_that_is_over_stays_in_the_queue():
    async def play(owner, edge, token):
        await greeted(owner, token)
        first = edge.request("GET", token)
        await asyncio.sleep(0.1)

        edge.hubs.relay.hear(None)  # the edge gives up; the owner has not heard of it
        await until(first.done)
        await owner.request("POST", token, CALL)
        await asyncio.sleep(0.1)

        assert await owner.request("GET", token) == (200, RESULT)

    over_two_processes(play)


def test_a_replaced_poll_leaves_the_records_to_the_newer_one():
    async def play(owner, edge, token):
        await greeted(owner, token)
        older = edge.request("GET", token)
        await asyncio.sleep(0.1)
        newer = owner.request("GET", token)
        await asyncio.sleep(0.1)

        await owner.request("POST", token, CALL)

        assert await older == (204, b"")
        assert await newer == (200, RESULT)
        assert await edge.request("GET", token) == EMPTY

    over_two_processes(play)


async def until(is_so):
    async with asyncio.timeout(3):
        while not is_so():
            await asyncio.sleep(0.01)
