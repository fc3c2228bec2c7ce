"""A day of a support desk in a few minutes, through the public API: 200 visitors and five agents on
the hub by three client libraries, 5,000 messages, agents whose network fails and who resume. In the
end every agent has every event of the feed exactly once, in order.

    RATE_LIMITS=off make run      # in one terminal: all visitors come from one address
    make demo-chat                # in another

STORE_URL names another server, MESSAGES and VISITORS other numbers.
"""

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.signalr.clients import Client
from tests.signalr.proxy import Proxy

URL = os.environ.get("STORE_URL", f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
VISITORS = int(os.environ.get("VISITORS", "200"))
MESSAGES = int(os.environ.get("MESSAGES", "5000"))
AGENTS = [
    ("Sara", "official", "WebSockets", "json"),
    ("Ali", "official", "WebSockets", "messagepack"),
    ("Noor", "official", "LongPolling", "json"),
    ("Zain", "pysignalr", "WebSockets", "json"),
    ("Huda", "signalrcore", "WebSockets", "json"),
]
EVENTS = [
    "NewCustomerMessage", "MessageSent", "MessageUpdated", "MessageDeleted", "MessagesRead",
    "ConversationCreated", "ConversationUpdated", "ConversationAssigned", "PresenceChanged",
]  # fmt: skip
WORDS = ["where", "is", "my", "parcel", "please", "thanks", "size", "order", "late", "today"]
WRITERS = 16
ALLOWED_VISITORS = 10  # a minute, from one address
TOO_MANY_VISITORS = (
    "The server takes ten new visitors a minute from one address, and these all come from here: "
    "start it with RATE_LIMITS=off make run."
)


def call(client: httpx.Client, method: str, path: str, body: object = None) -> dict:
    """The JSON of an answer; waits when it is told to."""
    while True:
        answer = client.request(method, path, json=body)
        if answer.status_code == 429 or answer.status_code == 503:
            time.sleep(float(answer.headers.get("retry-after", "1")))
            continue
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def open_store() -> tuple[httpx.Client, str]:
    """A new store with its owner signed in, and its channel's public key."""
    web = httpx.Client(base_url=f"{URL}/api/v1", timeout=30)
    login = f"chat-day-{time.time_ns()}@example.com"
    body = {"email": login, "password": f"a day of chat {time.time_ns()}", "fullName": "Desk",
            "storeName": "Chat day", "countryCode": "IQ"}  # fmt: skip
    pair = call(web, "POST", "/auth/register", body)
    web.headers["Authorization"] = f"Bearer {pair['accessToken']}"
    channel = call(web, "POST", "/store/chat/channels", {"name": "Website"})
    return web, channel["publicKey"]


class Visitor:
    def __init__(self, public_key: str) -> None:
        web = httpx.Client(base_url=f"{URL}/api/v1/widget", timeout=30)
        session = call(web, "POST", f"/{public_key}/sessions", {})
        web.headers["Authorization"] = f"Bearer {session['visitorToken']}"
        self.web = web
        made = call(web, "POST", "/conversations", {"message": sentence()})
        self.conversation: str = made["id"]

    def say(self) -> None:
        path = f"/conversations/{self.conversation}/messages"
        call(self.web, "POST", path, {"text": sentence()})


def sentence() -> str:
    return " ".join(random.choices(WORDS, k=random.randint(2, 12)))


class Agent(threading.Thread):
    """Keeps the cursor of every event that came, and resumes from the last when cut off."""

    def __init__(self, desk: httpx.Client, name: str, library: str, *way: str) -> None:
        super().__init__(daemon=True)
        self.desk, self.agent, self.library = desk, name, library
        self.proxy = Proxy(urlsplit(URL).port or 80)
        self.cursors: list[int] = []
        self.resumed = self.read_anew = 0
        self.way = way
        self.connect()
        self.client.invoke("JoinStoreFrom", self.token(), "0")

    def connect(self) -> None:
        url = f"{self.proxy.url}/hubs/store-conversations"
        self.client = Client(self.library, url, *self.way, events=EVENTS)
        self.client.wait_for({"state": "connected"}, 30)

    def token(self) -> str:
        return call(self.desk, "POST", "/store/chat/hub-token", {})["token"]

    def run(self) -> None:
        while (fact := self.next_fact()).get("state") != "ended":
            if fact.get("event") == "PresenceChanged":
                continue  # at most once, and not of the feed
            if "event" in fact:
                self.cursors.append(int(fact["arguments"][0]["cursor"]))
            elif fact.get("state") == "reconnecting" and self.library == "signalrcore":
                self.begin_anew()  # it goes on asking for a connection that is gone
            elif fact.get("state") in ("connected", "reconnected"):
                self.resume()

    def next_fact(self) -> dict:
        facts = self.client.facts
        return facts.pop(0) if facts else self.client.unread.get()

    def begin_anew(self) -> None:
        while True:
            self.client.stop()
            with suppress(AssertionError):
                self.connect()
                if self.resume():
                    return

    def resume(self) -> bool:
        last = self.cursors[-1] if self.cursors else 0
        try:
            joined = self.client.invoke("JoinStoreFrom", self.token(), str(last))
        except (RuntimeError, AssertionError):
            return False  # cut off again meanwhile: the next connection resumes
        self.resumed += 1
        if joined.get("resyncRequired"):
            self.read_anew += 1
            head = int(joined["cursor"])
            self.cursors += [seq for seq in feed(self.desk, last) if seq <= head]
        return True


def feed(desk: httpx.Client, after: int) -> list[int]:
    """The cursors of the feed behind one."""
    cursors: list[int] = []
    while True:
        page = call(desk, "GET", f"/store/chat/changes?after={after}&limit=500")
        cursors += [int(one["cursor"]) for one in page["items"]]
        after = int(page["cursor"])
        if not page["hasMore"]:
            return cursors


def refuse_limits(public_key: str) -> None:
    """Stop before anybody has joined when the server would let visitors wait for each other."""
    for _ in range(ALLOWED_VISITORS + 1):
        answer = httpx.post(f"{URL}/api/v1/widget/{public_key}/sessions", json={})
        if answer.status_code == 429:
            raise SystemExit(TOO_MANY_VISITORS)


def main() -> int:
    desk, public_key = open_store()
    refuse_limits(public_key)
    began = time.monotonic()
    print(f"{len(AGENTS)} agents join, {VISITORS} visitors come.")
    agents = [Agent(desk, *one) for one in AGENTS]
    for agent in agents:
        agent.start()
    with ThreadPoolExecutor(WRITERS) as pool:
        visitors = list(pool.map(lambda _: Visitor(public_key), range(VISITORS)))

        def one_message(number: int) -> None:
            visitor = random.choice(visitors)
            if number % 5 < 3:
                visitor.say()
            else:
                path = f"/store/chat/conversations/{visitor.conversation}/messages"
                call(desk, "POST", path, {"text": sentence()})
            if number % 400 == 399:
                random.choice(agents).proxy.cut()

        for _ in pool.map(one_message, range(MESSAGES - VISITORS)):
            pass
    said = time.monotonic() - began
    print(f"{MESSAGES} messages in {said:.0f} s; the agents catch up.")
    whole = feed(desk, 0)
    deadline = time.monotonic() + 90
    while any(agent.cursors[-1:] != whole[-1:] for agent in agents):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    good = whole == list(range(1, len(whole) + 1))
    print(f"The feed holds {len(whole)} events, 1 to {whole[-1]}{'' if good else ' WITH GAPS'}.")
    for agent in agents:
        same = agent.cursors == whole
        good = good and same
        print(
            f"  {agent.agent:5} {agent.library:11} {len(agent.cursors)} events,"
            f" resumed {agent.resumed} times ({agent.read_anew} by reading anew):"
            f" {'each once and in order' if same else 'NOT THE FEED'}"
        )
        agent.client.stop()
        agent.proxy.close()
    print("Every agent has every event." if good else "Something is missing.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
