"""The other pages for those who connect: their programs are pasted, block by block, against a live
server with a worker, and do what the pages say."""

import json
import re
import sys

import httpx
import pytest

from tests.fakes import Receiver
from tests.pages import (
    INTEGRATIONS,
    RUNNABLE,
    Running,
    Shell,
    account,
    blocks,
    compile_strictly,
    node,
    pasted,
    program,
    walk,
)
from tests.servers import ROOT, RunningServer, RunningWorker, at_once, free_port, until
from tests.signalr.proxy import Proxy
from tests.test_guides import PAGES as GUIDES

API_KEYS, CHAT, WEBHOOKS, NAWA = (
    INTEGRATIONS / f"{name}.md"
    for name in ("store-api-key", "store-conversations", "webhooks", "nawa")
)
RUN = {  # the languages of each page's programs, all of which are run
    API_KEYS: {"sh"},
    CHAT: {"sh", "js", "python"},
    WEBHOOKS: {"sh", "python", "ts"},
    NAWA: {"sh"},
    **{guide: {"sh", "python", "ts"} for guide in GUIDES},
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder beside the npm packages, with the receiver's TypeScript compiled."""
    folder = tmp_path_factory.mktemp("pages")
    compile_strictly(folder, {"receiver": program(WEBHOOKS, "ts")})
    (folder / "listen.mjs").write_text(program(CHAT, "js"))
    return folder


@pytest.fixture
def live(parallel, tmp_path):
    """The variables that the pages name, and a platform that stands as nawa.md starts it."""
    port, codes = free_port(), tmp_path / "otp.jsonl"
    stand_in = [sys.executable, "-m", "tests.fakes", "--port", "0", "--pace", "0.1"]
    with Running([*stand_in, "--platform", f"http://127.0.0.1:{port}"], {}, ROOT) as nawa:
        settings = settings_of(start_line(nawa)) | {"OTP_FILE": str(codes)}
        server, worker = RunningServer(1, port=port, **settings), RunningWorker(**settings)
        yield {
            "STORE_URL": server.url,
            "OTP_FILE": str(codes),
            "NAWA_URL": settings["Nawa__BaseUrl"],
        }
        worker.stop()
        server.stop()


def start_line(nawa):
    """What the stand-in says to start the platform with."""
    said = []
    while not (said and said[-1].endswith("make run")):
        said.append(nawa.next_line())
    return "\n".join(line.strip() for line in said[said.index("") + 1 :])


def settings_of(line):
    return dict(re.findall(r"(\w+)=(\S+)", line))


def test_the_pages_do_what_they_say(live, compiled, tmp_path):
    keys, chat, webhooks, nawa = [live | account() for _ in range(4)]

    def talk():
        chat_does(chat, tmp_path, compiled)
        webhooks_do(webhooks, tmp_path, compiled)

    def trade():  # one after the other: each reads the newest code
        keys_do(keys, tmp_path)
        nawa_does(nawa, tmp_path)

    at_once(2, lambda number: (talk, trade)[number]())


def keys_do(variables, folder):
    (said,) = [block.text for block in blocks(API_KEYS) if block.language == "text"]

    assert walk(API_KEYS, variables, folder) == said.splitlines()


def chat_does(variables, folder, compiled):
    channel, line, answer, feed = pasted(CHAT)
    proxy = Proxy(int(variables["STORE_URL"].rpartition(":")[2]))
    with Shell(variables, folder) as shell:
        shell.paste(channel.text)
        (tag,) = shell.paste(line.text)
        url, public_key = re.search(r'src="(.+?)" data-key="(.+?)"', tag).groups()
        assert "shadow" in httpx.get(url).text
        visitor = Visitor(variables["STORE_URL"], public_key)
        hear_all(variables | {"STORE_URL": proxy.url}, proxy, visitor, compiled)

        assert shell.paste(answer.text) == ["Your parcel left the depot."]
        assert visitor.reads() == "Your parcel left the depot."
        visitor.http.close()
        assert shell.paste(feed.text) == ["MessageSent"]
    proxy.close()


class Visitor:
    """What the widget does in the browser of a page of the shop."""

    def __init__(self, url, public_key):
        self.http = httpx.Client(base_url=f"{url}/api/v1/widget")
        shop = {"Origin": "https://shop.example"}
        session = self.http.post(f"/{public_key}/sessions", json={}, headers=shop).json()
        self.http.headers["Authorization"] = f"Bearer {session['visitorToken']}"
        talk = self.http.post("/conversations", json={"message": "Hello"}).json()
        self.path, self.said = f"/conversations/{talk['id']}/messages", []

    def says(self, text):
        self.said.append(text)
        assert self.http.post(self.path, json={"text": text}).status_code == 201

    def reads(self):
        return self.http.get(self.path).json()["items"][-1]["text"]


def hear_all(variables, proxy, visitor, folder):
    """Each listener prints all that is written from its first message on, once and in order, also
    what was written while its network was away."""
    pythons = [block.heading for block in blocks(CHAT) if block.language == "python"]
    commands = [[sys.executable, "-c", program(CHAT, "python", one)] for one in pythons]
    listeners = [
        Running(command, variables, folder) for command in (node(folder / "listen.mjs"), *commands)
    ]
    assert len(listeners) == 3
    try:
        for number in range(60):
            visitor.says(f"Is anybody there? {number}")
            if all(one.hears(visitor.said[-1]) for one in listeners):
                break
        with proxy.away():
            visitor.says("While you were away")
        visitor.says("And afterwards")
        until(lambda: all(one.said[-1:] == ["And afterwards"] for one in listeners))
        for one in listeners:
            assert one.said == visitor.said[visitor.said.index(one.said[0]) :]
    finally:
        for one in listeners:
            one.stop()


def webhooks_do(variables, folder, compiled):
    begin, ping, by_hand, log, again, feed, rotate = pasted(WEBHOOKS)
    port = free_port()
    variables |= {"RECEIVER_URL": f"http://127.0.0.1:{port}/hooks"}
    receivers = [sys.executable, "-c", program(WEBHOOKS, "python")], node(compiled / "receiver.js")
    with Shell(variables, folder) as shell:
        (export,) = shell.paste(begin.text)
        secret = export.removeprefix("export WEBHOOK_SECRET=")
        for number, command in enumerate(receivers):
            with Running(command, variables | {"WEBHOOK_SECRET": secret}, folder) as receiver:
                until(lambda: is_open(port))
                assert shell.paste(ping.text) == ["204"]
                assert receiver.next_line() == "ping"
                make_a_product(variables, f"CUP-{number}")
                assert receiver.next_line() == "product.created"
                forged = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": ""}
                refused = httpx.post(variables["RECEIVER_URL"], headers=forged, content=b"{}")
                assert refused.status_code == 401

        witness = Receiver(port=port)
        assert shell.paste(ping.text) == ["200"]
        headers = witness.received[-1]["headers"]
        (folder / "body.json").write_bytes(witness.received[-1]["body"])
        shell.paste(f"{export} ID={headers['webhook-id']} TIMESTAMP={headers['webhook-timestamp']}")
        (signature,) = shell.paste(by_hand.text)
        assert headers["webhook-signature"] == f"v1,{signature}"

        assert shell.paste(log.text) == ["200"]
        until(lambda: len(witness.received) == 2)
        assert "queued" in json.loads(*shell.paste(again.text))
        shell.paste(feed.text)
        assert shell.paste('value \'["items"][-1]["type"]\' <<< "$PAGE"') == ["product.created"]
        assert shell.paste(rotate.text) == ["whsec_"]
        witness.stop()


def is_open(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/")
    except httpx.TransportError:
        return None


def make_a_product(variables, sku):
    made = httpx.post(
        f"{variables['STORE_URL']}/api/v1/store/integrations/catalog/products",
        headers={"X-API-Key": variables["STORE_API_KEY"]},
        json={"sku": sku, "name": "A cup", "price": "1500"},
    )
    assert made.status_code == 201, made.text


def nawa_does(variables, folder):
    said = walk(NAWA, variables, folder)
    linked, sent, confirmed, parcel, balances, accepted, remitted, *faults = said

    assert json.loads(linked)["account"] == "nawa:demo"
    assert json.loads(sent)["sent"] is True
    assert confirmed == "confirmed"
    assert [one["status"] for one in json.loads(parcel)["events"]] == [
        "awaiting_pickup", "picked_up", "at_hub", "in_transit", "out_for_delivery", "delivered",
    ]  # fmt: skip
    assert "15000" in balances
    assert accepted == "accepted"
    assert remitted == "remitted"
    lose, returned, told, talk, everything = faults
    assert json.loads(lose) == {"lose": 2}
    assert json.loads(returned)["status"] == "returned"
    assert json.loads(told) == {"told": "answered 200"}
    assert "'lastMessagePreview': 'When?'" in talk
    assert len(json.loads(everything)["shipments"]) == 1


def test_the_platform_is_started_as_the_stand_in_says():
    (line,) = [one.text for one in blocks(NAWA) if "make run" in one.text]
    with Running([sys.executable, "-m", "tests.fakes", "--port", "0"], {}, ROOT) as nawa:
        told = settings_of(start_line(nawa))

    assert settings_of(line) == told | {"Nawa__BaseUrl": "http://127.0.0.1:8099"}


def test_every_program_of_every_page_is_run():
    found = {}
    for page in INTEGRATIONS.rglob("*.md"):
        languages = {block.language for block in blocks(page)} & RUNNABLE
        if languages:
            found[page] = languages

    assert found == RUN
    sections = [block.heading for block in blocks(CHAT) if block.language in ("python", "js")]
    assert len(sections) == len(set(sections)) == 3


def test_the_calls_in_the_pages_text_are_accepted(api):
    call = re.compile(r'`(POST|PUT|PATCH) /api/v1/store(/\S+) (\{".*?\})`', re.DOTALL)
    sent = []
    for page in INTEGRATIONS.rglob("*.md"):
        for method, path, body in call.findall(page.read_text()):
            answer = api.request(method.lower(), path, json.loads(body))
            assert answer.status_code < 300, (page, path, answer.content)
            sent.append(path)

    assert sorted(sent) == ["/oauth-mcp/redirect-uris", "/oauth-mcp/settings"]
