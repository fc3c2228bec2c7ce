"""guide.md, API Key Authentication and Scope expectations; platform.md, section 3."""

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from integrations.api_keys.models import ApiKey
from integrations.api_keys.tokens import checksum, hash_token, key_id_of, new_token
from storeplatform.kernel.cache import ShortMemory
from storeplatform.kernel.models import AuditEvent
from tests.clients import ApiClient, anonymous, client_of, key_client_of
from tests.factories import a_member, a_store

KEYS = "/api-keys"
VECTOR = "stk_0123456789ABCDEF.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1My2D0"


def client_with(text):
    return ApiClient("/api/v1/store/integrations", X_API_Key=text)


def forget():
    """As another process sees it after its five seconds."""
    for memory in ShortMemory.kept:
        memory.clear()


def test_the_vector_of_the_specification_holds():
    assert key_id_of(VECTOR) == "stk_0123456789ABCDEF"
    assert hash_token(VECTOR, b"test-pepper-32-bytes-long-000000") == (
        "3dd62933927a22cbba305df9f74ae9e4e4d08e41b6d42cee446b6b6bb821494b"
    )


def test_a_typo_in_a_key_costs_no_query(django_assert_num_queries, db):
    text = new_token().text
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")

    with django_assert_num_queries(0):
        answer = client_with(wrong).get("/whoami")

    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_api_key"
    assert answer["WWW-Authenticate"].startswith("ApiKey")


def test_a_key_is_shown_once_and_stored_as_a_hash(api):
    made = api.post(KEYS, {"name": "Website", "scopes": ["orders:read"]})

    assert made.status_code == 201, made.content
    body = made.json()
    secret = body["apiKey"].partition(".")[2]
    assert client_with(body["apiKey"]).get("/whoami").json()["keyId"] == body["keyId"]
    row = ApiKey.objects.get()
    assert secret not in str({f.name: getattr(row, f.name) for f in row._meta.fields})
    shown = api.get(f"{KEYS}/{body['keyId']}").content + api.get(KEYS).content
    assert secret.encode() not in shown
    assert body["secretHint"] == body["apiKey"][-4:]
    assert not AuditEvent.objects.filter(changes__icontains=secret).exists()


def test_a_repeated_issue_does_not_show_the_secret_again(api):
    body = {"name": "Website", "scopes": ["orders:read"]}
    made = api.post(KEYS, body, Idempotency_Key="issue-1").json()

    again = api.post(KEYS, body, Idempotency_Key="issue-1")

    assert again.status_code == 409
    assert again.json()["code"] == "secret_already_issued"
    assert again.json()["keyId"] == made["keyId"]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", "/orders", "orders:read"),
        ("post", "/orders", "orders:write"),
        ("post", "/orders/bulk", "orders:write"),
        ("post", "/orders/send-otp", "orders:write"),
        ("post", "/orders/storefront", "orders:write"),
        ("get", "/catalog/products", "catalog:read"),
        ("post", "/catalog/products", "catalog:write"),
        ("get", "/catalog/inventory", "catalog:read"),
        ("post", "/catalog/inventory/adjust", "catalog:write"),
        ("put", "/catalog/inventory/bulk", "catalog:write"),
    ],
)
def test_each_route_asks_for_its_scope(store, method, path, scope):
    others = [
        "orders:read", "orders:write", "catalog:read", "catalog:write", "messaging:read",
        "messaging:write",
    ]  # fmt: skip
    others.remove(scope)
    key = key_client_of(store, scopes=others)

    answer = getattr(key, method)(path)

    assert answer.status_code == 403
    assert answer.json()["code"] == "missing_scope"
    assert answer.json()["requiredScope"] == scope


def test_surfaces_do_not_mix(api, key):
    assert anonymous().get("/store/orders").status_code == 401
    assert ApiClient("/api/v1/store", **key.headers).get("/orders").status_code == 401
    crossed = ApiClient("/api/v1/store/integrations", **api.headers)
    assert crossed.get("/orders").status_code == 401


def test_a_rotated_key_overlaps_until_it_ends(api, store):
    made = api.post(KEYS, {"name": "Website", "scopes": ["orders:read"]}).json()
    rotated = api.post(f"{KEYS}/{made['keyId']}/rotate", {"gracePeriodHours": 2}).json()
    old, new = client_with(made["apiKey"]), client_with(rotated["apiKey"])

    assert rotated["keyId"] == made["keyId"]
    assert new.get("/whoami").status_code == 200
    warned = old.get("/whoami")
    assert warned["X-Api-Key-Warning"].startswith("previous-secret; expires=")
    with time_machine.travel(timezone.now() + timezone.timedelta(hours=3), tick=False):
        assert old.get("/whoami").status_code == 401
        assert new.get("/whoami").status_code == 200
    api.post(f"{KEYS}/{made['keyId']}/revoke-previous")
    assert old.get("/whoami").status_code == 401


def test_a_revoked_or_expired_key_is_named_only_to_its_holder(api):
    made = api.post(KEYS, {"name": "Website", "scopes": ["orders:read"]}).json()
    client = client_with(made["apiKey"])
    assert client.get("/whoami").status_code == 200

    assert api.delete(f"{KEYS}/{made['keyId']}").status_code == 204

    assert client.get("/whoami").json()["code"] == "api_key_revoked"
    random = "a" * 40
    forged = f"{made['keyId']}.{random}{checksum(made['keyId'], random)}"
    assert client_with(forged).get("/whoami").json()["code"] == "invalid_api_key"
    short = api.post(
        KEYS, {"name": "Short", "scopes": ["orders:read"], "expiresAt": "2026-12-01T00:00:00Z"}
    ).json()
    with time_machine.travel("2026-12-02T00:00:00Z", tick=False):
        forget()
        assert client_with(short["apiKey"]).get("/whoami").json()["code"] == "api_key_expired"


def test_an_allow_list_keeps_other_addresses_out(api):
    body = {"name": "Fixed", "scopes": ["orders:read"], "allowedIps": ["10.0.0.0/8", "2001:db8::1"]}
    away = api.post(KEYS, body).json()["apiKey"]
    here = api.post(KEYS, body | {"name": "Here", "allowedIps": ["127.0.0.1"]}).json()["apiKey"]

    assert client_with(away).get("/whoami").json()["code"] == "ip_not_allowed"
    assert client_with(here).get("/whoami").status_code == 200
    bad = api.post(KEYS, body | {"name": "Bad", "allowedIps": ["10.0.0.999"]})
    assert bad.status_code == 400


@pytest.mark.parametrize(
    ("address", "status"),
    [("::ffff:203.0.113.7", 200), ("::ffff:198.51.100.7", 403), ("203.0.113.7", 200), ("", 403)],
)
def test_an_allow_list_of_ipv4_knows_a_client_that_is_mapped_to_ipv6(api, address, status):
    body = {"name": "Office", "scopes": ["orders:read"], "allowedIps": ["203.0.113.0/24"]}
    made = api.post(KEYS, body).json()["apiKey"]

    answer = Client().get(
        "/api/v1/store/integrations/whoami", REMOTE_ADDR=address, HTTP_X_API_KEY=made
    )

    assert answer.status_code == status


def test_a_key_in_the_address_is_refused_and_reported(api, store):
    made = api.post(KEYS, {"name": "Website", "scopes": ["orders:read"]}).json()

    answer = client_with(made["apiKey"]).get(f"/whoami?key={made['apiKey']}")

    assert answer.status_code == 400
    assert answer.json()["code"] == "credential_in_url"
    assert AuditEvent.objects.filter(action="api_key.exposed", store_id=store.pk).exists()


def test_only_owners_manage_keys(store):
    staff = client_of(store, a_member(store))
    reader = client_of(store, a_member(store, grants=["api_keys.read"]))

    assert staff.get(KEYS).json()["requiredPermission"] == "api_keys.read"
    assert reader.get(KEYS).status_code == 200
    made = reader.post(KEYS, {"name": "x", "scopes": ["orders:read"]})
    assert made.json()["requiredPermission"] == "api_keys.manage"


def test_a_suspended_store_serves_nobody(api, key, store):
    store.status = "suspended"
    store.save()
    forget()

    assert key.get("/whoami").json()["code"] == "store_suspended"
    assert api.get("/products").json()["code"] == "store_suspended"


def test_another_stores_key_is_not_found(api):
    stranger = client_of(a_store())
    made = api.post(KEYS, {"name": "Website", "scopes": ["orders:read"]}).json()

    assert stranger.get(f"{KEYS}/{made['keyId']}").status_code == 404
    assert stranger.delete(f"{KEYS}/{made['keyId']}").status_code == 404
    assert stranger.post(f"{KEYS}/{made['keyId']}/rotate").status_code == 404


def test_limits_are_told_and_kept(key, settings):
    first = key.get("/whoami")
    assert first["RateLimit-Policy"].startswith('"integration-read";q=600;w=60')
    assert int(first["X-RateLimit-Remaining"]) == 599

    answers = (key.get("/whoami") for _ in range(5000))  # ten tokens a second come back

    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["policy"] == "integration-read"
    assert int(refused["Retry-After"]) >= 1
    settings.RATE_LIMITS = "count"
    assert key.get("/whoami").status_code == 200
