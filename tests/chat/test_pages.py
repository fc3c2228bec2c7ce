"""The inbox and the widget in a real browser: visitor and agent in two windows."""

import os
import time
from pathlib import Path

import jwt
import pytest
from PIL import Image

from chat.channels import identity_secret
from chat.models import CannedReply, Conversation, Message, ReadCursor, Visitor
from chat.pages import TEXTS
from tests.browser import FOLDER, Browser
from tests.clients import anonymous
from tests.factories import a_channel, a_member, a_store, a_user
from tests.servers import RunningServer, until

PASSWORD = "correct horse 12"
STATIC = Path(__file__).resolve().parent.parent.parent / "chat" / "static" / "chat"
VENDORED = {
    "signalr.min.js": "@microsoft/signalr/dist/browser",
    "cairo-arabic-wght-normal.woff2": "@fontsource-variable/cairo/files",
    "cairo-latin-wght-normal.woff2": "@fontsource-variable/cairo/files",
}
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n"
BUBBLE, FIELD = ">>> .bubble", ">>> textarea"
PHONE = {"width": 390, "height": 780}


@pytest.fixture(scope="module")
def server():
    running = RunningServer(2)
    running.origin = f"http://localhost:{running.port}"
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium():
    running = Browser()
    yield running
    running.stop()


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.close_windows()


@pytest.fixture
def shop(parallel):
    return a_store()


@pytest.fixture
def channel(server, shop):
    return a_channel(shop, name="Tea house", allowed_origins=[server.origin])


@pytest.fixture
def agent(shop):
    return an_agent(shop, "Sara Kareem")


@pytest.fixture
def picture():
    """Keeps what a window shows, in the folder SCREENSHOTS when that is set."""
    folder = os.environ.get("SCREENSHOTS")

    def keep(window, name):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            window.shot(Path(folder) / f"{name}.png")

    return keep


def an_agent(shop, name):
    user = a_user(full_name=name)
    user.set_password(PASSWORD)
    user.save()
    return a_member(shop, "store_owner", user).user


def signed_in(browser, server, person, name="agent", **window):
    opened = browser.window(name, f"{server.origin}/inbox", **window)
    opened.type("input[name=login]", person.email)
    opened.type("input[name=password]", PASSWORD)
    opened.press("Enter")
    opened.see("#state.live")
    return opened


def visiting(browser, server, channel, name="visitor", language="en", **window):
    url = f"{server.origin}/demo-shop?key={channel.public_key}&lang={language}"
    opened = browser.window(name, url, language=language, **window)
    opened.click(BUBBLE)
    return opened


def say(window, field, text):
    window.type(field, text)
    window.press("Enter")


HOSTILE = "<img src=x onerror=document.title=`taken`>"


@pytest.fixture
def files(tmp_path):
    """A picture and a document; a name may hold markup."""
    picture, document = tmp_path / f"{HOSTILE}.png", tmp_path / "invoice.pdf"
    Image.new("RGB", (640, 400), "#b45309").save(picture)
    document.write_bytes(PDF)
    return picture, document


def test_visitor_and_agent_talk_in_two_windows(browser, server, channel, agent, picture):
    inbox = signed_in(browser, server, agent)
    shop = visiting(browser, server, channel)
    say(shop, FIELD, "Hello, is the tea in stock?")

    inbox.see("#rows .row.unread .preview", "is the tea in stock")
    assert inbox.see(".row .count") == "1"
    assert inbox.look("document.title") == "(1) Inbox"
    inbox.click("#rows .row")
    inbox.see(".message.theirs p", "is the tea in stock")
    shop.see(">>> .own small", "Seen")
    assert inbox.count(".row .count") == 0

    shop.type(FIELD, "And ")
    inbox.see("#typing", "is typing")
    inbox.type("#composer textarea", "Yes, ")
    shop.see(">>> .line", "typing")
    say(inbox, "#composer textarea", "forty packs.")
    shop.see(">>> .theirs", "Yes, forty packs.")
    inbox.see(".message.outbound footer", "Seen")
    say(shop, FIELD, "the red mug?")
    inbox.see(".message.theirs p", "And the red mug?")
    inbox.click("[data-note=yes]")
    say(inbox, "#composer textarea", "Ask the warehouse.")
    inbox.see(".message.private p", "Ask the warehouse.")
    picture(inbox, "inbox-en")
    picture(shop, "shop-en")

    assert shop.count(">>> .theirs") == 2  # the greeting and the answer, not the note
    assert inbox.look("[...document.querySelectorAll('.message p')].map((p) => p.innerText)") == [
        "Hello, is the tea in stock?",
        "Yes, forty packs.",
        "And the red mug?",
        "Ask the warehouse.",
    ]
    assert inbox.faults == []
    assert shop.faults == []


def test_a_conversation_is_assigned_resolved_and_reopened(browser, server, shop, channel, agent):
    other = an_agent(shop, "Omar Ali")
    visitor = visiting(browser, server, channel)
    say(visitor, FIELD, "My parcel is late.")
    inbox = signed_in(browser, server, agent)
    second = signed_in(browser, server, other, "second")
    second.click("#rows .row")
    inbox.click("#rows .row")
    inbox.see("#typing", "Omar Ali is looking at this too")

    inbox.choose("#assign", str(other.pk))

    second.look("document.querySelectorAll('#folders button')[1].click()")
    second.see("#rows .preview", "My parcel is late.")
    assert Conversation.objects.get().assigned_user_id == other.pk
    inbox.click("#resolve")
    second.see("#head .status.resolved", "Resolved")
    second.see("#rows .empty", "No conversations here.")
    say(visitor, FIELD, "Still nothing!")  # reopens it
    second.see("#head .status.open", "Open")
    second.see(".message.theirs p", "Still nothing!")
    assert inbox.faults == second.faults == []


def test_in_arabic_both_read_from_right_to_left(browser, server, channel, agent, picture):
    inbox = signed_in(browser, server, agent, language="ar")
    visitor = visiting(browser, server, channel, language="ar", **PHONE)
    say(visitor, FIELD, "مرحبا، هل الشاي متوفر؟")

    inbox.see(".preview", "هل الشاي متوفر")
    inbox.click("#rows .row")
    say(inbox, "#composer textarea", "نعم، لدينا أربعون علبة. Order today!")

    visitor.see(">>> .theirs", "أربعون علبة")
    visitor.see(">>> .own small", "شوهدت")
    assert inbox.look("document.documentElement.dir") == "rtl"
    assert inbox.see("#resolve") == "إنهاء"
    left = "document.querySelector('#list').getBoundingClientRect().left"
    assert inbox.look(left) > 640
    picture(inbox, "inbox-ar")
    picture(visitor, "shop-ar-phone")
    inbox.click("#other")
    assert inbox.see("#resolve") == "Resolve"
    assert inbox.look("document.documentElement.dir") == "ltr"
    assert inbox.faults == visitor.faults == []


def test_on_a_phone_the_inbox_shows_one_thing_at_a_time(
    browser, server, shop, channel, agent, files, picture
):
    CannedReply.objects.create(
        store=shop, shortcode="hello", title="ترحيب", body="أهلًا بك في متجرنا، كيف نساعدك؟ " * 4
    )
    visitor = visiting(browser, server, channel)
    say(visitor, FIELD, "Hi")
    inbox = signed_in(browser, server, agent, **PHONE)
    picture(inbox, "inbox-en-phone-list")

    inbox.click("#rows .row")
    inbox.see(".message.theirs p", "Hi")

    picture(inbox, "inbox-en-phone-thread")
    visible = "getComputedStyle(document.querySelector('#list')).display"
    assert inbox.look(visible) == "none"
    assert inbox.look("document.documentElement.scrollWidth") == PHONE["width"]
    inbox.click(".back")
    assert inbox.look(visible) == "grid"
    inbox.click("#other")
    inbox.click("#rows .row")
    for file in files:
        inbox.attach("#composer input[type=file]", file)
    inbox.until("document.querySelectorAll('#files li').length === 2")
    inbox.click("#canned-tool")
    inbox.see("#canned li", "ترحيب")
    picture(inbox, "inbox-ar-phone-canned")
    assert inbox.look("document.documentElement.scrollWidth") == PHONE["width"]
    assert inbox.faults == []


def test_a_reload_keeps_both_where_they_were(browser, server, channel, agent):
    inbox = signed_in(browser, server, agent)
    visitor = visiting(browser, server, channel)
    say(visitor, FIELD, "Before")
    inbox.see(".preview", "Before")

    inbox.reload()
    visitor.reload()

    inbox.see(".preview", "Before")
    inbox.see("#state.live")
    inbox.click("#rows .row")
    say(inbox, "#composer textarea", "After")
    assert visitor.see(">>> .count", "1")
    visitor.click(BUBBLE)
    visitor.see(">>> .theirs", "After")
    assert Conversation.objects.count() == 1


def test_a_wrong_password_is_told_and_signing_out_ends_it(browser, server, agent):
    inbox = browser.window("agent", f"{server.origin}/inbox")
    inbox.type("input[name=login]", agent.email)
    inbox.type("input[name=password]", "wrong")
    inbox.press("Enter")
    inbox.see(".fault", " ")

    inbox.look("document.querySelector('input[name=password]').value = ''")
    inbox.type("input[name=password]", PASSWORD)
    inbox.press("Enter")
    inbox.click("#sign-out")
    inbox.see(".sign-in h1", "Inbox")
    inbox.reload()

    inbox.see(".sign-in h1", "Inbox")


def test_files_are_sent_and_seen_on_both_sides(browser, server, channel, agent, files, picture):
    photo, document = files
    inbox = signed_in(browser, server, agent)
    visitor = visiting(browser, server, channel)

    visitor.attach(">>> input[type=file]", photo)  # the first word is a picture
    visitor.see(">>> .files bdi", "<img")
    visitor.click(">>> .send")

    assert inbox.see(".row .preview", "<img") == photo.name
    inbox.click("#rows .row")
    inbox.see(".message.theirs .file bdi", HOSTILE)
    loaded = "[...document.querySelectorAll('.picture img')].filter((one) => one.naturalWidth)"
    inbox.until(f"{loaded}.length === 1")
    inbox.attach("#composer input[type=file]", document)
    inbox.see("#files small", "kB")
    inbox.type("#composer textarea", "Here is your invoice.")
    picture(inbox, "inbox-en-files")
    inbox.press("Enter")
    inbox.see(".message.outbound .file", "invoice.pdf")
    visitor.see(">>> .theirs .file", "invoice.pdf")
    visitor.see(">>> .theirs", "Here is your invoice.")
    picture(visitor, "shop-en-files")
    inbox.attach("#composer input[type=file]", document)  # a file alone, and one taken back
    inbox.see("#files small", "kB")
    inbox.click("#files button")
    assert inbox.count("#files li") == 0
    inbox.attach("#composer input[type=file]", document)
    inbox.see("#files small", "kB")
    inbox.click("#composer .send")
    assert inbox.see(".row .preview", "invoice.pdf") == "invoice.pdf"
    visitor.until(
        "document.body.lastChild.shadowRoot.querySelectorAll('.theirs .file').length === 2"
    )
    visitor.attach(">>> input[type=file]", __file__)  # no picture and no document
    visitor.see(">>> .line", "Only PDF files and pictures")
    refused, *others = visitor.faults
    assert "415" in refused
    assert inbox.faults == others == []
    assert "taken" not in inbox.look("document.title") + visitor.look("document.title")
    assert Message.objects.filter(attachments__isnull=False).count() == 3


def test_a_canned_reply_is_picked_and_filled_in(browser, server, shop, channel, agent, picture):
    for shortcode, title, body in (
        ("hello", "Greeting", "Hello {{visitor.name}}, this is {{agent.name}} of {{store.name}}."),
        ("late", "Late parcel", "We are sorry that it is late. {{unknown}}"),
    ):
        CannedReply.objects.create(store=shop, shortcode=shortcode, title=title, body=body)
    inbox = signed_in(browser, server, agent)
    say(visiting(browser, server, channel), FIELD, "Hi")
    inbox.click("#rows .row")
    inbox.click("#canned-tool")
    inbox.see("#canned li", "Greeting")
    inbox.click("#canned li button")
    written = "document.querySelector('#composer textarea').value"
    assert inbox.look(written).startswith("Hello, this is Sara Kareem of ")
    Visitor.objects.update(name="Layla")
    inbox.reload()
    inbox.see(".row .name", "Layla")
    inbox.click("#rows .row")

    inbox.type("#composer textarea", "/")
    inbox.see("#canned li", "Greeting")
    picture(inbox, "inbox-en-canned")
    inbox.type("#canned input", "gree")
    inbox.until("document.querySelectorAll('#canned li').length === 1")
    inbox.press("Enter")

    assert inbox.look(written) == f"Hello Layla, this is Sara Kareem of {shop.name}."
    inbox.click("#canned-tool")
    inbox.see("#canned li", "Late parcel")
    inbox.look("document.querySelectorAll('#canned li button')[1].click()")
    assert inbox.look(written).endswith(".We are sorry that it is late. {{unknown}}")
    assert Message.objects.filter(direction="outbound").count() == 0
    assert inbox.faults == []


SLOW_TO_ASK = """(() => {
  const { fetch } = window;
  window.fetch = async (path, how) => {
    if (path.endsWith("/read")) await new Promise((go) => setTimeout(go, 700));
    return fetch(path, how);
  };
})()"""


def test_who_belongs_to_two_stores_goes_from_one_to_the_other(
    browser, server, shop, channel, agent, picture
):
    other = a_store()
    a_member(other, "store_owner", agent)
    theirs = a_channel(other, name="Books", allowed_origins=[server.origin])
    say(visiting(browser, server, channel), FIELD, "Tea please")
    say(visiting(browser, server, theirs, "reader"), FIELD, "A book please")
    inbox = signed_in(browser, server, agent)
    shown = inbox.see(".row .preview", "please")
    first, second = (shop, other) if shown == "Tea please" else (other, shop)
    inbox.look(SLOW_TO_ASK)
    inbox.click("#rows .row")
    inbox.see("#thread .message p", "please")

    inbox.choose("#stores", str(second.pk))

    words = {shop.pk: "Tea please", other.pk: "A book please"}
    inbox.see(".row .preview", words[second.pk])
    inbox.see("#state.live")
    assert ReadCursor.objects.filter(conversation__store=first).exists()
    assert words[first.pk] not in inbox.look("document.body.innerText")
    picture(inbox, "inbox-en-stores")
    inbox.reload()
    inbox.see(".row .preview", words[second.pk])
    inbox.click("#rows .row")
    say(inbox, "#composer textarea", "At once.")
    inbox.see(".message.outbound p", "At once.")
    assert Message.objects.get(direction="outbound").store_id == second.pk
    assert inbox.faults == []


def test_customers_of_one_browser_do_not_read_each_other(browser, server, channel):
    def identity(subject):
        claims = {"sub": subject, "exp": int(time.time()) + 600}
        return jwt.encode(claims, identity_secret(channel), "HS256")

    def come_back_as(token):
        visitor.give("storeChatIdentity", token)
        visitor.reload()
        visitor.click(BUBBLE)
        visitor.see(">>> .theirs", "Hello")
        visitor.until("!document.body.lastChild.shadowRoot.querySelector('.line').innerText")

    visitor = visiting(browser, server, channel)
    say(visitor, FIELD, "I am nobody")
    visitor.see(">>> .own", "I am nobody")

    come_back_as(identity("sara"))
    assert visitor.count(">>> .own") == 0
    say(visitor, FIELD, "I am Sara")
    visitor.see(">>> .own", "I am Sara")
    come_back_as(identity("omar"))
    visitor.see(">>> .panel")
    say(visitor, FIELD, "I am Omar")
    visitor.see(">>> .own", "I am Omar")
    assert visitor.count(">>> .own") == 1
    come_back_as(None)
    visitor.see(">>> .own", "I am nobody")
    assert visitor.count(">>> .own") == 1
    come_back_as(identity("sara"))
    visitor.see(">>> .own", "I am Sara")
    assert visitor.count(">>> .own") == 1


def test_older_conversations_are_shown_on_demand(browser, server, shop, channel, agent):
    for number in range(1, 62):
        visitor = Visitor.objects.create(store=shop, name=f"Visitor {number}")
        Conversation.objects.create(
            store=shop, channel=channel, visitor=visitor, number=f"CNV-{number}"
        )
    inbox = signed_in(browser, server, agent)
    inbox.see(".row .name", "Visitor 61")
    assert inbox.count("#rows .row") == 50

    inbox.click(".more")

    inbox.see(".row .name", "Visitor 1")
    inbox.until("document.querySelectorAll('#rows .row').length === 61")
    assert inbox.count(".more") == 0
    assert inbox.faults == []


def test_what_people_write_is_never_markup(browser, server, channel, agent):
    inbox = signed_in(browser, server, agent)
    visitor = visiting(browser, server, channel)
    text = "<img src=x onerror=\"document.title='taken'\"> & <b>bold</b>"

    say(visitor, FIELD, text)

    assert inbox.see(".preview", "<img") == text
    inbox.click("#rows .row")
    assert inbox.see(".message.theirs p", "<img") == text
    assert visitor.see(">>> .own div", "<img") == text
    assert inbox.count(".message img") == visitor.count(">>> .message img") == 0


@pytest.mark.parametrize("path", ["/inbox", "/demo-shop?key=wgt_x"])
def test_the_pages_run_no_inline_script_or_style(path):
    answer = anonymous().http.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


def test_the_widgets_script_may_be_kept_and_used_by_other_origins():
    answer = anonymous().http.get("/widget.js")

    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert anonymous().http.post("/widget.js").status_code == 405


def test_the_demo_shop_is_for_development(settings):
    settings.DEVELOPMENT = False

    assert anonymous().http.get("/demo-shop").status_code == 404


@pytest.mark.parametrize("language", TEXTS)
def test_the_demo_shop_speaks_both_languages(language):
    page = anonymous().http.get(f"/demo-shop?lang={language}&key=wgt_x").text

    assert f'dir="{TEXTS[language]["direction"]}"' in page
    assert TEXTS[language]["heading"] in page
    assert 'data-key="wgt_x"' in page


@pytest.mark.parametrize("name", VENDORED)
def test_what_we_serve_of_others_is_what_the_lock_file_pins(name):
    pinned = FOLDER / "node_modules" / VENDORED[name] / name

    assert (STATIC / "vendor" / name).read_bytes() == pinned.read_bytes()


# What a page's script does with the widget's requests for hub tokens, before it is opened.
HELD = """
const real = window.fetch, held = new Promise((go) => { window.letGo = go; });
window.fetch = async (...sent) => {
  if (String(sent[0]).includes("hub-token")) await held;
  return real(...sent);
};
"""
FAILING_ONCE = """
const real = window.fetch;
window.tries = 0;
window.fetch = async (...sent) => {
  if (String(sent[0]).includes("hub-token") && !window.tries++) throw new TypeError("no network");
  return real(...sent);
};
"""


def visiting_with(browser, server, channel, script):
    url = f"{server.origin}/demo-shop?key={channel.public_key}&lang=en"
    opened = browser.window("visitor", url)
    opened.look(f"(() => {{ {script} }})()")
    opened.click(BUBBLE)
    return opened


def test_the_widget_shows_what_the_team_read_before_it_had_joined(browser, server, channel, agent):
    visitor = visiting_with(browser, server, channel, HELD)
    say(visitor, FIELD, "Anybody there?")
    visitor.see(">>> .own", "Anybody there?")
    inbox = signed_in(browser, server, agent)
    inbox.click("#rows .row")
    until(lambda: Conversation.objects.filter(team_read_seq=1).exists())
    assert "Seen" not in visitor.see(">>> .own small")

    visitor.look("letGo()")

    visitor.see(">>> .own small", "Seen")
    assert inbox.faults == visitor.faults == []


def test_the_widget_comes_back_when_joining_failed(browser, server, channel, agent):
    visitor = visiting_with(browser, server, channel, FAILING_ONCE)
    say(visitor, FIELD, "Hi")
    inbox = signed_in(browser, server, agent)
    inbox.click("#rows .row")
    visitor.until("window.tries > 0")

    say(inbox, "#composer textarea", "Forty packs.")

    visitor.see(">>> .theirs", "Forty packs.")
    assert visitor.look("window.tries") > 1
