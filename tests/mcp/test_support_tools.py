"""Tickets and conversations as agents see them, over the wire of a server of two workers."""

import pytest
from jsonschema import Draft202012Validator

from chat.models import Message, Visitor
from integrations.mcp.models import AgentCall
from tests.clients import client_of, visitor_client_of
from tests.factories import a_customer, a_member, a_store
from tests.mcp.agents import Wire, a_token, an_agent
from tickets.models import Ticket, TicketComment

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def wire(server, shop, settings):
    settings.MCP_RESOURCE = server.mcp
    return Wire(server.mcp, a_token(an_agent(shop)))


@pytest.fixture
def visitor(shop):
    client = visitor_client_of(shop)
    Visitor.objects.filter(pk=client.visitor_id).update(name="Sara Ali", phone="+9647701234567")
    return client


@pytest.fixture
def talk(visitor):
    made = visitor.post("/conversations", {"message": {"text": "Where is my parcel?"}})
    assert made.status_code == 201, made.content
    return made.json()["id"]


def schema_of(wire, name):
    tools = wire.post("tools/list").json()["result"]["tools"]
    return next(one["outputSchema"] for one in tools if one["name"] == name)


def test_a_ticket_is_opened_found_answered_and_solved(wire, shop):
    buyer = a_customer(shop)
    body = {"subject": "Wrong size", "category": "orders", "priority": "high"}

    made = wire.result(
        "create_ticket", **body, customer_id=str(buyer.pk), idempotency_key="ticket-0001"
    )
    again = wire.result(
        "create_ticket", **body, customer_id=str(buyer.pk), idempotency_key="ticket-0001"
    )
    note = wire.result(
        "reply_to_ticket", id=made["id"], text="Check the stock.", is_internal=True,
        idempotency_key="reply-0001",
    )  # fmt: skip
    reply = wire.result(
        "reply_to_ticket", id=made["id"], text="We send another.", idempotency_key="reply-0002"
    )
    read = wire.result("get_ticket", number=made["number"].lower())
    solved = wire.result(
        "update_ticket", id=made["id"], version=read["version"], status="resolved",
        assigned_user_id=str(shop.owner.pk), tags=["sizes"],
    )  # fmt: skip
    stale = wire.refusal("update_ticket", id=made["id"], version=1, status="open")

    assert made == again
    assert Ticket.objects.get().created_by_user == shop.owner
    assert note["is_internal"] is True
    assert [one["body"] for one in read["comments"]] == ["Check the stock.", "We send another."]
    assert read["first_response_at"] == reply["created_at"]
    assert (solved["status"], solved["tags"]) == ("resolved", ["sizes"])
    assert solved["assigned_user_id"] == str(shop.owner.pk)
    assert f"version {solved['version']}" in stale
    mine = wire.result("search_tickets", status=["resolved"], assignee="me", query="wrong")
    assert [one["number"] for one in mine["items"]] == [made["number"]]
    assert wire.result("search_tickets", status=["open"])["items"] == []
    history = client_of(shop).get(f"/tickets/{made['id']}/history").json()["items"]
    assert {row["action"] for row in history} == {"created", "commented", "updated"}
    assert AgentCall.objects.filter(tool="create_ticket", changed=[made["id"]]).count() == 2


def test_a_ticket_of_long_comments_is_read_by_its_last_ones(wire, shop):
    made = wire.result("create_ticket", subject="Long", idempotency_key="ticket-0001")
    TicketComment.objects.bulk_create(
        TicketComment(
            store=shop, ticket_id=made["id"], body=f"{number} " + "\u0634" * 19_000,
            author_user=shop.owner,
        )
        for number in range(15)
    )  # fmt: skip

    read = wire.result("get_ticket", id=made["id"])

    assert [one["body"].split()[0] for one in read["comments"]] == ["13", "14"]


def test_a_reply_is_drafted_by_a_prompt(wire, shop):
    made = wire.result("create_ticket", subject="Wrong size", idempotency_key="ticket-0001")

    prompt = {"name": "draft_ticket_reply", "arguments": {"ticket_id": made["id"]}}
    (message,) = wire.post("prompts/get", prompt).json()["result"]["messages"]

    assert made["id"] in message["content"]["text"]
    assert "get_ticket" in message["content"]["text"]


def test_a_ticket_goes_back_to_nobody(wire, shop):
    made = wire.result(
        "create_ticket",
        subject="x",
        assigned_user_id=str(shop.owner.pk),
        idempotency_key="key-00001",
    )

    freed = wire.result(
        "update_ticket", id=made["id"], version=made["version"], assigned_user_id=NOBODY
    )

    assert freed["assigned_user_id"] is None


def test_tickets_refuse_in_a_sentence(wire, shop):
    stranger = a_member(a_store())
    other = client_of(a_store()).post("/tickets", {"subject": "Theirs"}).json()
    key = {"idempotency_key": "ticket-0001"}

    assert "try search_tickets" in wire.refusal("get_ticket", id=other["id"])
    assert "try search_tickets" in wire.refusal("reply_to_ticket", id=other["id"], text="x", **key)
    assert "either id or number" in wire.refusal("get_ticket")
    assert "subject: It is required." in wire.refusal("create_ticket", **key)
    assert "active member" in wire.refusal(
        "create_ticket", subject="x", assigned_user_id=str(stranger.user_id), **key
    )
    assert "priority" in wire.refusal("search_tickets", priority=["loud"])
    assert Ticket.objects.of(shop.pk).count() == TicketComment.objects.count() == 0


def test_who_may_answer_but_not_open_is_told_so(server, shop, settings):
    settings.MCP_RESOURCE = server.mcp
    member = a_member(shop, denies=["tickets.create"])
    wire = Wire(server.mcp, a_token(an_agent(shop, member=member)))

    said = wire.refusal("create_ticket", subject="x", idempotency_key="ticket-0001")

    assert "tickets.create" in said
    assert Ticket.objects.count() == 0


def test_a_conversation_is_found_read_and_answered(wire, shop, visitor, talk):
    listed = wire.result("list_conversations", unread=True)
    read = wire.result("get_conversation", id=talk)
    body = {"id": talk, "text": "It left the depot.", "idempotency_key": "answer-001"}
    sent = wire.result("send_message", **body, expected_last_seq=read["last_seq"])
    again = wire.result("send_message", **body, expected_last_seq=read["last_seq"])

    assert [one["id"] for one in listed["items"]] == [talk]
    assert listed["items"][0]["unread_count"] == 1
    assert listed["items"][0]["visitor"]["name"] == "Sara Ali"
    assert [one["text"] for one in read["messages"]] == ["Where is my parcel?"]
    assert sent == again
    assert (sent["seq"], sent["direction"], sent["sender_type"]) == (2, "outbound", "agent")
    assert Message.objects.count() == 2
    assert wire.result("list_conversations", unread=True)["items"] == []
    seen = visitor.get(f"/conversations/{talk}/messages").json()["items"]
    assert [one["text"] for one in seen] == ["Where is my parcel?", "It left the depot."]
    for name, answer in (("list_conversations", listed), ("get_conversation", read),
                         ("send_message", sent)):  # fmt: skip
        Draft202012Validator(schema_of(wire, name)).validate(answer)


def test_messages_are_read_backwards(wire, visitor, talk):
    for number in range(2, 6):
        visitor.post(f"/conversations/{talk}/messages", {"text": str(number)})

    last = wire.result("get_conversation", id=talk, limit=2)
    before = wire.result("get_conversation", id=talk, limit=3, before=last["messages"][0]["seq"])

    assert [one["seq"] for one in last["messages"]] == [4, 5]
    assert last["has_more"] is True
    assert [one["seq"] for one in before["messages"]] == [1, 2, 3]
    assert before["has_more"] is False


def test_an_answer_to_an_old_picture_is_refused(wire, visitor, talk):
    visitor.post(f"/conversations/{talk}/messages", {"text": "Found it, thanks!"})

    said = wire.refusal(
        "send_message", id=talk, text="Sorry!", expected_last_seq=1, idempotency_key="answer-001"
    )

    assert "Something was said since." in said
    assert Message.objects.count() == 2


def test_without_the_scope_a_visitor_is_initials(wire, shop, talk):
    wire.token = a_token(an_agent(shop), scopes=["messaging:read"])

    (listed,) = wire.result("list_conversations")["items"]
    read = wire.result("get_conversation", id=talk)

    for shown in (listed, read):
        assert shown["visitor"]["name"] == "S.A."
        assert shown["visitor"]["phone"] is shown["visitor"]["email"] is None
    assert read["messages"][0]["sender_name"] in (None, "S.A.")
    assert read["messages"][0]["text"] == "Where is my parcel?"


def test_a_message_waits_for_a_person_where_the_store_wants_it(wire, shop, talk):
    api = client_of(shop)
    api.put("/oauth-mcp/settings", {"approveDestructive": True})

    asked = wire.result("send_message", id=talk, text="Yes.", idempotency_key="answer-001")
    before = Message.objects.count()
    decided = api.post(f"/oauth-mcp/actions/{asked['id']}/approve")

    assert (asked["status"], before) == ("pending_approval", 1)
    assert decided.json()["status"] == "approved"
    assert Message.objects.count() == 2


def test_another_stores_conversation_does_not_exist(wire, shop):
    other = a_store()
    visitor = visitor_client_of(other)
    talk = visitor.post("/conversations", {"message": {"text": "Hi"}}).json()["id"]

    assert "try list_conversations" in wire.refusal("get_conversation", id=talk)
    assert "try list_conversations" in wire.refusal(
        "send_message", id=talk, text="x", idempotency_key="answer-001"
    )
    assert wire.result("list_conversations")["items"] == []
