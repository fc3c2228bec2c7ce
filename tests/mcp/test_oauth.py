"""The authorization server, step by step: the twelve additions of mcp.md, section 4."""

import base64
import hashlib
import re
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.core.management import call_command
from django.utils import timezone

from integrations.mcp.oauth import agents
from integrations.mcp.oauth.models import AccessToken, Agent, Application, Grant, RefreshToken
from integrations.mcp.oauth.views import new_service_token
from store_modules.stores.models import Membership, Store
from storeplatform.kernel import limits
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.models import AuditEvent
from tests.clients import ApiClient, client_of
from tests.factories import a_member, a_store
from tests.mcp.agents import a_token, an_agent, an_application
from tests.mcp.conftest import an_owner
from tests.mcp.people import PASSWORD, Page

OAUTH = "/api/v1/oauth"
CALLBACK = "https://agent.example/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())[:-1].decode()


class Person:
    """A browser over Django's own handler, with its cookies and its CSRF check."""

    def __init__(self, user=None):
        from django.test import Client

        self.http = Client(enforce_csrf_checks=True, raise_request_exception=False)
        if user:
            page = self.http.get("/agents/sign-in")
            sent = Page(page.content.decode()).filled(login=user.email, password=PASSWORD)
            assert self.http.post("/agents/sign-in", sent).status_code == 302

    def page(self, url, **headers):
        return self.http.get(url, headers=headers)

    def decide(self, url, *, decision="allow", **choices):
        answer = self.http.get(url)
        assert answer.status_code == 200, (answer.status_code, answer.content)
        sent = Page(answer.content.decode()).filled(decision=decision, **choices)
        return self.http.post(url, sent)


@pytest.fixture
def shop(db):
    store = a_store()
    store.owner = an_owner(store)
    return store


@pytest.fixture
def person(shop):
    return Person(shop.owner)


@pytest.fixture
def client(db):
    return an_application()


@pytest.fixture
def resource(settings):
    return settings.MCP_RESOURCE


def link(client, **values):
    """An authorization request, right unless told otherwise; None leaves a parameter out."""
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "xyz",
        "scope": "store:read catalog:read orders:read",
    } | values
    given = {name: value for name, value in query.items() if value is not None}
    return f"{OAUTH}/authorize?{urlencode(given, doseq=True)}"


def back(answer):
    assert answer.status_code == 302, (answer.status_code, answer.content)
    assert answer["Location"].startswith(CALLBACK), answer["Location"]
    return {n: v[0] for n, v in parse_qs(urlsplit(answer["Location"]).query).items()}


def form(path, **values):
    return ApiClient().request(
        "post", f"{OAUTH}/{path}", urlencode(values, doseq=True).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip


def exchange(client, code, **values):
    asked = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": client.client_id,
        "code_verifier": VERIFIER,
    } | values
    return form("token", **{name: value for name, value in asked.items() if value is not None})


def tokens(person, client, **values):
    code = back(person.decide(link(client, **values)))["code"]
    return exchange(client, code).json()


# Documents


def test_the_documents_name_one_origin_whatever_the_host(db, settings):
    http = ApiClient()
    server = http.get("/.well-known/oauth-authorization-server", Host="127.0.0.1")
    document = http.request("get", "/.well-known/oauth-protected-resource/api/v1/store/mcp")
    bare = http.request("get", "/.well-known/oauth-protected-resource")

    assert server.json()["issuer"] == settings.PUBLIC_ORIGIN
    assert server.json()["token_endpoint"] == f"{settings.PUBLIC_ORIGIN}{OAUTH}/token"
    assert server.json()["code_challenge_methods_supported"] == ["S256"]
    assert "none" in server.json()["token_endpoint_auth_methods_supported"]
    assert document.json() == bare.json()
    assert document.json()["resource"] == f"{settings.PUBLIC_ORIGIN}/api/v1/store/mcp"
    assert "offline_access" not in document.json()["scopes_supported"]
    assert "offline_access" in server.json()["scopes_supported"]
    assert document["Access-Control-Allow-Origin"] == server["Access-Control-Allow-Origin"] == "*"
    other = http.request("get", "/.well-known/oauth-protected-resource/api/v1/store/products")
    assert other.status_code == 404


# Consent


def test_consent_leads_to_a_token_for_one_store_and_one_resource(person, client, shop, resource):
    answer = person.decide(link(client))

    given = back(answer)
    made = exchange(client, given["code"])
    assert given["state"] == "xyz"
    assert given["iss"] == resource.removesuffix("/api/v1/store/mcp")
    assert made.status_code == 200
    assert made.json()["token_type"] == "Bearer"
    assert made.json()["expires_in"] == 900
    assert made["Cache-Control"] == "no-store"
    row = AccessToken.objects.get()
    assert (row.store_id, row.resource, row.token) == (shop.pk, [resource], "")
    assert RefreshToken.objects.get().store_id == shop.pk
    assert AuditEvent.objects.filter(action="agent.connected", store_id=shop.pk).exists()


def test_consent_is_shown_each_time_whatever_the_client_says(person, client):
    tokens(person, client)

    for more in ({"approval_prompt": "auto"}, {"prompt": "consent"}, {}):
        assert person.page(link(client, **more)).status_code == 200
    assert back(person.page(link(client, prompt="none")))["error"] == "interaction_required"


def test_a_refusal_is_told_to_the_client(person, client, shop):
    given = back(person.decide(link(client), decision="deny"))

    assert given == {"error": "access_denied", "state": "xyz", "iss": given["iss"]}
    assert not Grant.objects.exists()
    assert AuditEvent.objects.filter(action="agent.denied").exists()


def test_writing_scopes_stand_apart_and_may_be_taken_away(person, client):
    asked = "catalog:read catalog:write orders:write"
    page = Page(person.page(link(client, scope=asked)).content.decode())

    given = back(person.decide(link(client, scope=asked), grant=["orders:write"]))
    made = exchange(client, given["code"]).json()

    assert page.values("grant") == ["catalog:write", "orders:write"]
    assert set(made["scope"].split()) == {"catalog:read", "orders:write"}


def test_the_page_says_who_asks_and_where_it_leads(person, client):
    page = person.page(link(client))

    text = page.content.decode()
    assert client.name in text
    assert "name not verified" in text
    assert "agent.example" in text
    assert "See your products, prices and categories" in text
    policy = page["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://agent.example" in policy
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store"


def test_a_client_on_this_machine_is_warned_of(person):
    client = an_application(redirect_uris="http://127.0.0.1/cb")

    page = person.page(link(client, redirect_uri="http://127.0.0.1:49152/cb"))

    assert "a program on this very computer" in page.content.decode()


def test_the_page_speaks_arabic_from_right_to_left(person, client):
    for page in (
        person.page(link(client), Accept_Language="ar-IQ"),
        person.page(link(client, ui_locales="ar")),
        person.page(link(client, lang="ar")),
    ):
        assert 'dir="rtl"' in page.content.decode()
        assert "هل تسمح" in page.content.decode()


def test_a_script_in_a_name_is_text(person):
    client = an_application(name="<script>alert(1)</script>")

    assert "<script>" not in person.page(link(client)).content.decode()


def test_the_decision_is_guarded_against_other_sites(person, client):
    answer = person.http.post(link(client), {"decision": "allow"})

    assert answer.status_code == 403
    assert not Grant.objects.exists()


def test_without_a_session_one_signs_in_first_and_comes_back(db, shop, client):
    somebody = Person()
    first = somebody.page(link(client))
    page = somebody.page(first["Location"])
    sent = Page(page.content.decode()).filled(login=shop.owner.email, password=PASSWORD)

    wrong = somebody.http.post(first["Location"], sent | {"password": "nope"})
    right = somebody.http.post(first["Location"], sent)

    assert first.status_code == 302
    assert wrong.status_code == 400
    assert "The login or the password is wrong." in wrong.content.decode()
    assert right.status_code == 302
    assert right["Location"].startswith(f"{OAUTH}/authorize")


def test_sign_in_leads_nowhere_else(db, shop):
    for next_page in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        somebody = Person()
        url = "/agents/sign-in?" + urlencode({"next": next_page})
        page = somebody.page(url)
        sent = Page(page.content.decode()).filled(login=shop.owner.email, password=PASSWORD)
        assert somebody.http.post(url, sent)["Location"] == "/agents"


def test_the_store_is_chosen_among_those_where_one_may_connect(client, shop):
    second, third = a_store(), a_store()
    a_member(second, user=shop.owner, role="store_owner")
    a_member(third, user=shop.owner, denies=["agents.connect"])
    person = Person(shop.owner)
    page = Page(person.page(link(client)).content.decode())

    refused = person.decide(link(client), store=str(third.pk))
    given = back(person.decide(link(client), store=str(second.pk)))

    assert set(page.values("store")) == {str(shop.pk), str(second.pk)}
    assert refused.status_code == 400
    assert exchange(client, given["code"]).status_code == 200
    assert Agent.objects.get().store_id == second.pk


def test_scopes_are_cut_to_the_role(client, shop):
    member = a_member(shop, denies=["orders.read"], user=an_owner(a_store()))
    person = Person(member.user)

    given = back(person.decide(link(client), store=str(shop.pk)))

    assert "orders:read" not in exchange(client, given["code"]).json()["scope"]


def test_who_may_connect_nowhere_is_told_so(client, shop):
    Membership.objects.update(role="store_staff", denies=["agents.connect"])

    page = Person(shop.owner).page(link(client))

    assert page.status_code == 403
    assert "Ask the owner" in page.content.decode()


# Bad authorization requests


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "v" * 200}, "invalid_request"),
        ({"response_type": "token"}, "unauthorized_client"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": "introspection"}, "invalid_scope"),
        ({"resource": "https://other.example/"}, "invalid_target"),
        ({"resource": "RESOURCE/more"}, "invalid_target"),
        ({"resource": ["RESOURCE", "https://other.example/"]}, "invalid_target"),
    ],
)
def test_a_bad_request_is_told_to_the_client(person, client, resource, values, error):
    if "resource" in values:
        many = values["resource"] if isinstance(values["resource"], list) else [values["resource"]]
        values = {"resource": [one.replace("RESOURCE", resource) for one in many]}

    answer = person.page(link(client, **values))

    given = back(answer)
    assert given["error"] in (error, "unsupported_response_type")
    assert given["state"] == "xyz"
    assert not Grant.objects.exists()
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": CALLBACK + "?more=1"},
        {"redirect_uri": CALLBACK + "#part"},
        {"redirect_uri": "https://agent.example@evil.example/callback"},
        {"redirect_uri": "https://user@agent.example/callback"},
        {"redirect_uri": "https://evil.example\\@agent.example/callback"},
        {"redirect_uri": "https://agent.example.evil.example/callback"},
        {"redirect_uri": "https://agent.example:8443/callback"},
        {"redirect_uri": "https://agent.example:99999/callback"},
        {"redirect_uri": "https://agent.example:/callback"},
        {"redirect_uri": "https://[agent.example/callback"},
        {"redirect_uri": "https://*.example/callback"},
        {"redirect_uri": "https://agent.example/Callback"},
        {"redirect_uri": "https://agent.example/callback/../evil"},
        {"redirect_uri": "https://agent.example/callback;more"},
        {"redirect_uri": "https://agent.example/callback%2F"},
        {"redirect_uri": "https://agent.example/callback\r\nX: y"},
        {"redirect_uri": "http://agent.example/callback"},
        {"redirect_uri": "//evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "data:text/html,x"},
        {"redirect_uri": ["https://evil.example/callback", CALLBACK]},
        {"redirect_uri": [CALLBACK, "https://evil.example/callback"]},
        {"client_id": "a\0b"},
        {"redirect_uri": "https://evil.example/callback", "response_type": "nothing"},
        {"redirect_uri": "https://evil.example/callback", "code_challenge": None},
        {"redirect_uri": "https://evil.example/callback", "prompt": "none"},
        {"redirect_uri": "https://evil.example/callback", "resource": "https://other.example/"},
    ],
)
def test_a_doubtful_client_gets_nobody_sent_anywhere(person, client, values):
    answer = person.page(link(client, **values))

    assert answer.status_code == 400
    assert "Location" not in answer
    assert "Nothing was shared" in answer.content.decode()


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost/cb", "http://127.0.0.2/cb", "http://127.0.0.1:80@evil.example/cb",
        "http://evil.example\\@127.0.0.1/cb", "http://127.0.0.1:x/cb", "http://127.0.0.1:99999/cb",
        "https://127.0.0.1/cb", "http://127.0.0.1/cb/..", "http://127.0.0.1.evil.example/cb",
        "http://0x7f000001/cb", "http://[::1]/cb",
    ],
)  # fmt: skip
def test_a_program_on_this_machine_comes_back_to_its_own_address_only(person, uri):
    client = an_application(redirect_uris="http://127.0.0.1:3000/cb")

    answer = person.page(link(client, redirect_uri=uri))

    assert answer.status_code == 400
    assert "Location" not in answer


def test_what_was_not_asked_for_is_not_given_whatever_the_form_says(person, client, shop):
    given = back(person.decide(link(client), grant=["orders:write", "introspection", "x"]))

    made = exchange(client, given["code"]).json()
    assert set(made["scope"].split()) == {"store:read", "catalog:read", "orders:read"}


def test_no_page_for_people_is_framed_kept_or_scripted(person, client):
    for page in (
        person.page(link(client)),
        person.page("/agents"),
        Person().page("/agents/sign-in"),
        person.page(link(client, client_id="nobody")),
    ):
        policy = page["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "base-uri 'none'" in policy
        assert page["X-Frame-Options"] == "DENY"
        assert page["Cache-Control"] == "no-store"
        assert page["X-Content-Type-Options"] == "nosniff"
        assert "<script" not in page.content.decode()


# Tokens


def test_a_replayed_code_ends_what_it_gave(person, client):
    code = back(person.decide(link(client)))["code"]
    made = exchange(client, code).json()

    again = exchange(client, code)

    assert again.status_code == 400
    assert again.json()["error"] == "invalid_grant"
    assert not AccessToken.objects.exists()
    refreshed = form(
        "token", grant_type="refresh_token", refresh_token=made["refresh_token"],
        client_id=client.client_id,
    )  # fmt: skip
    assert refreshed.status_code == 400
    assert AuditEvent.objects.filter(action="oauth.code_replayed").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": None},
        {"redirect_uri": "https://agent.example/other"},
        {"resource": "https://other.example/"},
        {"client_id": "ANOTHER"},
        {"client_id": "a\0b"},
        {"code": "a\0b"},
    ],
)
def test_a_code_is_bound_to_its_request(person, client, values):
    if values.get("client_id") == "ANOTHER":
        values = {"client_id": an_application().client_id}
    code = back(person.decide(link(client)))["code"]

    answer = exchange(client, **{"code": code} | values)

    assert answer.status_code in (400, 401)
    assert answer.json()["error"] in (
        "invalid_grant", "invalid_target", "invalid_request", "invalid_client",
    )  # fmt: skip
    assert not AccessToken.objects.exists()


def test_an_old_code_is_worth_nothing(person, client):
    code = back(person.decide(link(client)))["code"]
    Grant.objects.update(expires=timezone.now() - timedelta(seconds=1))

    assert exchange(client, code).json()["error"] == "invalid_grant"


def test_refresh_rotates_and_reuse_ends_the_family(person, client, shop):
    first = tokens(person, client)

    def refresh(token):
        return form(
            "token", grant_type="refresh_token", refresh_token=token, client_id=client.client_id
        )

    second = refresh(first["refresh_token"])
    reused = refresh(first["refresh_token"])
    third = refresh(second.json()["refresh_token"])

    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert reused.status_code == third.status_code == 400
    assert not AccessToken.objects.filter(agent__isnull=False).exists()
    assert AuditEvent.objects.filter(action="oauth.refresh_refused").exists()


def renew(client, token, **values):
    asked = {
        "grant_type": "refresh_token", "refresh_token": token, "client_id": client.client_id,
    }  # fmt: skip
    return form("token", **asked | values)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"scope": "store:read orders:write"}, "invalid_scope"),
        ({"scope": "introspection"}, "invalid_scope"),
        ({"resource": "https://other.example/"}, "invalid_target"),
        ({"client_id": "ANOTHER"}, "invalid_grant"),
    ],
)
def test_a_refresh_widens_nothing(person, client, values, error):
    made = tokens(person, client)
    if "client_id" in values:
        values = {"client_id": an_application().client_id}

    answer = renew(client, made["refresh_token"], **values)

    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error
    assert AccessToken.objects.count() == 1


def gone(shop):
    Membership.objects.all().delete()


def disabled(shop):
    Membership.objects.update(status="disabled")


def suspended(shop):
    Store.objects.update(status="suspended")


def inactive(shop):
    type(shop.owner).objects.update(is_active=False)


@pytest.mark.parametrize("end", [gone, disabled, suspended, inactive], ids=lambda end: end.__name__)
def test_who_may_not_any_more_gets_no_token(person, client, shop, end):
    made = tokens(person, client)
    code = back(person.decide(link(client)))["code"]
    ours = ApiClient(Authorization=f"Bearer {new_service_token(days=1)}")
    end(shop)

    refreshed = renew(client, made["refresh_token"])
    exchanged = exchange(client, code)
    seen = ours.request(
        "post", f"{OAUTH}/introspect", urlencode({"token": made["access_token"]}).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip

    assert refreshed.json()["error"] == exchanged.json()["error"] == "invalid_grant"
    assert seen.json() == {"active": False}
    assert AuditEvent.objects.get(action="oauth.refresh_refused").store_id == shop.pk


@pytest.mark.parametrize(
    "values",
    [
        {"grant_type": "client_credentials"},
        {"grant_type": "password", "username": "a", "password": "b"},
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"},
        {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"},
        {"grant_type": "implicit"},
        {},
    ],
)
def test_other_grants_are_not_offered(db, client, values):
    answer = form("token", client_id=client.client_id, **values)

    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


def test_no_credential_is_read_from_a_query(person, client):
    code = back(person.decide(link(client)))["code"]

    answer = form(
        "token?" + urlencode({"code": code, "code_verifier": VERIFIER}),
        grant_type="authorization_code", client_id=client.client_id, redirect_uri=CALLBACK,
    )  # fmt: skip

    assert answer.status_code == 400
    assert not AccessToken.objects.exists()


def test_the_page_shows_what_earlier_consents_still_allow(person, client):
    first = tokens(person, client, scope="catalog:write store:read")
    tokens(person, client, scope="catalog:read")
    agent = Agent.objects.get()
    both = agent.scopes
    agents.revoke_agent(agent, None, request=SimpleNamespace(user="op", headers={}))
    tokens(person, client, scope="catalog:read")

    assert both == ["store:read", "catalog:read", "catalog:write"]
    assert Agent.objects.get().scopes == ["catalog:read"]
    assert renew(client, first["refresh_token"]).status_code == 400


def test_revocation_ends_both_tokens_of_its_own_client_only(person, client):
    made = tokens(person, client)
    stranger = an_application()

    other = form("revoke", token=made["access_token"], client_id=stranger.client_id)
    assert AccessToken.objects.count() == 1
    own = form("revoke", token=made["access_token"], client_id=client.client_id)

    assert other.status_code == own.status_code == 200
    (told,) = AuditEvent.objects.filter(action="oauth.token_revoked")
    assert (told.target, told.store_id) == (client.client_id, Agent.objects.get().store_id)
    assert not AccessToken.objects.exists()
    assert RefreshToken.objects.get().revoked


def test_introspection_is_for_our_own_services(person, client, shop):
    made = tokens(person, client)
    ours = new_service_token(days=1)

    def ask(bearer):
        http = ApiClient(Authorization=f"Bearer {bearer}") if bearer else ApiClient()
        return http.request(
            "post", f"{OAUTH}/introspect", urlencode({"token": made["access_token"]}).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )  # fmt: skip

    assert ask(ours).json()["active"] is True
    assert ask(ours).json()["client_id"] == client.client_id
    assert ask(made["access_token"]).status_code == 401
    assert ask("").status_code == 401
    assert ask(new_service_token(days=-1)).status_code == 401
    nothing = ApiClient(Authorization=f"Bearer {ours}").post(f"{OAUTH}/introspect")
    assert nothing.status_code == 400


# Registration


def register(**values):
    body = {
        "client_name": "Desk",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    } | values
    return ApiClient().post(f"{OAUTH}/register", body)


def test_a_client_registers_sees_changes_and_forgets_itself(db, settings):
    answer = register()

    made = answer.json()
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert made["client_id_issued_at"] > 0
    assert made["registration_client_uri"].startswith(settings.PUBLIC_ORIGIN)
    path = made["registration_client_uri"].removeprefix(settings.PUBLIC_ORIGIN)
    own = ApiClient(Authorization=f"Bearer {made['registration_access_token']}")
    assert own.get(path).json()["client_name"] == "Desk"
    changed = own.put(path, {"client_name": "Desk 2", "redirect_uris": [CALLBACK]}).json()
    assert changed["client_name"] == "Desk 2"
    own = ApiClient(Authorization=f"Bearer {changed['registration_access_token']}")
    assert ApiClient().get(path).status_code == 401
    assert own.put(path, {"redirect_uris": ["http://evil.example/"]}).status_code == 400
    assert own.delete(path).status_code == 204
    assert not Application.objects.exists()
    told = AuditEvent.objects.order_by("id").values_list("action", flat=True)
    assert list(told) == [
        "oauth.client_registered", "oauth.client_changed", "oauth.client_removed",
    ]  # fmt: skip


def test_a_secret_is_shown_once_with_when_it_ends(db):
    made = register(token_endpoint_auth_method="client_secret_basic").json()

    assert made["client_secret_expires_at"] == 0
    assert Application.objects.get().client_secret != made["client_secret"]


@pytest.mark.parametrize(
    "values",
    [
        {"redirect_uris": ["http://agent.example/callback"]},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["https://a.example/#x"]},
        {"redirect_uris": ["data:text/html,x"]},
        {"redirect_uris": ["ftp://a.example/"]},
        {"redirect_uris": ["https:/a.example/"]},
        {"redirect_uris": ["https:///cb"]},
        {"redirect_uris": ["https://*.example/cb"]},
        {"redirect_uris": ["https://user@a.example/cb"]},
        {"redirect_uris": ["https://evil.example\\@a.example/cb"]},
        {"redirect_uris": ["http://evil.example\\@localhost/cb"]},
        {"redirect_uris": ["http://localhost.evil.example/cb"]},
        {"redirect_uris": ["https://a.example;sandbox/cb"]},
        {"redirect_uris": ["https://a.example:99999/cb"]},
        {"redirect_uris": ["https://p\u0430ypal.example/cb"]},
        {"redirect_uris": ["https://a.example/cb https://b.example/cb"]},
        {"redirect_uris": ["https://a.example/" + "x" * 2000]},
        {"redirect_uris": [7]},
        {"redirect_uris": ["https://[::1/cb"]},
        {"grant_types": []},
        {"grant_types": [{}]},
        {"grant_types": "authorization_code"},
        {"client_name": 7},
        {"client_name": "\0"},
        {"redirect_uris": [f"https://a.example/{n}" for n in range(11)]},
        {"redirect_uris": []},
        {"redirect_uris": "https://a.example/"},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["authorization_code", "password"]},
        {"response_types": ["token"]},
        {"client_name": "x" * 101},
        {"client_name": "a\u202eb"},
        {"token_endpoint_auth_method": "private_key_jwt"},
    ],
)
def test_registrations_that_are_not_offered_are_refused(db, values):
    answer = register(**values)

    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_client_metadata", "invalid_redirect_uri")
    assert not Application.objects.exists()


@pytest.mark.parametrize("uri", ["http://127.0.0.1/cb", "http://localhost:33418/", "http://[::1]/"])
def test_plain_http_is_for_this_machine(db, uri):
    assert register(redirect_uris=[uri]).status_code == 201


def test_registration_is_limited_by_address(db, settings):
    answers = [register() for _ in range(11)]

    assert answers[9].status_code == 201
    assert answers[10].status_code == 429
    assert int(answers[10]["Retry-After"]) > 0


def test_the_token_endpoint_is_limited_by_address(db, client):
    for path in ("token", "revoke"):
        while limits.charge([Bucket(POLICIES["oauth-token"], "127.0.0.1")])[0].allowed:
            pass
        answer = form(path, client_id=client.client_id, token="x", grant_type="refresh_token")
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) > 0


def test_clients_that_nobody_used_are_forgotten(shop):
    used, unused, fresh, own = (
        an_application(), an_application(), an_application(),
        an_application(registration_source="manual", store=shop),
    )  # fmt: skip
    an_agent(shop, application=used)
    Application.objects.exclude(pk=fresh.pk).update(created=timezone.now() - timedelta(days=8))

    agents.purge()

    assert set(Application.objects.all()) == {used, fresh, own}
    assert unused.pk
    call_command("cleartokens")


def test_a_metadata_document_is_a_client_when_its_host_is_known(person, settings, monkeypatch):
    from oauth2_provider import cimd

    known = "https://claude.ai/oauth/client.json"
    unknown = "https://evil.example/oauth/client.json"

    def fetch(self, url):
        document = {
            "client_id": url, "client_name": "Known agent", "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
        }  # fmt: skip
        return document, 300

    monkeypatch.setattr(cimd.SafeMetadataFetcher, "fetch", fetch)

    class Client:
        client_id = known

    page = person.page(link(Client))
    given = back(person.decide(link(Client)))
    Client.client_id = unknown
    refused = person.page(link(Client))

    assert page.status_code == 200
    assert "Known agent" in page.content.decode()
    assert given["code"]
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/client.json", "https://[::1]/client.json", "https://10.1.2.3/client.json",
        "https://169.254.169.254/client.json", "https://[64:ff9b::7f00:1]/client.json",
        "https://[::ffff:127.0.0.1]/client.json", "https://0.0.0.0/client.json",
        "https://localhost/client.json", "https://localhost:5432/client.json",
        "http://claude.ai/client.json", "https://user@claude.ai/client.json",
        "https://claude.ai/../client.json", "https://claude.ai/client.json#x", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_no_document_is_fetched_from_within(settings, url):
    """Names are resolved first, and a name that leads within is refused like an address."""
    from oauth2_provider.cimd import CIMDError, SafeMetadataFetcher
    from oauth2_provider.settings import oauth2_settings

    assert oauth2_settings.CIMD_METADATA_FETCHER is SafeMetadataFetcher
    with pytest.raises(CIMDError):
        SafeMetadataFetcher().fetch(url)


@pytest.mark.parametrize(
    "document",
    [
        {"redirect_uris": ["http://evil.example/cb"]},
        {"redirect_uris": ["https://a.example\\@b.example/cb"]},
        {"redirect_uris": [f"https://a.example/{n}" for n in range(11)]},
        {"client_name": "a\u202eb"},
        {"client_name": "x" * 101},
        {"client_secret": "x"},
        {"client_id": "https://claude.ai/another.json"},
        {"grant_types": ["client_credentials"]},
    ],
)
def test_a_document_is_held_to_the_same_rules(person, monkeypatch, document):
    from oauth2_provider import cimd

    class Client:
        client_id = "https://claude.ai/oauth/client.json"

    good = {"client_id": Client.client_id, "client_name": "A", "redirect_uris": [CALLBACK]}
    monkeypatch.setattr(cimd.SafeMetadataFetcher, "fetch", lambda _, url: (good | document, 300))

    assert person.page(link(Client)).status_code == 400
    assert not Application.objects.exists()


# The store's side


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.example/ https://b.example/", "javascript:alert(1)", "data:text/html,x",
        "https://user@a.example/", "https://a.example:99999/", "https://[::1/", "x", "/cb",
    ],
)  # fmt: skip
def test_a_store_registers_no_doubtful_address(shop, uri):
    answer = client_of(shop).post(
        "/oauth-mcp/redirect-uris", {"clientId": "acme-desk", "redirectUri": uri}
    )

    assert answer.status_code == 400
    assert not Application.objects.exists()


def test_a_store_registers_redirect_uris_of_its_own_client(person, shop):
    api = client_of(shop)
    body = {"clientId": "acme-desk", "redirectUri": CALLBACK, "name": "Acme"}

    made = api.post("/oauth-mcp/redirect-uris", body)
    loopback = api.post(
        "/oauth-mcp/redirect-uris", body | {"redirectUri": "http://acme.example/cb"}
    )
    stolen = client_of(a_store()).post("/oauth-mcp/redirect-uris", body)
    client = Application.objects.get()
    page = person.page(link(client)).content.decode()

    assert made.status_code == 201
    assert made.json()["clientId"] == "acme-desk"
    assert loopback.status_code == 400
    assert stolen.status_code == 409
    assert stolen.json()["code"] == "client_id_taken"
    assert "registered by your store" in page
    assert [row["redirectUri"] for row in api.get("/oauth-mcp/redirect-uris").json()["items"]] == [
        CALLBACK
    ]
    gone = api.request("delete", "/oauth-mcp/redirect-uris", body)
    assert gone.status_code == 204
    assert not Application.objects.exists()


def test_a_store_does_not_widen_a_client_that_registered_itself(shop, client):
    body = {"clientId": client.client_id, "redirectUri": "https://mine.example/cb"}

    answer = client_of(shop).post("/oauth-mcp/redirect-uris", body)

    assert answer.status_code == 409


def test_a_client_of_a_store_serves_no_other(shop):
    other = a_store()
    stranger = Person(an_owner(other))
    client = an_application(store=shop, registration_source="manual")

    assert stranger.page(link(client)).status_code == 403


def test_connected_agents_are_seen_and_ended(person, shop, client):
    made = tokens(person, client)
    api = client_of(shop, Membership.objects.get(user=shop.owner))
    staff = a_member(shop, user=an_owner(a_store()))
    (row,) = api.get("/oauth-mcp/agents").json()["items"]
    page = person.page("/agents").content.decode()

    assert row["clientName"] == client.name
    assert row["member"] == shop.owner.full_name
    assert client.name in page
    assert client_of(shop, staff).get("/oauth-mcp/agents").json()["items"] == []
    assert client_of(shop, staff).delete(f"/oauth-mcp/agents/{row['id']}").status_code == 404
    assert api.delete(f"/oauth-mcp/agents/{row['id']}").status_code == 204
    assert not AccessToken.objects.exists()
    assert exchange(client, "x").status_code == 400
    refreshed = form(
        "token", grant_type="refresh_token", refresh_token=made["refresh_token"],
        client_id=client.client_id,
    )  # fmt: skip
    assert refreshed.status_code == 400


def test_the_page_of_connected_agents_ends_one(person, shop, client):
    tokens(person, client)
    sent = Page(person.page("/agents").content.decode()).filled()

    answer = person.http.post("/agents", sent)

    assert answer.status_code == 302
    assert "No agent is connected." in person.page("/agents").content.decode()
    assert Agent.objects.get().revoked_at


def test_nobody_ends_an_agent_of_another_store(shop):
    theirs = an_agent(a_store())
    person = Person(shop.owner)
    sent = Page(person.page("/agents").content.decode()).filled(agent=str(theirs.pk))

    person.http.post("/agents", sent)

    assert Agent.objects.get(pk=theirs.pk).revoked_at is None


def test_tokens_and_codes_are_in_no_log_or_audit(person, client, capfd):
    made = tokens(person, client)

    kept = capfd.readouterr()
    told = kept.out + kept.err + str(list(AuditEvent.objects.values()))
    for secret in (made["access_token"], made["refresh_token"], VERIFIER):
        assert secret not in told
    assert not re.search(r"code=[A-Za-z0-9]{20}", told)


def test_a_token_that_was_made_by_hand_works_like_any(shop, settings):
    from integrations.mcp.principal import principal_of

    found = principal_of(a_token(an_agent(shop)))

    assert found.actor.store_id == shop.pk
