"""The hubs on a real server with unmodified clients: joining, hearing, resuming, sent away."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from websockets.sync.client import connect as websocket

from chat import feed
from chat.feed import Told
from chat.models import Conversation, FeedEvent, FeedHead, Message
from chat.signalr.fanout import to_group
from storeplatform.kernel import valkey
from storeplatform.kernel.models import AuditEvent
from storeplatform.kernel.parsing import dumps
from tests.clients import client_of, key_client_of, visitor_client_of
from tests.factories import a_channel, a_member, a_store
from tests.servers import RunningServer, at_once, until
from tests.signalr.clients import Client
from tests.signalr.proxy import Proxy

STORE_EVENTS = [
    "NewCustomerMessage", "MessageSent", "MessageUpdated", "MessageDeleted", "MessagesRead",
    "ConversationCreated", "ConversationUpdated", "ConversationAssigned", "TypingChanged",
    "PresenceChanged",
]  # fmt: skip
VISITOR_EVENTS = ["MessageReceived", "MessagesRead", "TypingChanged"]
LIBRARIES = ["official", "pysignalr", "signalrcore"]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def server(request):
    running = RunningServer(request.param, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN)
    yield running
    running.stop()


@pytest.fixture
def shop(parallel):
    return a_store()


def http(server, client):
    """The same caller over the real server."""
    headers = {name.replace("_", "-"): value for name, value in client.headers.items()}
    limits = httpx.Limits(max_connections=64)
    return httpx.Client(
        base_url=server.url + client.base, headers=headers, timeout=30, limits=limits
    )


@pytest.fixture
def desk(server, shop):
    with http(server, client_of(shop)) as made:
        yield made


@pytest.fixture
def program(server, shop):
    with http(server, key_client_of(shop)) as made:
        yield made


@pytest.fixture
def guest(server, shop):
    a_channel(shop)
    client = visitor_client_of(shop)
    with http(server, client) as made:
        made.visitor_token = client.headers["Authorization"].removeprefix("Bearer ")
        yield made


@pytest.fixture
def proxy(server):
    made = Proxy(server.port)
    yield made
    made.close()


@pytest.fixture
def connect(server, proxy):
    clients = []

    def make(library="official", *, hub="store-conversations", url=server.url, **more):
        events = VISITOR_EVENTS if hub == "widget-chat" else STORE_EVENTS
        made = Client(library, f"{url}/hubs/{hub}", events=events, **more)
        clients.append(made)
        made.wait_for({"state": "connected"})
        return made

    yield make
    for made in clients:
        made.stop()


def token_of(caller, path="/chat/hub-token"):
    answer = caller.post(path, json={})
    assert answer.status_code == 200, answer.content
    return answer.json()["token"]


def begin(guest, text="Hello"):
    return guest.post("/conversations", json={"message": text}).json()["id"]


def heard(client, event):
    return client.wait_for({"event": event})["arguments"][0]


def presence_of(member, client):
    while (told := heard(client, "PresenceChanged")["data"])["principalId"] != str(member.user_id):
        continue
    return told


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_agent_joins_hears_and_acts(connect, desk, guest, shop, library):
    agent = connect(library)
    joined = agent.invoke("JoinStore", token_of(desk))
    assert joined["storeId"] == str(shop.pk)
    assert "chat.reply" in joined["scopes"]

    talk = begin(guest)
    event = heard(agent, "NewCustomerMessage")
    assert event["data"]["text"] == "Hello"
    assert event["conversationId"] == talk
    assert event["cursor"] == "2"
    read = agent.invoke("MarkRead", talk, 1)
    assert read["teamReadSeq"] == 1
    assert heard(agent, "MessagesRead")["data"]["upToSeq"] == 1
    agent.invoke("Viewing", talk)
    agent.invoke("Typing", talk, True)
    assert heard(agent, "TypingChanged")["cursor"] is None
    desk.post(f"/chat/conversations/{talk}/messages", json={"text": "Hi"})
    assert heard(agent, "MessageSent")["data"]["senderType"] == "agent"


@pytest.mark.parametrize("library", LIBRARIES)
def test_who_was_away_hears_what_was_missed_once_and_in_order(
    connect, program, guest, proxy, library
):
    agent = connect(library, url=proxy.url)
    agent.invoke("JoinStore", token_of(program))
    talk = begin(guest)
    cursor = heard(agent, "NewCustomerMessage")["cursor"]

    proxy.cut()
    for number in range(30):
        guest.post(f"/conversations/{talk}/messages", json={"text": f"{number}"})
    if library == "signalrcore":
        agent.start_again()
    agent.wait_for({"state": "reconnected" if library == "official" else "connected"}, 30)
    back = agent.invoke("JoinStoreFrom", token_of(program), cursor)

    assert "resyncRequired" not in back
    guest.post(f"/conversations/{talk}/messages", json={"text": "after"})
    texts = [heard(agent, "NewCustomerMessage")["data"]["text"] for _ in range(31)]
    assert texts == [*map(str, range(30)), "after"]


def test_wake_ups_in_disorder_and_twice_change_nothing(connect, program, guest, shop):
    agent = connect()
    agent.invoke("JoinStore", token_of(program))
    talk = begin(guest, "0")
    last = FeedEvent.objects.filter(store=shop, type="NewCustomerMessage").get()

    for seq in (last.seq, last.seq + 2, last.seq - 1):  # told, from the future, from the past
        row = {name: getattr(last, name) for name in ("type", "conversation_id", "data")}
        rows = dumps([row | {"seq": seq, "created_at": last.created_at}]).decode()
        news = {"wake": True, "rows": rows}
        valkey.client().publish(*to_group("store-conversations", str(shop.pk), news))
    for number in range(1, 4):
        guest.post(f"/conversations/{talk}/messages", json={"text": f"{number}"})

    told = [heard(agent, "NewCustomerMessage") for _ in range(4)]
    assert [event["data"]["text"] for event in told] == ["0", "1", "2", "3"]
    kept = program.get("/chat/changes").json()["items"]
    assert told == [event for event in kept if event["type"] == "NewCustomerMessage"]


class Undone(Exception):
    """Rolls a transaction back."""


def write_all_ways(shop, talk, number):
    """Events of transactions that commit, roll back, or undo a part of what they told."""
    text = "0" * 36_000 * (number % 7 == 6)  # two of these are more than a wake-up brings
    news = Told("ConversationUpdated", talk, {"number": number, "text": text})
    with suppress(Undone), transaction.atomic():
        feed.tell(shop.pk, news)
        if number % 3 == 0:
            raise Undone
        with suppress(Undone), transaction.atomic():
            feed.tell(shop.pk, news, news)
            if number % 2 == 0:
                raise Undone
        feed.tell(shop.pk, news)
    connection.close()


def test_whatever_becomes_of_wake_ups_all_is_heard_once_and_in_order(
    connect, program, guest, shop, monkeypatch
):
    talk = begin(guest)
    agents = [connect("official"), connect("pysignalr")]
    for agent in agents:
        agent.invoke("JoinStore", token_of(program))
    publish, late, lots = feed.publish, [], random.Random(4)

    def unreliable(*messages):
        fate = lots.choice(["told", "told", "lost", "twice", "late"])
        if fate == "late":
            late.append(messages)
        for _ in range({"told": 1, "twice": 2}.get(fate, 0)):
            publish(*messages)

    monkeypatch.setattr(feed, "publish", unreliable)
    at_once(6, lambda place: [write_all_ways(shop, talk, 6 * n + place) for n in range(8)])
    for messages in reversed(late):
        publish(*messages)

    kept = program.get("/chat/changes?limit=500").json()["items"]
    told = [event for event in kept if event["type"] == "ConversationUpdated"]
    assert [int(event["cursor"]) for event in kept] == list(range(1, len(kept) + 1))
    assert len(told) == 96
    for agent in agents:
        assert [heard(agent, "ConversationUpdated") for _ in told] == told


def test_what_no_process_can_read_silences_none(connect, server, program, guest, shop):
    agent = connect()
    agent.invoke("JoinStore", token_of(program))
    talk = begin(guest)
    heard(agent, "NewCustomerMessage")
    channel, _ = to_group("store-conversations", str(shop.pk), None)

    for payload in (b"", b"\xc1", b"\x93", b"\x01", b"\x81\xa4rows\xa1x", b"\x81\xa5event\x01"):
        valkey.client().publish(channel, payload)
    guest.post(
        f"/conversations/{talk}/typing", json={"isTyping": True}
    )  # in no feed: heard or lost

    assert heard(agent, "TypingChanged")["conversationId"] == talk


def tell_many(shop, talk, count, data):
    """As many events at once; the number of the last."""
    before = FeedHead.objects.get(pk=shop.pk).seq
    FeedEvent.objects.bulk_create(
        FeedEvent(store=shop, seq=before + number, type="ConversationUpdated", data=data,
                  conversation_id=talk, created_at=timezone.now())
        for number in range(1, count + 1)
    )  # fmt: skip
    FeedHead.objects.filter(pk=shop.pk).update(seq=before + count)
    return before + count


def test_all_that_may_be_replayed_fits_through_the_queue(connect, program, guest, shop):
    talk = begin(guest)
    last = tell_many(shop, talk, 990, {"text": "0" * 3000})  # three times the queue's bytes
    agent = connect()

    assert "resyncRequired" not in agent.invoke("JoinStoreFrom", token_of(program), "2")

    cursors = [heard(agent, "ConversationUpdated")["cursor"] for _ in range(990)]
    assert cursors == [str(number) for number in range(3, last + 1)]


def test_a_burst_of_events_is_no_slow_consumers_fault(connect, program, guest, shop):
    talk = begin(guest)
    agent = connect()
    agent.invoke("JoinStore", token_of(program))

    last = tell_many(shop, talk, 990, {})  # four times the queue's records

    cursors = [heard(agent, "ConversationUpdated")["cursor"] for _ in range(990)]
    assert cursors == [str(number) for number in range(3, last + 1)]


def test_too_much_to_replay_asks_for_reading_anew(connect, program, guest, shop):
    talk = begin(guest)
    shop_head = str(tell_many(shop, talk, 1001, {}))
    agent = connect()

    back = agent.invoke("JoinStoreFrom", token_of(program), "1")

    assert back["resyncRequired"] is True
    assert back["cursor"] == shop_head
    guest.post(f"/conversations/{talk}/messages", json={"text": "next"})
    assert heard(agent, "NewCustomerMessage")["data"]["text"] == "next"


def test_a_cursor_of_another_feed_asks_for_reading_anew(connect, program, guest):
    begin(guest)
    agent = connect()

    back = agent.invoke("JoinStoreFrom", token_of(program), "3")

    assert (back["resyncRequired"], back["cursor"]) == (True, "2")
    assert "resyncRequired" not in agent.invoke("JoinStoreFrom", token_of(program), "2")


def test_who_moves_to_another_store_leaves_nothing_behind(connect, server, desk, shop, guest):
    talk = begin(guest)
    other = a_store()
    with http(server, client_of(other)) as elsewhere:
        here, there, mover = connect(), connect(), connect()
        here.invoke("JoinStore", token_of(desk))
        there.invoke("JoinStore", token_of(elsewhere))
        member = a_member(shop)
        with http(server, client_of(shop, member)) as caller:
            mover.invoke("JoinStore", token_of(caller))
        assert presence_of(member, here)["status"] == "online"
        mover.invoke("Viewing", talk)
        assert presence_of(member, here)["viewing"] == talk
        joined = a_member(other, user=member.user)
        with http(server, client_of(other, joined)) as caller:
            mover.invoke("JoinStore", token_of(caller))

        left = presence_of(member, here)
        came = presence_of(member, there)

    assert left["status"] == "offline"
    assert (came["status"], came["viewing"]) == ("online", None)
    places = f"hub:count:store:{shop.pk}"
    until(lambda: sum(map(int, valkey.client().hvals(places))) == 1, 5)  # who stayed


def test_visitors_hear_answers_and_nothing_of_the_team(connect, desk, guest, shop):
    talk = begin(guest)
    visitor = connect(hub="widget-chat")
    joined = visitor.invoke("JoinSession", guest.visitor_token)
    assert joined["visitorId"]
    other = connect(hub="widget-chat")
    stranger = visitor_client_of(shop)
    other.invoke("JoinSession", stranger.headers["Authorization"].removeprefix("Bearer "))

    desk.post(f"/chat/conversations/{talk}/messages", json={"text": "He is angry", "private": True})
    said = desk.post(f"/chat/conversations/{talk}/messages", json={"text": "Hi"}).json()
    desk.post(f"/chat/conversations/{talk}/read", json={"upToSeq": 3})
    desk.post(f"/chat/conversations/{talk}/typing", json={"isTyping": True})

    event = heard(visitor, "MessageReceived")
    assert event["data"]["text"] == "Hi"
    assert heard(visitor, "MessagesRead")["data"] == {"by": "team", "upToSeq": 3}
    assert heard(visitor, "TypingChanged")["data"]["isTyping"] is True
    for name in ("senderId", "private", "reader"):
        assert name not in event["data"]
    visitor.invoke("Typing", talk, True)
    visitor.invoke("MarkRead", talk, 3)
    with pytest.raises(RuntimeError, match="not_found"):
        other.invoke("MarkRead", talk, 3)
    assert "angry" not in json.dumps(visitor.facts)
    assert [one for one in other.facts if "event" in one] == []
    time.sleep(0.3)
    assert Message.objects.get(pk=said["id"]).read_at


def test_a_token_of_the_widget_may_stand_in_an_address(connect, guest):
    token = token_of(guest, "/hub-token")
    visitor = connect(hub="widget-chat", token=token)

    assert visitor.invoke("JoinSession", token)["visitorId"]


def test_bad_tokens_are_refused_and_the_fifth_ends_the_connection(connect, program, guest):
    token = token_of(program)
    first, second = connect(), connect()
    first.invoke("JoinStore", token)

    with pytest.raises(RuntimeError, match="hub_token_used"):
        second.invoke("JoinStore", token)
    with pytest.raises(RuntimeError, match="invalid_hub_token"):
        second.invoke("JoinStore", "hub_" + "x" * 43)
    with pytest.raises(RuntimeError, match="invalid_hub_token"):
        second.invoke("JoinStore", token_of(guest, "/hub-token"))
    with pytest.raises(RuntimeError, match="not_joined"):
        second.invoke("Typing", "x", True)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            second.invoke("JoinStore", "x")
    assert second.wait_for({"state": "closed"})


def test_an_expired_token_and_another_stores_are_worth_nothing(connect, server, program, guest):
    expired, agent = token_of(program), connect()
    for place in valkey.client().scan_iter("hub:token:*"):
        valkey.client().pexpire(place, 1)
    time.sleep(0.1)
    talk = begin(guest)

    with pytest.raises(RuntimeError, match="invalid_hub_token"):
        agent.invoke("JoinStore", expired)
    with http(server, key_client_of(a_store())) as stranger:
        joined = agent.invoke("JoinStore", token_of(stranger))
        for method, arguments in (
            ("Typing", [talk, True]), ("MarkRead", [talk, 1]), ("Viewing", [talk]),
            ("Viewing", ["no id"]),
        ):  # fmt: skip
            with pytest.raises(RuntimeError, match="not_found"):
                agent.invoke(method, *arguments)
        with pytest.raises(RuntimeError, match="invalid_cursor"):
            agent.invoke("JoinStoreFrom", token_of(stranger), "no cursor")
    with pytest.raises(RuntimeError, match="invalid_hub_token"):
        agent.invoke("Renew", token_of(program))
    assert joined["cursor"] == "0"
    assert not [fact for fact in agent.facts if fact.get("event") == "NewCustomerMessage"]


def test_a_reader_may_not_write(connect, server, shop, guest):
    talk = begin(guest)
    with http(server, key_client_of(shop, ["messaging:read"])) as reader:
        agent = connect()
        agent.invoke("JoinStore", token_of(reader))

        for method, more in (("Typing", True), ("MarkRead", 1)):
            with pytest.raises(RuntimeError, match="missing_scope"):
                agent.invoke(method, talk, more)


def test_a_revoked_key_and_a_disabled_member_are_sent_away_within_five_seconds(
    connect, server, shop, desk
):
    member = a_member(shop)
    program = key_client_of(shop)
    with http(server, program) as by_key, http(server, client_of(shop, member)) as by_member:
        agents = [connect(), connect()]
        agents[0].invoke("JoinStore", token_of(by_key))
        agents[1].invoke("JoinStore", token_of(by_member))

        began = time.monotonic()
        desk.delete(f"/api-keys/{program.key_id}")
        desk.put(f"/staff/{member.user_id}", json={"status": "disabled"})

        for agent in agents:
            closed = agent.wait_for({"state": "closed"}, 8)
            assert "access_revoked" in closed.get("error", "")
        assert time.monotonic() - began < 6


def test_an_api_key_in_a_frame_ends_the_connection_and_is_audited(connect, shop):
    key = key_client_of(shop)
    agent = connect()

    agent.begin("JoinStore", key.headers["X_API_Key"])

    assert "credential_refused" in agent.wait_for({"state": "closed"}).get("error", "")
    deadline = time.monotonic() + 5
    while not AuditEvent.objects.filter(action="api_key.exposed", target=key.key_id).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_api_key_in_a_handshake_is_told_and_audited(server, shop):
    key = key_client_of(shop)
    url = f"{server.url}/hubs/store-conversations".replace("http", "ws")
    handshake = {"protocol": "json", "version": 1, "headers": {"k": key.headers["X_API_Key"]}}

    with websocket(url) as opened:
        opened.send(json.dumps(handshake) + "\x1e")
        assert json.loads(opened.recv(5)[:-1]) == {"error": "credential_refused"}

    until(
        lambda: AuditEvent.objects.filter(action="api_key.exposed", target=key.key_id).exists(), 5
    )


@pytest.mark.parametrize("parameter", ["access_token", "api_key", "id"])
def test_an_api_key_in_an_address_is_refused_and_audited(server, shop, parameter):
    key = key_client_of(shop)
    url = f"{server.url}/hubs/store-conversations/negotiate"

    answer = httpx.post(f"{url}?{parameter}={key.headers['X_API_Key']}&access_token=hub_x")

    assert answer.status_code == 401
    assert AuditEvent.objects.filter(action="api_key.exposed", target=key.key_id).exists()


def test_a_widgets_pages_may_connect_and_others_may_not(server, guest):
    path = f"{server.url}/hubs/widget-chat/negotiate?negotiateVersion=1"

    own = httpx.post(path, headers={"Origin": "https://shop.example"})
    other = httpx.post(path, headers={"Origin": "https://evil.example"})

    assert own.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers


# What locks promise


def test_parallel_writers_leave_no_gap_and_a_reader_sees_the_order(program, desk, guest, shop):
    talk = begin(guest)
    seen = []

    def read():
        cursor = "0"
        deadline = time.monotonic() + 30
        while len(seen) < 62 and time.monotonic() < deadline:
            page = desk.get("/chat/changes", params={"after": cursor, "limit": 7}).json()
            seen.extend(int(one["cursor"]) for one in page["items"])
            cursor = page["cursor"]

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read)
        answers = at_once(
            20,
            lambda number: [
                program.post(
                    f"/chat/conversations/{talk}/messages", json={"text": f"{number}-{turn}"}
                ).status_code
                for turn in range(3)
            ],
        )
        reading.result()

    assert {status for many in answers for status in many} == {201}
    assert seen == list(range(1, 63))
    seqs = Message.objects.filter(conversation=talk).order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == list(range(1, 62))
    assert Conversation.objects.get(pk=talk).last_seq == 61


def test_of_parallel_answers_to_one_picture_one_wins(program, guest):
    talk = begin(guest)

    answers = at_once(
        12,
        lambda number: program.post(
            f"/chat/conversations/{talk}/messages",
            json={"text": f"{number}", "expectedLastSeq": 1},
        ),
    )

    assert sorted(one.status_code for one in answers) == [201] + [409] * 11
    assert {one.json()["code"] for one in answers if one.status_code == 409} == {
        "conversation_advanced"
    }


def test_of_parallel_assignments_one_wins(desk, shop, guest):
    talk = begin(guest)
    members = [a_member(shop) for _ in range(10)]

    answers = at_once(
        10,
        lambda number: desk.post(
            f"/chat/conversations/{talk}/assign",
            json={"userId": str(members[number].user_id), "expectedAssignedUserId": None},
        ),
    )

    assert sorted(one.status_code for one in answers) == [200] + [409] * 9


def test_parallel_beginnings_open_one_conversation(guest, shop):
    answers = at_once(
        10, lambda number: guest.post("/conversations", json={"message": f"{number}"})
    )

    assert {one.status_code for one in answers} == {200, 201}
    assert Conversation.objects.filter(store=shop).count() == 1
    assert Message.objects.filter(store=shop).count() == 10


def test_a_repeated_client_id_in_parallel_is_one_message(program, guest):
    talk = begin(guest)
    body = {"text": "once", "clientMessageId": "c-1"}

    answers = at_once(10, lambda _: program.post(f"/chat/conversations/{talk}/messages", json=body))

    assert sorted(one.status_code for one in answers) == [200] * 9 + [201]
    assert len({one.json()["id"] for one in answers}) == 1
