"""Unmodified clients, each transport and encoding, on one process and on several."""

import time
from uuid import uuid4

import pytest

WAYS = [
    ("official", "WebSockets", "json"),
    ("official", "WebSockets", "messagepack"),
    ("official", "ServerSentEvents", "json"),
    ("official", "LongPolling", "json"),
    ("official", "LongPolling", "messagepack"),
    ("pysignalr", "WebSockets", "json"),
    ("pysignalr", "WebSockets", "messagepack"),
    ("signalrcore", "WebSockets", "json"),
    ("signalrcore", "WebSockets", "messagepack"),
    ("signalrcore", "ServerSentEvents", "json"),
    ("signalrcore", "LongPolling", "json"),
]

LAZY = ("signalrcore", "LongPolling", "json")  # reads one record of a poll that brings several


@pytest.fixture
def room():
    """A group of this test alone: all test runs publish over one broker."""
    return f"room-{uuid4()}"


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_a_client_invokes_streams_and_hears(client, room, way):
    one = client(*way)

    assert one.invoke("Echo", "مرحبا") == "مرحبا"
    assert one.invoke("EchoAny", {"a": [1, 2.5, None, True]}) == {"a": [1, 2.5, None, True]}
    assert one.invoke("Nothing") is None
    with pytest.raises(RuntimeError, match="HubException: not_today: Come back tomorrow"):
        one.invoke("Refuse")
    with pytest.raises(RuntimeError, match="Unknown hub method 'Nope'"):
        one.invoke("Nope")
    pause = 0.5 if way[0] == "signalrcore" else 0.01  # it listens after it has asked
    assert one.stream("Count", 3, pause) == ([0, 1, 2], None)
    one.invoke("Join", room)
    one.invoke("Say", room, "hello")
    if way == LAZY:
        one.begin("Nothing")
    assert one.wait_for({"event": "Said"})["arguments"] == [{"text": "hello"}]


DROPS = [
    ("official", "WebSockets", "json"),
    ("official", "WebSockets", "messagepack"),
    ("official", "ServerSentEvents", "json"),
    ("official", "LongPolling", "json"),
    ("pysignalr", "WebSockets", "json"),
    ("signalrcore", "WebSockets", "json"),
]


@pytest.mark.parametrize("way", DROPS, ids=" ".join)
def test_a_client_whose_network_failed_comes_back(client, wire, room, way):
    one = client(*way)
    one.invoke("Join", room)
    time.sleep(0.5)  # a cut between two polls is no failure to anybody

    wire.cut()

    came_back = "reconnected" if way[0] == "official" else "connected"
    if way[0] == "signalrcore":
        one.start_again()
    one.wait_for({"state": came_back}, 30)
    one.invoke("Join", room)
    one.invoke("Say", room, "again")
    assert one.wait_for({"event": "Said"})["arguments"] == [{"text": "again"}]


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
def test_a_stateful_client_misses_nothing(client, room, protocol):
    one = client("official", "WebSockets", protocol, stateful=True)
    other = client("official", "WebSockets", protocol)
    one.invoke("Join", room)
    numbers = iter(range(100))

    for _ in range(4):
        for _ in range(5):
            other.invoke("Say", room, str(next(numbers)))
        one.begin("Cut")
        slow = one.begin("Sleep", 0.3)
        for _ in range(5):
            other.invoke("Say", room, str(next(numbers)))
        assert one.wait_for({"id": slow})["result"] == "slept"

    heard = [one.wait_for({"event": "Said"})["arguments"][0]["text"] for _ in range(40)]
    assert heard == [str(number) for number in range(40)]
    assert "state" not in [name for fact in one.facts for name in fact]


def test_a_closed_client_returns_when_it_may(client):
    one = client("official")

    one.begin("Bye", None, True)

    one.wait_for({"state": "reconnected"})
    assert one.invoke("Echo", "here") == "here"


def test_a_closed_client_stays_away_when_it_may_not(client):
    one = client("official")

    one.begin("Bye", "access_revoked", False)

    assert "access_revoked" in one.wait_for({"state": "closed"})["error"]


def test_a_slow_burst_of_events_arrives_whole(client):
    one = client("official", stateful=True)

    one.begin("TellMe", 1000, 200)

    told = [one.wait_for({"event": "Told"})["arguments"][0]["number"] for _ in range(1000)]
    assert told == list(range(1000))


def test_a_client_that_cancels_a_stream_stops_its_generator(client):
    one = client("official")
    before = one.invoke("CleanedUp")

    number = one.begin("Count", 1000, 0.01, do="stream", most=3)
    one.wait_for({"id": number, "item": 2})

    assert one.invoke("Sleep", 0.1) == "slept"
    assert one.invoke("CleanedUp") == before + 1
