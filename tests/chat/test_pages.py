"""The inbox and the widget in a real browser: visitor and agent in two windows."""

import os
from pathlib import Path

import pytest

from chat.models import Conversation
from chat.pages import TEXTS
from tests.browser import FOLDER, Browser
from tests.clients import anonymous
from tests.factories import a_channel, a_member, a_store, a_user
from tests.servers import RunningServer

PASSWORD = "correct horse 12"
STATIC = Path(__file__).resolve().parent.parent.parent / "chat" / "static" / "chat"
VENDORED = {
    "signalr.min.js": "@microsoft/signalr/dist/browser",
    "cairo-arabic-wght-normal.woff2": "@fontsource-variable/cairo/files",
    "cairo-latin-wght-normal.woff2": "@fontsource-variable/cairo/files",
}
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


def test_on_a_phone_the_inbox_shows_one_thing_at_a_time(browser, server, channel, agent, picture):
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
