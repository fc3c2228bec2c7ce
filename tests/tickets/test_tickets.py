"""Tickets over HTTP: guide.md's example, owners, words, the clock, history."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from storeplatform.kernel.models import AuditEvent, OutboxEvent
from tests.clients import client_of
from tests.factories import a_customer, a_member, a_product, a_store, an_order_body
from tickets.models import Ticket

GUIDE = {
    "subject": "Stock mismatch for order ORD-123",
    "status": "open",
    "priority": "high",
    "category": "inventory",
    "assignedUserId": "00000000-0000-0000-0000-000000000000",
}


def test_the_guides_example_works_as_pasted(api, store):
    made = api.post("/tickets", GUIDE)

    assert made.status_code == 201, made.content
    ticket = made.json()
    assert made["Location"].endswith(f"/tickets/{ticket['id']}")
    assert ticket["number"] == "TCK-1001"
    assert ticket["assignedUserId"] is None
    assert (ticket["ownerType"], ticket["ownerId"]) == ("Store", str(store.pk))
    assert ticket == api.get(f"/tickets/{ticket['id']}").json()
    assert api.get("/tickets").json()["items"] == [ticket]


def test_nobody_else_can_be_made_the_owner(api, store):
    stranger = a_store()
    spoof = {"ownerType": "Platform", "ownerId": str(stranger.pk), "storeId": str(stranger.pk)}

    ticket = api.post("/tickets", GUIDE | spoof).json()
    changed = api.put(f"/tickets/{ticket['id']}", spoof | {"subject": "Other"}).json()

    assert (changed["ownerType"], changed["ownerId"]) == ("Store", str(store.pk))
    assert changed["subject"] == "Other"
    assert client_of(stranger).get("/tickets").json()["items"] == []


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("status", "InProgress", "in_progress"),
        ("status", "WAITING-customer", "waiting_customer"),
        ("status", "in progress", "in_progress"),
        ("priority", "URGENT", "urgent"),
        ("category", "Billing", "billing"),
    ],
)
def test_words_are_read_however_they_are_written(api, field, sent, kept):
    ticket = api.post("/tickets", {"subject": "A", field: sent}).json()

    assert ticket[field] == kept
    assert api.get(f"/tickets?{field}={sent.replace(' ', '%20')}").json()["items"] == [ticket]


@pytest.mark.parametrize("wrong", [1, True, "done", None, ["open"], ""])
def test_other_words_and_numbers_are_refused_with_what_is_allowed(api, wrong):
    answer = api.post("/tickets", {"subject": "A", "status": wrong})

    assert answer.status_code == 400
    assert answer.json()["errors"].keys() == {"status"}
    if wrong is not None:
        assert "waiting_customer" in answer.json()["errors"]["status"][0]


def test_a_subject_is_needed_and_bounded(api):
    assert api.post("/tickets", {}).json()["errors"].keys() == {"subject"}
    assert api.post("/tickets", {"subject": "  "}).status_code == 400
    assert api.post("/tickets", {"subject": "x" * 201}).status_code == 400
    assert api.post("/tickets", {"subject": f" {'x' * 200} "}).json()["subject"] == "x" * 200


def test_an_assignee_is_an_active_member_or_nobody(api, store):
    colleague = a_member(store)
    disabled = a_member(store, status="disabled")
    elsewhere = a_member(a_store())
    ticket = api.post("/tickets", {"subject": "A", "assignedUserId": colleague.user_id}).json()

    for wrong in (disabled.user_id, elsewhere.user_id, UUID(int=7)):
        refused = api.put(f"/tickets/{ticket['id']}", {"assignedUserId": wrong})
        assert refused.status_code == 400
        assert refused.json()["errors"].keys() == {"assignedUserId"}
    kept = api.put(f"/tickets/{ticket['id']}", {"subject": "B"}).json()
    nobody = api.put(f"/tickets/{ticket['id']}", {"assignedUserId": UUID(int=0)}).json()

    assert kept["assignedUserId"] == str(colleague.user_id)
    assert nobody["assignedUserId"] is None


def test_links_must_belong_to_the_store(api, store):
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()
    theirs = a_customer(a_store())
    talk = api.post("/chat/conversations", {"visitor": {"name": "Sara"}}).json()["id"]

    made = api.post("/tickets", {"subject": "A", "orderId": order["id"], "conversationId": talk})
    refused = api.post("/tickets", {"subject": "A", "customerId": theirs.pk})

    assert made.json()["orderId"] == order["id"]
    assert made.json()["conversationId"] == talk
    assert refused.status_code == 400
    assert refused.json()["codes"]["customerId"] == ["not_found"]


def test_a_deleted_ticket_is_gone_until_it_is_restored(api, store):
    ticket = api.post("/tickets", GUIDE).json()
    path = f"/tickets/{ticket['id']}"

    assert api.delete(path).status_code == 204
    gone = [api.get(path), api.put(path, {"subject": "B"}), api.delete(path)]
    gone += [api.get(f"{path}/comments"), api.post(f"{path}/comments", {"body": "x"})]
    assert {answer.status_code for answer in gone} == {404}
    assert api.get("/tickets").json()["items"] == []
    assert AuditEvent.objects.filter(action="ticket.deleted", target="TCK-1001").exists()
    assert api.post("/tickets", GUIDE).json()["number"] == "TCK-1002"
    assert client_of(store, a_member(store)).post(f"{path}/restore").status_code == 403

    restored = api.post(f"{path}/restore")

    assert restored.status_code == 200
    assert api.get(path).json()["subject"] == GUIDE["subject"]
    assert api.post(f"{path}/restore").json()["code"] == "not_deleted"


def test_a_ticket_deleted_long_ago_stays_deleted(api):
    ticket = api.post("/tickets", GUIDE).json()
    api.delete(f"/tickets/{ticket['id']}")
    Ticket.objects.update(deleted_at=timezone.now() - timedelta(days=31))

    answer = api.post(f"/tickets/{ticket['id']}/restore")

    assert answer.status_code == 409
    assert answer.json()["code"] == "restore_expired"


def test_any_status_may_follow_any_other_and_times_are_kept(api):
    path = f"/tickets/{api.post('/tickets', GUIDE).json()['id']}"

    resolved = api.put(path, {"status": "resolved"}).json()
    closed = api.put(path, {"status": "closed"}).json()
    reopened = api.put(path, {"status": "open"}).json()
    again = api.put(path, {"status": "closed"}).json()

    assert resolved["resolvedAt"]
    assert resolved["closedAt"] is None
    assert closed["resolvedAt"] == resolved["resolvedAt"]
    assert closed["closedAt"]
    assert (reopened["resolvedAt"], reopened["closedAt"]) == (None, None)
    assert (closed["reopenCount"], reopened["reopenCount"], again["reopenCount"]) == (0, 1, 1)


def test_the_clock_stands_while_the_customer_is_waited_for(api):
    due = timezone.now() + timedelta(hours=2)
    path = (
        f"/tickets/{api.post('/tickets', {'subject': 'A', 'dueAt': due.isoformat()}).json()['id']}"
    )
    api.put(path, {"status": "waiting_customer"})
    hour = timedelta(hours=1)
    Ticket.objects.update(waiting_since=timezone.now() - hour)

    back = api.put(path, {"status": "open"}).json()

    moved = Ticket.objects.get().due_at
    assert due + hour <= moved <= due + hour + timedelta(minutes=1)
    assert back["overdue"] is False
    late = api.put(path, {"dueAt": "2020-01-01T00:00:00Z"}).json()
    assert late["overdue"] is True
    assert len(api.get("/tickets?overdue=true").json()["items"]) == 1
    assert api.get("/tickets?overdue=false").json()["items"] == []
    assert api.put(path, {"status": "waiting_customer"}).json()["overdue"] is True
    assert api.put(path, {"status": "resolved"}).json()["overdue"] is False


def test_priorities_are_ordered_by_severity(api):
    for word in ("medium", "urgent", "low", "high"):
        api.post("/tickets", {"subject": word, "priority": word})

    def order(ordering):
        rows = api.get(f"/tickets?ordering={ordering}").json()["items"]
        return [row["priority"] for row in rows]

    assert order("-priority") == ["urgent", "high", "medium", "low"]
    assert order("priority") == ["low", "medium", "high", "urgent"]


def test_the_list_is_filtered_by_assignee_and_searched(api, store):
    me = api.get("/api/v1/auth/me").json()["user"]["id"]
    mine = api.post("/tickets", {"subject": "Mine", "assignedUserId": me}).json()
    free = api.post("/tickets", {"subject": "Nobody's", "description": "العُلبة"}).json()
    colleague = a_member(store).user_id
    theirs = api.post("/tickets", {"subject": "Theirs", "assignedUserId": colleague}).json()

    def ids(query):
        return {row["id"] for row in api.get(f"/tickets?{query}").json()["items"]}

    assert ids("assignedUserId=me") == {mine["id"]}
    assert ids("assignedUserId=none") == {free["id"]}
    assert ids(f"assignedUserId=me,{colleague}") == {mine["id"], theirs["id"]}
    assert api.get("/tickets?assignedUserId=you").status_code == 400
    assert ids("search=علبة".encode().decode()) == {free["id"]}
    assert ids(f"search={mine['number'].lower()}") == {mine["id"]}


def test_the_first_word_to_the_customer_is_the_response(api):
    path = f"/tickets/{api.post('/tickets', GUIDE).json()['id']}"

    api.post(f"{path}/comments", {"body": "check the shelf", "isInternal": True})
    assert api.get(path).json()["firstResponseAt"] is None
    said = api.post(f"{path}/comments", {"body": "We look into it."})

    assert said.status_code == 201
    assert api.get(path).json()["firstResponseAt"] == said.json()["createdAt"]
    comments = api.get(f"{path}/comments").json()["items"]
    assert [one["isInternal"] for one in comments] == [True, False]
    assert api.post(f"{path}/comments", {}).json()["errors"].keys() == {"body"}


def test_history_tells_who_changed_what(api):
    path = f"/tickets/{api.post('/tickets', GUIDE).json()['id']}"
    api.put(path, {"status": "resolved", "priority": "high"})
    api.post(f"{path}/comments", {"body": "done"})

    history = api.get(f"{path}/history").json()["items"]

    assert [one["action"] for one in history] == ["created", "updated", "commented"]
    assert history[1]["changes"] == {"status": ["open", "resolved"]}
    assert history[1]["actorType"] == "user"


def test_changes_are_told_to_webhooks_in_sequence(api):
    path = f"/tickets/{api.post('/tickets', GUIDE).json()['id']}"
    api.put(path, {"status": "closed"})
    api.delete(path)

    events = OutboxEvent.objects.filter(type__startswith="ticket.").order_by("sequence")

    assert [event.type for event in events] == [
        "ticket.created", "ticket.updated", "ticket.deleted",
    ]  # fmt: skip
    assert [event.sequence for event in events] == [1, 2, 3]
    assert events[1].data["status"] == "closed"


def test_a_stale_picture_is_refused(api):
    path = f"/tickets/{api.post('/tickets', GUIDE).json()['id']}"
    api.put(path, {"subject": "B"})

    assert api.put(path, {"subject": "C", "version": 1}).status_code == 409
    assert api.put(path, {"subject": "C"}, If_Match='"1"').status_code == 412
    assert api.put(path, {"subject": "C"}, If_Match='"2"').status_code == 200


def test_who_leaves_the_store_leaves_its_open_tickets(api, store):
    colleague = a_member(store)
    body = {"subject": "A", "assignedUserId": colleague.user_id}
    kept = api.post("/tickets", body | {"status": "closed"}).json()
    given = api.post("/tickets", body).json()

    api.delete(f"/staff/{colleague.user_id}")

    assert api.get(f"/tickets/{given['id']}").json()["assignedUserId"] is None
    assert api.get(f"/tickets/{kept['id']}").json()["assignedUserId"] == str(colleague.user_id)


@pytest.mark.parametrize(
    ("denied", "method", "path"),
    [
        ("tickets.read", "get", "/tickets"),
        ("tickets.create", "post", "/tickets"),
        ("tickets.update", "put", "/tickets/{id}"),
        ("tickets.update", "post", "/tickets/{id}/comments"),
        ("tickets.delete", "delete", "/tickets/{id}"),
        ("tickets.read", "get", "/tickets/{id}/history"),
    ],
)
def test_each_deed_asks_for_its_permission(api, store, denied, method, path):
    ticket = api.post("/tickets", GUIDE).json()
    colleague = client_of(store, a_member(store, denies=[denied]))

    answer = colleague.request(method, path.replace("{id}", ticket["id"]), {"subject": "A"})

    assert answer.status_code == 403
    assert answer.json()["requiredPermission"] == denied


def test_a_repeat_with_its_key_makes_one_ticket(api):
    first = api.post("/tickets", GUIDE, Idempotency_Key="t-1")
    again = api.post("/tickets", GUIDE, Idempotency_Key="t-1")

    assert again.json() == first.json()
    assert Ticket.objects.count() == 1
