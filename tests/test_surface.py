"""What a person would forget, over every registered route."""

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from storeplatform.kernel.checks import routes
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.ports import Port
from storeplatform.kernel.serializers import camel
from storeplatform.kernel.viewsets import PublicView, StoreScoped
from tests.clients import ApiClient, anonymous, client_of, key_client_of, visitor_client_of
from tests.factories import a_customer, a_product, a_store, an_order_body

ANY_ID = "01890000-0000-7000-8000-000000000000"


def operations():
    """(method, path template, view class, action) of every API route."""
    found = []
    for path, pattern in routes():
        view = getattr(pattern.callback, "cls", None)
        if view is None or not path.startswith("api/"):
            continue
        for method, action in pattern.callback.actions.items():
            found.append((method, "/" + clean(path), view, action))
    return found


def clean(path):
    """A URL pattern as a path with {names}."""
    path = re.sub(r"\(\?P<(\w+)>[^()]*(?:\([^()]*\)[^()]*)*\)", r"{\1}", path)
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
    return path.replace("^", "").replace("$", "").replace("\\Z", "").replace("{pk}", "{id}")


OPERATIONS = operations()
SCOPED = [one for one in OPERATIONS if issubclass(one[2], StoreScoped)]
HOSTILE_BODIES = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b"123",
    b'{"a": 1, "a": 2}',
    b'{"a": NaN}',
    b"\xff\xfe{\x00",
    b"\xef\xbb\xbf{}",
    b'{"name": "\\u0000"}',
    b'{"name": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b'{"quantity": 1e400}',
    b'{"version": ' + b"9" * 5000 + b"}",
    b'{"items": {"sku": 1}, "orders": 7, "name": [], "scopes": "x", "price": true}',
    b'{"id": "x", "storeId": "y", "ownerId": "z", "version": "a", "createdAt": 1}',
]


LINE = {"itemId": ANY_ID, "quantity": 1}
VALID_BODIES = {
    "transition": {"to": "confirmed"},
    "merge": {"intoCustomerId": ANY_ID},
    "fulfillment": {"status": "at_hub"},
    "check_in": {"lines": [{"itemId": ANY_ID, "restock": 1}]},
    "pay": {"amount": "1", "method": "cash"},
    "refunds": {"amount": "1", "method": "cash", "reason": "x"},
    "refund": {"method": "cash"},
    "receive": {"items": [LINE]},
    "close": {"countedCash": "1"},
    "move_cash": {"type": "pay_in", "amount": "1", "reason": "x"},
    "render": {"orderId": ANY_ID},
    "assign": {"userId": None},
    "read": {"upToSeq": 0},
    "typing": {"isTyping": True},
    "snooze": {"until": "2099-01-01T00:00:00Z"},
    "recover": {"since": "2026-01-01T00:00:00Z"},
}


def fill(path, value=ANY_ID):
    return re.sub(r"\{key_id\}", "stk_0123456789ABCDEF", re.sub(r"\{(?!key_id)\w+\}", value, path))


@pytest.mark.parametrize(("method", "path", "view", "action"), OPERATIONS)
def test_every_route_is_scoped_or_says_why_it_is_public(method, path, view, action):
    if issubclass(view, PublicView):
        assert view.why_public
    else:
        assert issubclass(view, StoreScoped)


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "view", "action"), SCOPED)
def test_every_scoped_route_asks_for_its_credential(method, path, view, action):
    answer = anonymous().request(method, fill(path))

    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "authentication_required"
    assert answer["WWW-Authenticate"]


def client_for(view, store):
    if getattr(view, "surface", "") == "widget":
        return visitor_client_of(store)
    is_key = getattr(view, "grant_separator", ".") == ":"
    return key_client_of(store) if is_key else client_of(store)


@pytest.mark.parametrize(
    ("method", "path", "view", "action"), [one for one in SCOPED if "{" in one[1]]
)
def test_an_unknown_id_is_not_found_in_one_way(store, method, path, view, action):
    client = client_for(view, store)
    body = VALID_BODIES.get(action, {})
    if action in ("update", "partial_update"):
        body = {"quantityOnHand": 1} if "inventory" in path else {"name": "x"}

    unknown = client.request(method, fill(path), body)
    garbage = client.request(method, fill(path, "not-an-id"), body)

    assert unknown.status_code == 404, unknown.content
    if "{ref}" not in path and "{key_id}" not in path:
        assert garbage.status_code == 404
    assert unknown.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "view", "action"),
    [one for one in OPERATIONS if one[0] in ("post", "put", "patch")],
)
def test_hostile_bodies_get_a_problem_and_never_a_fault(
    store, settings, method, path, view, action
):
    settings.RATE_LIMITS = "off"
    client = client_for(view, store) if issubclass(view, StoreScoped) else anonymous()

    for body in HOSTILE_BODIES:
        answer = client.request(method, fill(path), body)
        assert answer.status_code < 500, (body[:60], answer.content)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            problem = json.loads(answer.content)
            assert problem["status"] == answer.status_code
            assert problem["code"]
            assert problem["requestId"] == answer["X-Request-Id"]
            assert set(problem.get("errors", {"x": ["y"]})) - {""}


@pytest.mark.parametrize(
    ("method", "path", "view", "action"),
    [one for one in OPERATIONS if one[0] == "get" and "{" not in one[1]],
)
@pytest.mark.parametrize(
    "query",
    [
        "page=0", "page=-1", "page=999999999999", "pageSize=101", "pageSize=x", "cursor=%00",
        "cursor=AAAA", "ordering=;drop", "search=%00", "from=yesterday", "status=%F0%28",
        "minTotal=NaN", "search=" + "x" * 300, "updatedSince=2020-13-45", "isActive=maybe",
    ],
)  # fmt: skip
def test_hostile_queries_get_a_problem_and_never_a_fault(store, method, path, view, action, query):
    client = client_for(view, store) if issubclass(view, StoreScoped) else anonymous()

    answer = client.get(f"{path}?{query}")

    assert answer.status_code < 500, answer.content


LISTS = [one for one in SCOPED if one[3] == "list" and "{" not in one[1]]


@pytest.mark.parametrize(("method", "path", "view", "action"), LISTS)
def test_every_list_searches_filters_and_orders(store, settings, method, path, view, action):
    settings.RATE_LIMITS = "off"
    client = client_for(view, store)
    queries = ["search=ali", "search=0770", "search=٠٧٧٠"]
    queries += [f"ordering={sign}{name}" for name in view.ordering_fields for sign in ("", "-")]
    filters = view.filterset_class.base_filters if view.filterset_class else {}
    for name, one in filters.items():
        words = getattr(one.field, "words", None)
        value = next(iter(words.values())) if words else VALUES[type(one.field).__name__]
        queries.append(f"{camel(name.rstrip('_'))}={value}")

    for query in queries:
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == 200, (query, answer.content)
        further = client.get(f"{path}?{query}&cursor=&pageSize=1")
        assert further.status_code == 200, (query, further.content)


VALUES = {
    "ManyIds": ANY_ID, "RootOrIds": "root", "ManyWords": "x", "TrueOrFalse": "true", "Number": "1",
    "DayOrInstant": "2026-01-01", "Day": "2026-01-01",
    "ManyPeople": "me",
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "view", "action"), OPERATIONS)
def test_options_tell_the_methods_of_every_route(store, method, path, view, action):
    client = client_for(view, store) if issubclass(view, StoreScoped) else anonymous()

    answer = client.request("options", fill(path))

    assert answer.status_code == 204, answer.content
    assert method.upper() in answer["Allow"]


@pytest.mark.parametrize("path", ["/api/v1/openapi.json", "/health/live", "/.well-known/jwks.json"])
def test_plain_pages_only_answer_reading(db, path):
    answer = ApiClient("").request("delete", path)

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"


def test_other_content_types_are_refused(key):
    wrong = (
        "text/plain", "application/xml", "application/x-www-form-urlencoded",
        "application/json; charset=utf-16", "application/json; version=2",
    )  # fmt: skip
    for content_type in wrong:
        answer = key.request("post", "/orders", b"{}", Content_Type=content_type)
        assert answer.status_code == 415, content_type
        assert answer.json()["code"] == "unsupported_media_type"


def test_an_unknown_path_and_method_are_problems(key, api):
    missing = api.get("/nothing-here")
    wrong = api.request("delete", "/settings")

    assert missing.status_code == 404
    assert missing["Content-Type"] == "application/problem+json"
    assert wrong.status_code == 405
    assert wrong.json()["code"] == "method_not_allowed"
    assert "GET" in wrong["Allow"]


def test_request_ids_are_taken_and_returned(api):
    mine = api.get("/settings", X_Request_Id="my-request-0001")
    bad = api.get("/settings", X_Request_Id="bad id!")

    assert mine["X-Request-Id"] == "my-request-0001"
    assert bad["X-Request-Id"].startswith("req_")


@pytest.mark.parametrize(
    "base", ["/products", "/customers", "/orders", "/inventory", "/categories"]
)
def test_owner_fields_in_a_body_are_ignored(api, store, base):
    stranger = a_store()
    product = a_product(store)
    bodies = {
        "/products": {"sku": "X", "name": "X", "price": "1"},
        "/customers": {"name": "X", "primaryPhone": "07701234567"},
        "/orders": an_order_body(store, (product, 1)),
        "/categories": {"name": "X"},
    }
    if base not in bodies:
        return
    forced = {
        "storeId": str(stranger.pk), "store": str(stranger.pk), "ownerId": str(stranger.pk),
        "id": ANY_ID, "createdAt": "2001-01-01T00:00:00Z", "total": "1", "ordersCount": 99,
    }  # fmt: skip

    made = api.post(base, bodies[base] | forced)

    assert made.status_code == 201, made.content
    assert made.json()["id"] != ANY_ID
    assert client_of(stranger).get(f"{base}/{made.json()['id']}").status_code == 404
    assert made.json().get("ordersCount", 0) == 0


def test_every_list_keeps_its_query_count_as_rows_grow(api, key, store, queries):
    paths = ["/products", "/customers", "/orders", "/inventory", "/inventory/movements"]

    def count():
        counts = {}
        for client, prefix in ((api, ""), (key, "key")):
            for path in paths:
                if prefix:
                    path = path if path == "/orders" else f"/catalog{path}"
                    if path == "/catalog/customers":
                        continue
                client.get(path)
                with queries() as seen:
                    assert client.get(path).status_code == 200, path
                counts[prefix + path] = len(seen)
        return counts

    a_customer(store)
    key.post("/orders", an_order_body(store, (a_product(store), 1)))
    few = count()
    for _ in range(12):
        product = a_product(store)
        a_customer(store)
        key.post("/orders", an_order_body(store, (product, 1)))
    many = count()

    assert many == few
    assert max(many.values()) <= 2


def test_hot_routes_keep_their_query_counts(key, store, queries):
    products = [a_product(store) for _ in range(3)]
    order = key.post("/orders", an_order_body(store, *((p, 1) for p in products))).json()
    body = an_order_body(store, *((p, 1) for p in products))

    def count(send):
        with queries() as seen:
            assert send().status_code < 300
        return len([one for one in seen if "SAVEPOINT" not in (one["sql"] or "")])

    assert count(lambda: key.get("/whoami")) == 0
    assert count(lambda: key.get(f"/orders/{order['id']}")) == 1
    assert count(lambda: key.post("/orders", body)) <= 9
    assert count(lambda: key.post("/orders", body, Idempotency_Key=str(uuid.uuid4()))) <= 12


def test_every_port_is_filled():
    assert [port.name for port in Port.declared if not port.functions] == []


def test_health(db):
    http = ApiClient("")

    assert http.get("/health/live").status_code == 200
    ready = {"status": "ready", "broker": "up", "outboxLagSeconds": 0.0}
    assert http.get("/health/ready").json() == ready


def test_health_tells_of_events_that_wait(store):
    emit("test.waits", store_id=store.pk, subject_id=store.pk)
    OutboxEvent.objects.update(created_at=timezone.now() - timedelta(minutes=5))

    told = ApiClient("").get("/health/ready")

    assert (told.status_code, told.json()["status"]) == (200, "degraded")
    assert 299 < told.json()["outboxLagSeconds"] < 310
