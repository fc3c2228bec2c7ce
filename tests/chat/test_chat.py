"""Website chat over HTTP: the team on both mounts, the visitor's widget, the feed."""

import time
from datetime import timedelta

import jwt
import pytest
from django.conf import settings
from django.utils import timezone

from chat import feed, hub_tokens
from chat.attachments import purge_attachments
from chat.channels import identity_secret
from chat.conversations import wake_snoozed
from chat.models import (
    Attachment,
    Channel,
    Conversation,
    FeedEvent,
    FeedHead,
    Message,
    Visitor,
    VisitorSession,
)
from storeplatform.kernel import valkey
from storeplatform.kernel.models import AuditEvent, OutboxEvent
from tests.clients import (
    anonymous,
    client_of,
    key_client_of,
    multipart,
    visitor_client_of,
)
from tests.factories import a_channel, a_customer, a_member, a_store

ORIGIN = "https://shop.example"
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture
def channel(store):
    return a_channel(store)


@pytest.fixture
def visitor(store, channel):
    return visitor_client_of(store)


@pytest.fixture
def talk(visitor):
    """The id of a conversation that a visitor began."""
    made = visitor.post("/conversations", {"message": {"text": "Where is my parcel?"}})
    assert made.status_code == 201, made.content
    return made.json()["id"]


def say(client, talk, text="Hello", **body):
    path = "/conversations" if client.base.endswith("widget") else "/chat/conversations"
    return client.post(f"{path}/{talk}/messages", {"text": text} | body)


def seqs(client, talk, query=""):
    rows = client.get(f"/chat/conversations/{talk}/messages?{query}").json()["items"]
    return [row["seq"] for row in rows]


def types_of(client, after=""):
    return [one["type"] for one in client.get(f"/chat/changes?after={after}").json()["items"]]


# Conversations


def test_a_visitor_writes_and_the_team_answers(api, key, visitor, talk):
    told = api.get(f"/chat/conversations/{talk}").json()
    assert told["status"] == "open"
    assert told["unreadCount"] == 1
    assert told["lastMessagePreview"] == "Where is my parcel?"
    assert told["waitingSince"]

    answer = say(api, talk, "On its way.")

    assert answer.status_code == 201
    said = answer.json()
    assert (said["seq"], said["direction"], said["senderType"]) == (2, "outbound", "agent")
    bot = say(key, talk, "Automatic.", senderName="Order bot").json()
    assert (bot["senderType"], bot["senderId"], bot["senderName"]) == (
        "bot", key.key_id, "Order bot",
    )  # fmt: skip
    after = api.get(f"/chat/conversations/{talk}").json()
    assert after["firstRespondedAt"]
    assert after["waitingSince"] is None
    assert after["assignedUserId"] == said["senderId"]
    assert after["unreadCount"] == 0
    assert key.get(f"/chat/conversations/{talk}").json()["unreadCount"] == 1
    heard = visitor.get(f"/conversations/{talk}/messages").json()["items"]
    assert [one["text"] for one in heard] == ["Where is my parcel?", "On its way.", "Automatic."]
    assert all("senderId" not in one and "private" not in one for one in heard)


@pytest.mark.parametrize("surface", ["api", "key"])
def test_both_mounts_serve_the_same_deeds(request, surface, channel):
    client = request.getfixturevalue(surface)
    body = {"visitor": {"externalId": "c-7", "name": "Sara"}, "message": "Hi", "tags": ["vip"]}

    made = client.post("/chat/conversations", body)
    again = client.post("/chat/conversations", {"visitor": {"externalId": "c-7"}})

    assert made.status_code == 201, made.content
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    path = f"/chat/conversations/{made.json()['id']}"
    assert client.patch(path, {"priority": "HIGH", "subject": "Size"}).json()["priority"] == "high"
    assert client.post(f"{path}/resolve").json()["status"] == "resolved"
    assert client.post(f"{path}/reopen").json()["status"] == "open"
    until = (timezone.now() + timedelta(hours=1)).isoformat()
    snoozed = client.post(f"{path}/snooze", {"until": until}).json()
    assert (snoozed["status"], bool(snoozed["snoozedUntil"])) == ("snoozed", True)
    assert client.post(f"{path}/typing", {"isTyping": True}).status_code == 202
    assert client.post(f"{path}/read", {"upToSeq": 1}).json()["upToSeq"] == 1
    assert client.get("/chat/conversations?tag=vip&status=snoozed").json()["totalCount"] == 1
    assert client.get("/chat/conversations?search=sara").json()["totalCount"] == 1
    assert client.get("/chat/changes").status_code == 200


def test_a_first_conversation_needs_no_channel_to_be_made(key, store):
    assert key.post("/chat/conversations", {"visitor": {}}).status_code == 201
    assert Channel.objects.of(store.pk).count() == 1


def test_messages_are_read_forwards_and_backwards(api, talk):
    for number in range(2, 8):
        say(api, talk, f"{number}")

    assert seqs(api, talk) == [1, 2, 3, 4, 5, 6, 7]
    assert seqs(api, talk, "afterSeq=5") == [6, 7]
    assert seqs(api, talk, "beforeSeq=5&limit=2") == [3, 4]
    assert seqs(api, talk, "afterSeq=2&limit=2") == [3, 4]
    first = api.get(f"/chat/conversations/{talk}/messages?pageSize=3").json()
    assert first["totalCount"] is None
    further = api.get(
        f"/chat/conversations/{talk}/messages?pageSize=3&cursor={first['nextCursor']}"
    )
    assert [one["seq"] for one in further.json()["items"]] == [4, 5, 6]
    assert api.get(f"/chat/conversations/{talk}/messages?limit=101").status_code == 400


def test_a_repeat_under_its_client_id_is_the_first_message(api, key, talk):
    first = say(key, talk, "one", clientMessageId="c-1")
    again = say(key, talk, "two", clientMessageId="c-1")
    other = say(api, talk, "three", clientMessageId="c-1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert other.status_code == 201
    assert seqs(api, talk) == [1, 2, 3]


def test_an_answer_to_an_old_picture_is_refused(api, key, visitor, talk):
    say(api, talk, "a note", private=True)
    assert say(api, talk, "fits", expectedLastSeq=1).status_code == 201
    say(visitor, talk, "one more thing")

    refused = say(key, talk, "too late", expectedLastSeq=3)

    assert refused.status_code == 409
    assert refused.json()["code"] == "conversation_advanced"
    assert refused.json()["current"]["lastSeq"] == 4
    assert [one["text"] for one in refused.json()["current"]["missed"]] == ["one more thing"]
    assert say(key, talk, "now", expectedLastSeq=4).status_code == 201


def test_a_message_says_something(api, talk):
    for wrong in ({"text": ""}, {"text": None}, {"text": "x" * 4001}, {"text": 7}, {}):
        answer = api.post(f"/chat/conversations/{talk}/messages", wrong)
        assert answer.status_code == 400
        assert answer.json()["errors"].keys() == {"text"}


def test_notes_never_reach_the_visitor(api, visitor, talk):
    note = say(api, talk, "He is angry", private=True).json()

    page = visitor.get(f"/conversations/{talk}/messages").content.decode()
    mine = visitor.get(f"/conversations/{talk}").content.decode()
    reply = say(visitor, talk, "Hm", replyToMessageId=note["id"])

    assert "angry" not in page + mine
    assert reply.status_code == 400
    assert not FeedEvent.objects.filter(data__text="He is angry", visitor_id__isnull=False)


def test_a_channel_that_is_off_takes_nothing(api, visitor, talk, channel):
    api.put(f"/chat/channels/{channel.pk}", {"isEnabled": False})

    answers = [say(visitor, talk), say(api, talk)]
    answers.append(api.post("/chat/conversations", {"visitor": {}, "channelId": channel.pk}))

    assert {answer.status_code for answer in answers} == {409}
    assert {answer.json()["code"] for answer in answers} == {"channel_disabled"}


def test_a_visitors_word_reopens_for_seven_days(api, visitor, talk):
    api.post(f"/chat/conversations/{talk}/resolve")
    say(visitor, talk, "Still not here")
    assert api.get(f"/chat/conversations/{talk}").json()["status"] == "open"
    api.post(f"/chat/conversations/{talk}/resolve")

    soon = visitor.post("/conversations", {"message": "Again"})
    assert (soon.status_code, soon.json()["id"]) == (200, talk)
    api.post(f"/chat/conversations/{talk}/resolve")
    Conversation.objects.update(resolved_at=timezone.now() - timedelta(days=8))
    later = visitor.post("/conversations", {"message": "Something else"})

    assert later.status_code == 201
    assert later.json()["id"] != talk
    assert api.post(f"/chat/conversations/{talk}/reopen").json()["code"] == "conversation_open"


def test_snoozed_conversations_wake_by_themselves(api, talk):
    path = f"/chat/conversations/{talk}"
    past = (timezone.now() - timedelta(hours=1)).isoformat()
    assert api.post(f"{path}/snooze", {"until": past}).status_code == 400
    assert api.patch(path, {"status": "snoozed"}).status_code == 400
    api.post(f"{path}/snooze", {"until": (timezone.now() + timedelta(hours=1)).isoformat()})
    assert wake_snoozed() == 0
    Conversation.objects.update(snoozed_until=timezone.now() - timedelta(seconds=1))

    assert wake_snoozed() == 1

    woken = api.get(path).json()
    assert (woken["status"], woken["snoozedUntil"]) == ("open", None)


def test_assigning_compares_and_sets(api, store, talk):
    one, two = a_member(store), a_member(store)
    path = f"/chat/conversations/{talk}/assign"

    first = api.post(path, {"userId": one.user_id, "expectedAssignedUserId": None})
    second = api.post(path, {"userId": two.user_id, "expectedAssignedUserId": None})
    given = api.post(path, {"userId": two.user_id, "expectedAssignedUserId": one.user_id})
    nobody = api.post(path, {"userId": None})

    assert first.json()["assignedUserId"] == str(one.user_id)
    assert second.status_code == 409
    assert second.json()["code"] == "already_assigned"
    assert second.json()["current"]["assignedUserId"] == str(one.user_id)
    assert given.json()["assignedUserId"] == str(two.user_id)
    assert nobody.json()["assignedUserId"] is None


def test_only_members_who_may_read_are_assigned(api, store, talk):
    blind = a_member(store, denies=["chat.read"])
    stranger = a_member(a_store())

    for member in (blind, stranger):
        answer = api.post(f"/chat/conversations/{talk}/assign", {"userId": member.user_id})
        assert answer.status_code == 400
        assert answer.json()["errors"].keys() == {"userId"}


def test_who_leaves_the_store_leaves_its_conversations(api, store, talk):
    member = a_member(store)
    api.post(f"/chat/conversations/{talk}/assign", {"userId": member.user_id})

    api.delete(f"/staff/{member.user_id}")

    assert api.get(f"/chat/conversations/{talk}").json()["assignedUserId"] is None


def test_cursors_only_rise_and_programs_are_not_seen_to_read(api, key, visitor, talk):
    path = f"/chat/conversations/{talk}"
    say(visitor, talk, "two")

    quiet = key.post(f"{path}/read", {"upToSeq": 2}).json()
    seen = api.post(f"{path}/read", {"upToSeq": 99}).json()
    back = api.post(f"{path}/read", {"upToSeq": 1}).json()

    assert (quiet["upToSeq"], quiet["teamReadSeq"]) == (2, 0)
    assert (seen["upToSeq"], seen["teamReadSeq"]) == (2, 2)
    assert back["upToSeq"] == 2
    mine = visitor.get(f"/conversations/{talk}/messages").json()["items"]
    assert [one["status"] for one in mine] == ["read", "read"]
    assert api.get("/chat/conversations?hasUnread=true").json()["items"] == []
    assert len(api.get("/chat/conversations?hasUnread=false").json()["items"]) == 1


def test_a_message_is_delivered_when_fetched_and_read_when_passed(api, visitor, talk):
    say(api, talk, "Here")

    def status():
        return api.get(f"/chat/conversations/{talk}/messages").json()["items"][1]["status"]

    assert status() == "sent"
    visitor.get(f"/conversations/{talk}/messages")
    assert status() == "delivered"
    visitor.post(f"/conversations/{talk}/read", {"upToSeq": 2})
    assert status() == "read"
    assert api.get(f"/chat/conversations/{talk}").json()["visitorReadSeq"] == 2


def test_who_answers_has_read_what_was_said_before(api, visitor, talk):
    say(api, talk, "Here")
    say(api, talk, "a note", private=True)
    before = api.get("/chat/changes").json()["cursor"]

    say(visitor, talk, "Thanks")

    said = api.get(f"/chat/conversations/{talk}/messages").json()["items"]
    assert [one["status"] for one in said] == ["sent", "read", "sent", "sent"]
    told = api.get(f"/chat/changes?after={before}").json()["items"]
    assert [one["type"] for one in told] == ["NewCustomerMessage", "MessagesRead"]
    assert told[1]["data"] == {"by": "visitor", "upToSeq": 4}
    say(visitor, talk, "Really")
    assert types_of(api, told[1]["cursor"]) == ["NewCustomerMessage"]


def test_a_visitors_cursor_does_not_tell_of_notes(api, visitor, talk):
    say(api, talk, "a note", private=True)

    cursors = visitor.post(f"/conversations/{talk}/read", {"upToSeq": 2**31 - 1}).json()

    assert (cursors["upToSeq"], cursors["visitorReadSeq"]) == (1, 1)


def test_authors_change_their_words_for_a_while(api, store, key, talk):
    member = a_member(store)
    agent = client_of(store, member)
    said = say(agent, talk, "Wrogn").json()
    path = f"/chat/conversations/{talk}/messages/{said['id']}"

    assert agent.patch(path, {"text": "Wrong"}).json()["editedAt"]
    assert key.patch(path, {"text": "x"}).status_code == 403
    assert client_of(store, a_member(store)).patch(path, {"text": "x"}).status_code == 403
    Message.objects.filter(pk=said["id"]).update(created_at=timezone.now() - timedelta(hours=1))
    late = agent.patch(path, {"text": "x"})
    assert late.json()["requiredPermission"] == "chat.moderate"
    assert api.delete(path).status_code == 204

    gone = api.get(f"/chat/conversations/{talk}/messages").json()["items"][1]
    assert (gone["seq"], gone["text"]) == (2, None)
    assert gone["deletedAt"]
    assert api.delete(path).status_code == 404
    assert AuditEvent.objects.filter(action="chat.message_moderated").exists()


def test_typing_is_relayed_at_most_every_two_seconds(api, talk):
    heard = valkey.client().pubsub()
    heard.psubscribe("*")
    path = f"/chat/conversations/{talk}/typing"
    for _ in range(3):
        api.post(path, {"isTyping": True})

    told = []
    while message := heard.get_message(timeout=0.2):
        told.append(message)
    heard.close()

    assert len([one for one in told if b"TypingChanged" in bytes(str(one["data"]), "utf8")]) == 2


# Attachments, canned replies, channels, visitors


def test_a_file_goes_with_one_message_of_its_sender(api, key, visitor, talk):
    kept = multipart(api, "/chat/attachments", "a.pdf", PDF)
    assert kept.status_code == 201, kept.content
    file = kept.json()
    assert (file["contentType"], file["size"]) == ("application/pdf", len(PDF))

    stolen = say(key, talk, attachmentIds=[file["id"]])
    sent = api.post(f"/chat/conversations/{talk}/messages", {"attachmentIds": [file["id"]]})
    twice = say(api, talk, attachmentIds=[file["id"]])

    assert (stolen.status_code, sent.status_code, twice.status_code) == (400, 201, 400)
    assert sent.json()["type"] == "attachment"
    assert sent.json()["attachments"][0]["fileName"] == "a.pdf"
    got = visitor.get(f"/attachments/{file['id']}")
    assert (got.status_code, got.content) == (200, PDF)
    assert got["Content-Disposition"].startswith("attachment")


def test_a_file_that_is_not_for_the_visitor_does_not_exist_for_them(api, visitor, talk, store):
    file = multipart(api, "/chat/attachments", "a.pdf", PDF).json()["id"]
    assert visitor.get(f"/attachments/{file}").status_code == 404
    say(api, talk, "note", private=True, attachmentIds=[file])
    assert visitor.get(f"/attachments/{file}").status_code == 404
    other = visitor_client_of(store)
    own = multipart(other, "/attachments", "b.pdf", PDF).json()["id"]
    assert visitor.get(f"/attachments/{own}").status_code == 404
    assert client_of(a_store()).get(f"/chat/attachments/{own}").status_code == 404


def test_one_upload_is_one_file(api):
    edge = "edge"
    part = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    ).encode()
    body = (part + PDF + b"\r\n") * 2 + f"--{edge}--\r\n".encode()

    answer = api.request(
        "post", "/chat/attachments", body, Content_Type=f"multipart/form-data; boundary={edge}"
    )

    assert answer.status_code == 400
    assert Attachment.objects.count() == 0


def test_html_is_no_attachment_and_unsent_files_go_after_a_day(api):
    assert multipart(api, "/chat/attachments", "a.html", b"<html></html>").status_code == 415
    multipart(api, "/chat/attachments", "a.pdf", PDF)
    Attachment.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert purge_attachments() == 1
    assert Attachment.objects.count() == 0


def test_canned_replies_have_one_shortcode_whatever_its_case(api, key):
    body = {"shortcode": "Hello-1", "title": "Hello", "body": "Hello {{visitor.name}}"}
    made = api.post("/chat/canned-replies", body)

    again = api.post("/chat/canned-replies", body | {"shortcode": "hello-1"})

    assert made.json()["shortcode"] == "hello-1"
    assert again.status_code == 409
    assert again.json()["code"] == "duplicate"
    assert api.post("/chat/canned-replies", body | {"shortcode": "a b"}).status_code == 400
    assert key.get("/chat/canned-replies?search=hel").json()["totalCount"] == 1
    assert key.post("/chat/canned-replies", body).status_code == 405


def test_a_channels_secret_is_shown_once(api):
    made = api.post("/chat/channels", {"name": "Shop", "allowedOrigins": ["HTTPS://Shop.example/"]})
    channel = made.json()

    assert made.status_code == 201
    assert channel["identitySecret"].startswith("wgs_")
    assert channel["publicKey"].startswith("wgt_")
    assert channel["allowedOrigins"] == [ORIGIN]
    assert "identitySecret" not in api.get(f"/chat/channels/{channel['id']}").json()
    rotated = api.post(f"/chat/channels/{channel['id']}/rotate-secret").json()
    assert rotated["identitySecret"] != channel["identitySecret"]
    assert api.post("/chat/channels", {"name": "shop"}).status_code == 409
    for wrong in ("shop.example", "https://a/b", "javascript:1", "https://u@a.b", "null", "*"):
        body = {"name": wrong, "allowedOrigins": [wrong]}
        assert api.post("/chat/channels", body).status_code == 400


def test_a_blocked_visitor_writes_no_more(api, visitor, talk):
    path = f"/chat/visitors/{visitor.visitor_id}"
    assert api.post(f"{path}/block").json()["blockedAt"]

    refused = [
        say(visitor, talk),
        visitor.post(f"/conversations/{talk}/typing", {"isTyping": True}),
        multipart(visitor, "/attachments", "a.pdf", PDF),
    ]
    api.post(f"/chat/conversations/{talk}/resolve")
    Conversation.objects.update(resolved_at=timezone.now() - timedelta(days=8))
    refused.append(visitor.post("/conversations", {"subject": "An empty one"}))
    api.post(f"{path}/block", {"blocked": False})

    told = [(answer.status_code, answer.json()["code"]) for answer in refused]
    assert told == [(403, "visitor_blocked")] * 4
    assert Conversation.objects.count() == 1
    assert Attachment.objects.count() == 0
    assert say(visitor, talk).status_code == 201


def test_an_erased_visitor_leaves_words_without_a_name(api, key, store):
    body = {"visitor": {"externalId": "c-9", "name": "Sara", "phone": "07701234567"}}
    talk = key.post("/chat/conversations", body).json()
    path = f"/chat/visitors/{talk['visitor']['id']}"
    assert talk["visitor"]["phone"] == "+9647701234567"

    assert api.delete(path).status_code == 204

    left = api.get(path).json()
    assert (left["name"], left["phone"], left["externalId"]) == (None, None, None)
    assert AuditEvent.objects.filter(action="chat.visitor_erased").exists()


def test_an_erased_visitor_is_gone_from_the_feed_too(api, store, channel):
    claims = {
        "sub": "customer-nine",
        "name": "Sara",
        "email": "sara@example.com",
        "phone": "07701234567",
    }
    visitor = visitor_client_of(store, identityToken=sign(channel, **claims))
    page = {"pageUrl": "https://shop.example/cart?of=sara"}
    talk = visitor.post("/conversations", {"message": "Hi"} | page).json()["id"]
    say(api, talk, "Hello")
    assert "Sara" in api.get("/chat/changes").content.decode()

    api.delete(f"/chat/visitors/{visitor.visitor_id}")

    kept = api.get("/chat/changes").json()["items"]
    for word in ("sara", "customer-nine", "9647701234567"):
        assert word not in str(kept).lower()
    assert [one["data"]["text"] for one in kept if "text" in one["data"]] == ["Hi", "Hello"]
    assert kept[2]["data"]["senderName"]  # the team's names stay
    assert kept[-1]["type"] == "ConversationUpdated"  # so that open inboxes forget as well


# Permissions and stores


@pytest.mark.parametrize(
    ("denied", "method", "path", "body"),
    [
        ("chat.read", "get", "", None),
        ("chat.reply", "post", "/{id}/messages", {"text": "x"}),
        ("chat.reply", "patch", "/{id}", {"subject": "x"}),
        ("chat.assign", "post", "/{id}/assign", {"userId": None}),
        ("chat.read", "post", "/{id}/read", {"upToSeq": 1}),
        ("chat.reply", "post", "/{id}/resolve", {}),
    ],
)
def test_each_deed_asks_for_its_permission(store, talk, denied, method, path, body):
    colleague = client_of(store, a_member(store, denies=[denied]))

    answer = colleague.request(method, f"/chat/conversations{path}".replace("{id}", talk), body)

    assert answer.status_code == 403
    assert answer.json()["requiredPermission"] == denied


def test_reading_and_writing_are_scopes_of_their_own(store, talk):
    reader = key_client_of(store, ["messaging:read"])
    writer = key_client_of(store, ["messaging:write"])

    assert reader.get(f"/chat/conversations/{talk}").status_code == 200
    assert say(reader, talk).json()["requiredScope"] == "messaging:write"
    assert writer.get(f"/chat/conversations/{talk}").json()["requiredScope"] == "messaging:read"
    assert say(writer, talk).status_code == 201
    assert reader.post("/chat/hub-token").status_code == 200
    assert writer.post("/chat/hub-token").json()["requiredScope"] == "messaging:read"


def test_another_stores_conversation_does_not_exist(talk, api, channel):
    said = api.get(f"/chat/conversations/{talk}/messages").json()["items"][0]["id"]
    theirs = a_store()
    path = f"/chat/conversations/{talk}"
    for client in (client_of(theirs), key_client_of(theirs)):
        answers = [client.get(path), client.patch(path, {"subject": "x"})]
        answers += [client.get(f"{path}/messages"), say(client, talk)]
        answers += [client.patch(f"{path}/messages/{said}", {"text": "x"})]
        answers += [client.delete(f"{path}/messages/{said}")]
        for deed, body in {
            "assign": {"userId": None}, "read": {"upToSeq": 1}, "typing": {"isTyping": True},
            "resolve": {}, "reopen": {}, "snooze": {"until": "2099-01-01T00:00:00Z"},
        }.items():  # fmt: skip
            answers.append(client.post(f"{path}/{deed}", body))
        assert {answer.status_code for answer in answers} == {404}
        assert client.get("/chat/conversations").json()["items"] == []
        assert client.get("/chat/changes").json()["items"] == []
        foreign = client.post("/chat/conversations", {"visitor": {}, "channelId": channel.pk})
        assert foreign.status_code == 400


# The feed


def test_the_feed_tells_everything_in_order(api, visitor, talk):
    say(api, talk, "Hello")
    api.post(f"/chat/conversations/{talk}/resolve")

    first = api.get("/chat/changes?limit=2").json()
    rest = api.get(f"/chat/changes?after={first['cursor']}").json()

    assert [one["type"] for one in first["items"]] == ["ConversationCreated", "NewCustomerMessage"]
    assert first["hasMore"] is True
    assert [one["type"] for one in rest["items"]] == [
        "MessageSent", "ConversationAssigned", "ConversationUpdated",
    ]  # fmt: skip
    assert rest["hasMore"] is False
    assert [one["cursor"] for one in first["items"] + rest["items"]] == ["1", "2", "3", "4", "5"]
    assert first["items"][1]["data"]["text"] == "Where is my parcel?"
    same = api.get(f"/chat/changes?after={rest['cursor']}").json()
    assert (same["items"], same["cursor"]) == ([], rest["cursor"])


def test_a_cursor_that_is_no_longer_kept_is_gone(api, talk):
    say(api, talk)
    FeedEvent.objects.filter(seq__lte=2).update(created_at=timezone.now() - timedelta(days=31))

    assert feed.purge() == 2

    answer = api.get("/chat/changes?after=1")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    assert api.get("/chat/changes?after=2").status_code == 200
    assert len(api.get("/chat/changes").json()["items"]) == 2
    for wrong in ("99", "x", "-1", "1.5", "9" * 30):
        answer = api.get(f"/chat/changes?after={wrong}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


def test_webhooks_hear_of_chat(api, visitor, talk):
    say(api, talk, "Hello")
    say(api, talk, "secret", private=True)
    api.post(f"/chat/conversations/{talk}/resolve")

    told = set(OutboxEvent.objects.filter(type__startswith="chat.").values_list("type", flat=True))

    assert told == {
        "chat.conversation_created", "chat.message_received", "chat.message_sent",
        "chat.conversation_assigned", "chat.conversation_resolved",
    }  # fmt: skip
    assert OutboxEvent.objects.filter(type="chat.message_sent").count() == 1
    in_order = OutboxEvent.objects.filter(subject_id=talk).order_by("id")
    numbers = list(in_order.values_list("sequence", flat=True))
    assert numbers == sorted(numbers)


# The widget


def test_the_config_is_for_pages_of_the_channel_alone(db, channel):
    path = f"/widget/{channel.public_key}/config"
    shown = anonymous().get(path, Origin=ORIGIN)

    assert shown.status_code == 200
    assert shown["Access-Control-Allow-Origin"] == ORIGIN
    assert shown["Cache-Control"] == "public, max-age=60"
    assert "identity" not in str(shown.json()).lower().replace("requireidentity", "")
    known = anonymous().get(path, Origin=ORIGIN, If_None_Match=shown["ETag"])
    assert (known.status_code, known.content) == (304, b"")
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        refused = anonymous().get(path, **headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in refused
    assert anonymous().get("/widget/wgt_unknown/config", Origin=ORIGIN).status_code == 404


def test_browsers_may_ask_from_allowed_origins_alone(channel, visitor):
    for path in ("/widget/conversations", f"/widget/{channel.public_key}/sessions"):
        asked = anonymous().request("options", path, Origin=ORIGIN)
        assert asked["Access-Control-Allow-Origin"] == ORIGIN
        assert "authorization" in asked["Access-Control-Allow-Headers"]
        evil = anonymous().request("options", path, Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in evil
    refused = visitor.get("/conversations", Origin="https://evil.example")
    assert refused.json()["code"] == "origin_not_allowed"
    wrong = anonymous().get("/widget/conversations", Origin=ORIGIN, Authorization="Bearer vst_x")
    assert (wrong.status_code, wrong["Access-Control-Allow-Origin"]) == (401, ORIGIN)


def test_a_visitor_token_goes_into_the_header_alone_and_is_kept_as_a_hash(store, channel):
    made = anonymous().post(f"/widget/{channel.public_key}/sessions").json()
    token = made["visitorToken"]

    in_url = anonymous().get(f"/widget/conversations?access_token={token}&token={token}")

    assert in_url.status_code == 401
    assert token not in str(list(VisitorSession.objects.values()))
    VisitorSession.objects.update(expires_at=timezone.now())
    late = anonymous().get("/widget/conversations", Authorization=f"Bearer {token}")
    assert late.status_code == 401


def test_other_visitors_conversations_do_not_exist(store, visitor, talk):
    other = visitor_client_of(store)

    answers = [other.get(f"/conversations/{talk}"), other.get(f"/conversations/{talk}/messages")]
    answers += [say(other, talk), other.post(f"/conversations/{talk}/read", {"upToSeq": 1})]
    answers += [other.post(f"/conversations/{talk}/typing", {"isTyping": True})]

    assert {answer.status_code for answer in answers} == {404}
    assert other.get("/conversations").json()["items"] == []
    assert len(visitor.get("/conversations").json()["items"]) == 1


def sign(channel, secret=None, algorithm="HS256", **claims):
    claims = {"sub": "customer-1", "exp": int(time.time()) + 600} | claims
    key = secret or identity_secret(channel)
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm)


def test_the_stores_server_vouches_for_a_visitor(api, store, channel):
    customer = a_customer(store)
    token = sign(channel, name="Sara", phone=customer.primary_phone)
    one = visitor_client_of(store, identityToken=token)
    two = visitor_client_of(store, identityToken=sign(channel))
    anonymous_one = visitor_client_of(store)
    talk = one.post("/conversations", {"message": "It is me"}).json()["id"]

    assert two.visitor_id == one.visitor_id
    assert two.get(f"/conversations/{talk}").status_code == 200
    assert anonymous_one.get(f"/conversations/{talk}").status_code == 404
    seen = api.get(f"/chat/conversations/{talk}").json()
    assert seen["visitor"]["verified"] == "signed"
    assert seen["customerId"] == str(customer.pk)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1}, {"exp": int(time.time()) + 7300}, {"exp": None}, {"sub": None}, {"sub": ""},
        {"sub": "x" * 101}, {"secret": "another-secret-of-at-least-32-bytes"},
        {"secret": "x" * 64, "algorithm": "HS512"}, {"nbf": int(time.time()) + 600},
    ],
)  # fmt: skip
def test_a_bad_identity_token_is_refused(db, channel, claims):
    token = sign(channel, **claims)

    answer = anonymous().post(f"/widget/{channel.public_key}/sessions", {"identityToken": token})

    assert answer.status_code == 401, answer.content
    assert Visitor.objects.count() == 0


def test_an_unsigned_identity_token_is_refused_and_none_is_where_one_is_needed(db, store):
    channel = a_channel(store, require_identity=True)
    path = f"/widget/{channel.public_key}/sessions"
    unsigned = jwt.encode({"sub": "a", "exp": int(time.time()) + 60}, None, "none")

    assert anonymous().post(path, {"identityToken": unsigned}).status_code == 401
    assert anonymous().post(path, {"identityToken": "x.y.z"}).status_code == 401
    assert anonymous().post(path).status_code == 401
    assert anonymous().post(path, {"identityToken": sign(channel)}).status_code == 201


# Hub tokens


def test_a_hub_token_joins_once_and_is_kept_as_a_hash(api, key, store):
    answer = key.post("/chat/hub-token")
    issued = answer.json()

    assert answer["Cache-Control"] == "no-store"
    assert issued["expiresInSeconds"] == 120
    assert issued["hubUrl"] == f"{settings.PUBLIC_ORIGIN}/hubs/store-conversations"
    token = issued["token"]
    assert token.startswith("hub_")
    assert len(token) == 47
    names = [name.decode() for name in valkey.client().scan_iter("hub:token:*")]
    assert not any(token in name for name in names)
    assert 0 < valkey.client().ttl(names[0]) <= 120
    assert hub_tokens.is_known(token)
    principal = hub_tokens.take(token)
    assert (principal.kind, principal.id, principal.store_id) == (
        "api_key", key.key_id, store.pk,
    )  # fmt: skip
    for wrong, code in ((token, "hub_token_used"), ("hub_" + "x" * 43, "invalid_hub_token")):
        with pytest.raises(hub_tokens.BadToken) as refused:
            hub_tokens.take(wrong)
        assert refused.value.code == code


def test_what_a_principal_may_do_is_looked_up_again(api, key, store, visitor):
    tokens = [client.post("/chat/hub-token").json()["token"] for client in (api, key)]
    tokens.append(visitor.post("/hub-token").json()["token"])
    person, program, guest = [hub_tokens.take(token) for token in tokens]

    assert hub_tokens.standing(person).may("chat.read")
    assert hub_tokens.standing(program).grants >= {"messaging:read"}
    assert hub_tokens.standing(guest).kind == "visitor"
    api.delete(f"/api-keys/{key.key_id}")
    api.post(f"/chat/visitors/{visitor.visitor_id}/block")
    api.post("/api/v1/auth/logout", {"allSessions": True})
    assert hub_tokens.standing(program) is None
    assert hub_tokens.standing(guest) is None


def test_numbers_and_heads_are_per_store(api, talk):
    other = a_store()
    theirs = client_of(other).post("/chat/conversations", {"visitor": {}})

    assert theirs.json()["number"] == "CNV-1001"
    assert FeedHead.objects.get(pk=other.pk).seq == 1


def test_a_channel_goes_with_its_visitors_tokens_and_not_with_its_conversations(api, store):
    channel = a_channel(store)
    visitor_client_of(store, channel=channel)
    used = a_channel(store)
    talking = visitor_client_of(store, channel=used)
    assert talking.post("/conversations", {"text": "hello"}).status_code == 201

    assert api.delete(f"/chat/channels/{channel.pk}").status_code == 204
    refused = api.delete(f"/chat/channels/{used.pk}")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
