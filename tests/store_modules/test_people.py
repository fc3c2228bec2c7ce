"""Signing in, people and settings; platform.md, sections 4 and 5; guide.md, Settings."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from store_modules.stores.models import (
    Invitation,
    LoginFailure,
    Membership,
    PasswordReset,
    SignIn,
)
from store_modules.stores.people import purge
from storeplatform.kernel.cache import ShortMemory
from storeplatform.kernel.models import AuditEvent
from tests.clients import ApiClient, anonymous, client_of
from tests.factories import a_member, a_product, a_store, a_user
from tests.worker import work

REGISTRATION = {
    "email": "Owner@Example.com",
    "password": "correct horse battery",
    "fullName": "Sara Ali",
    "storeName": "Sara's Shop",
}


@pytest.fixture
def public(db):
    return anonymous()


@pytest.fixture
def registered(public):
    return public.post("/auth/register", REGISTRATION).json()


def bearer(token, base="/api/v1/store"):
    return ApiClient(base, Authorization=f"Bearer {token}")


def test_a_merchant_registers_and_is_owner(public):
    answer = public.post("/auth/register", REGISTRATION)

    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert body["role"] == "store_owner"
    assert body["user"]["email"] == "owner@example.com"
    assert "api_keys.manage" in body["permissions"]
    assert bearer(body["accessToken"]).get("/api/v1/auth/me").json()["store"] == body["store"]
    again = public.post("/auth/register", REGISTRATION)
    assert again.status_code == 409
    assert again.json()["code"] == "account_exists"


@pytest.mark.parametrize("name", ["login", "email"])
def test_sign_in_takes_an_address_in_any_case(public, registered, name):
    answer = public.post(
        "/auth/login", {name: "OWNER@example.com", "password": REGISTRATION["password"]}
    )

    assert answer.status_code == 200
    assert answer.json()["stores"][0]["role"] == "store_owner"


def test_sign_in_takes_a_phone_in_any_spelling(public):
    body = REGISTRATION | {"phone": "0770 123 4567"}
    del body["email"]
    public.post("/auth/register", body)

    answer = public.post(
        "/auth/login", {"phone": "9647701234567", "password": REGISTRATION["password"]}
    )

    assert answer.status_code == 200


def test_wrong_credentials_look_alike_and_are_slowed_down(public, registered):
    unknown = public.post("/auth/login", {"login": "x@example.com", "password": "whatever12"})
    wrong = [
        public.post("/auth/login", {"login": "owner@example.com", "password": "whatever12"})
        for _ in range(6)
    ]

    assert unknown.status_code == wrong[0].status_code == 401
    assert unknown.json()["code"] == wrong[0].json()["code"] == "invalid_credentials"
    assert wrong[5].status_code == 429
    assert int(wrong[5]["Retry-After"]) > 0
    assert LoginFailure.objects.filter(login="owner@example.com").count() == 5


def test_a_refresh_token_works_once_and_its_reuse_ends_the_sign_in(public, registered):
    first = registered["refreshToken"]
    second = public.post("/auth/refresh", {"refreshToken": first}).json()

    two_tabs = public.post("/auth/refresh", {"refreshToken": first})
    with time_machine.travel(timezone.now() + timedelta(seconds=11), tick=False):
        stolen = public.post("/auth/refresh", {"refreshToken": first})
        after = public.post("/auth/refresh", {"refreshToken": second["refreshToken"]})

    assert two_tabs.status_code == 409
    assert stolen.status_code == 401
    assert stolen.json()["code"] == "refresh_token_reused"
    assert after.json()["code"] == "session_revoked"
    assert bearer(second["accessToken"]).get("/settings").json()["code"] == "session_revoked"
    assert AuditEvent.objects.filter(action="refresh_token.reused").exists()


def test_refresh_tokens_are_not_kept_as_text(registered):
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}


def test_signing_out_ends_the_sign_in(public, registered):
    answer = public.post("/auth/logout", {"refreshToken": registered["refreshToken"]})

    assert answer.status_code == 204
    assert bearer(registered["accessToken"]).get("/settings").status_code == 401
    assert public.post("/auth/logout", {"refreshToken": "nonsense"}).status_code == 204


def test_an_access_token_expires_and_cannot_be_changed(registered):
    token = registered["accessToken"]
    head, payload, signature = token.split(".")

    forged = bearer(f"{head}.{payload}.{signature[:-2]}AA").get("/settings")
    refresh_as_access = bearer(registered["refreshToken"]).get("/settings")
    none = bearer(f"eyJhbGciOiJub25lIn0.{payload}.").get("/settings")
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        late = bearer(token).get("/settings")

    assert forged.json()["code"] == none.json()["code"] == "invalid_token"
    assert refresh_as_access.json()["code"] == "invalid_token"
    assert late.json()["code"] == "token_expired"
    assert "error=" in late["WWW-Authenticate"]


def test_a_cookie_refresh_needs_a_page_of_this_site(public, registered):
    public.post(
        "/auth/login",
        {"login": "owner@example.com", "password": REGISTRATION["password"], "useCookie": True},
    )

    foreign = public.post("/auth/refresh", {}, Origin="https://evil.example")
    own = public.post("/auth/refresh", {}, Origin="http://localhost:8000")

    assert foreign.json()["code"] == "origin_not_allowed"
    assert own.status_code == 200
    assert own.json()["refreshToken"] is None


def test_another_store_is_switched_to_and_the_old_token_dies(registered):
    other = a_store()
    client = bearer(registered["accessToken"])
    assert client.post("/api/v1/auth/switch-store", {"storeId": str(other.pk)}).status_code == 404
    a_member(other, user=Membership.objects.get(store_id=registered["store"]["id"]).user)

    switched = client.post("/api/v1/auth/switch-store", {"storeId": str(other.pk)})

    assert switched.status_code == 200
    assert switched.json()["role"] == "store_staff"
    assert client.get("/settings").json()["code"] == "session_revoked"
    assert bearer(switched.json()["accessToken"]).get("/settings").status_code == 200


def test_a_page_that_signed_in_by_cookie_switches_by_cookie(public, registered):
    other = a_store()
    a_member(other, user=Membership.objects.get(store_id=registered["store"]["id"]).user)
    page = bearer(registered["accessToken"])

    switched = page.post("/api/v1/auth/switch-store", {"storeId": str(other.pk), "useCookie": True})

    assert switched.json()["refreshToken"] is None
    cookie = switched.cookies["refresh_token"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    public.http.cookies["refresh_token"] = cookie.value
    again = public.post("/auth/refresh", {}, Origin="http://localhost:8000")
    assert again.json()["store"]["id"] == str(other.pk)


def test_a_colleague_is_invited_and_joins(public, api, store):
    invited = api.post(
        "/staff", {"email": "Ali@example.com", "role": "store_staff", "denies": ["expenses.read"]}
    )
    assert invited.status_code == 201, invited.content
    token = invited.json()["token"]
    assert token not in str(Invitation.objects.values())

    joined = public.post(
        "/auth/invitations/accept",
        {"token": token, "fullName": "Ali", "password": "correct horse"},
    )
    again = public.post(
        "/auth/invitations/accept",
        {"token": token, "fullName": "Ali", "password": "correct horse"},
    )

    assert joined.status_code == 200, joined.content
    assert joined.json()["store"]["id"] == str(store.pk)
    assert "expenses.read" not in joined.json()["permissions"]
    assert again.status_code == 400
    assert api.get("/staff").json()["totalCount"] == 2


def test_a_deny_bites_at_once_here_and_an_owner_stays(api, store):
    member = a_member(store)
    staff = client_of(store, member)
    assert staff.get("/products").status_code == 200

    api.put(f"/staff/{member.user_id}", {"denies": ["products.read"]})

    refused = staff.get("/products")
    assert refused.status_code == 403
    assert refused.json()["requiredPermission"] == "products.read"
    owner = Membership.objects.get(store=store, role="store_owner")
    last = api.put(f"/staff/{owner.user_id}", {"role": "store_staff"})
    assert last.status_code == 409
    assert last.json()["code"] == "last_owner"
    assert api.delete(f"/staff/{owner.user_id}").status_code == 409
    never = api.put(f"/staff/{member.user_id}", {"grants": ["staff.manage"]})
    assert never.status_code == 400


def test_a_removed_colleague_is_out(api, store):
    member = a_member(store)
    staff = client_of(store, member)

    assert api.delete(f"/staff/{member.user_id}").status_code == 204

    assert staff.get("/products").status_code == 401
    assert SignIn.objects.filter(user=member.user, revoked_at=None).count() == 0


def test_passwords_change_and_reset(public, registered, settings):
    client = bearer(registered["accessToken"])
    other = public.post(
        "/auth/login", {"login": "owner@example.com", "password": REGISTRATION["password"]}
    ).json()

    wrong = client.post(
        "/api/v1/auth/password/change", {"currentPassword": "no", "newPassword": "another horse"}
    )
    done = client.post(
        "/api/v1/auth/password/change",
        {"currentPassword": REGISTRATION["password"], "newPassword": "another horse"},
    )

    assert wrong.status_code == 400
    assert done.status_code == 204
    assert bearer(other["accessToken"]).get("/settings").status_code == 401
    for login in ("owner@example.com", "nobody@example.com"):
        assert public.post("/auth/password/forgot", {"login": login}).status_code == 202
    assert mail.outbox == []  # neither the answer nor its time tells who is known
    work()
    assert len(mail.outbox) == 1
    token = mail.outbox[0].body.partition("token=")[2].split()[0]
    reset = {"token": token, "newPassword": "third horse 33"}
    assert public.post("/auth/password/reset", reset).status_code == 204
    assert public.post("/auth/password/reset", reset).status_code == 400
    signed = public.post(
        "/auth/login", {"login": "owner@example.com", "password": "third horse 33"}
    )
    assert signed.status_code == 200


def test_a_reset_ends_every_other_link_and_no_mailbox_is_flooded(public, registered):
    for _ in range(8):
        public.post("/auth/password/forgot", {"login": "owner@example.com"})
    work()
    tokens = [sent.body.partition("token=")[2].split()[0] for sent in mail.outbox]
    assert len(tokens) == 5

    answers = [
        public.post("/auth/password/reset", {"token": token, "newPassword": "third horse 33"})
        for token in tokens
    ]

    assert [answer.status_code for answer in answers] == [204, 400, 400, 400, 400]


def test_a_mail_server_that_fails_tells_nothing(public, registered, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    known = public.post("/auth/password/forgot", {"login": "owner@example.com"})
    work()

    assert known.status_code == 202
    assert not PasswordReset.objects.exists()  # the next try mails a new one


def test_a_change_of_the_password_ends_mailed_links(public, registered):
    public.post("/auth/password/forgot", {"login": "owner@example.com"})
    work()
    token = mail.outbox[0].body.partition("token=")[2].split()[0]

    bearer(registered["accessToken"]).post(
        "/api/v1/auth/password/change",
        {"currentPassword": REGISTRATION["password"], "newPassword": "another horse"},
    )

    reset = public.post("/auth/password/reset", {"token": token, "newPassword": "third horse 33"})
    assert reset.status_code == 400


def test_a_thief_of_a_token_may_not_guess_the_password(public, registered):
    client = bearer(registered["accessToken"])
    guesses = [
        client.post(
            "/api/v1/auth/password/change",
            {"currentPassword": f"wrong {n}", "newPassword": "another horse"},
        ).status_code
        for n in range(3)
    ] + [
        client.put(
            "/api/v1/auth/me", {"currentPassword": f"wrong {n}", "email": "thief@example.com"}
        ).status_code
        for n in range(3)
    ]

    assert guesses == [400, 400, 400, 400, 400, 429]


def test_an_invitation_does_not_help_to_guess_a_password(public, registered, api, store):
    token = api.post("/staff", {"email": "owner@example.com", "role": "store_staff"}).json()[
        "token"
    ]
    guesses = [
        public.post(
            "/auth/invitations/accept", {"token": token, "password": f"wrong password {n}"}
        ).status_code
        for n in range(6)
    ]

    assert guesses == [401, 401, 401, 401, 401, 429]


def test_an_invitation_takes_the_place_of_an_earlier_one(public, api):
    first, second = (
        api.post("/staff", {"email": "ali@example.com", "role": role}).json()["token"]
        for role in ("store_owner", "store_staff")
    )
    body = {"fullName": "Ali", "password": "correct horse battery"}

    refused = public.post("/auth/invitations/accept", {"token": first, **body})
    joined = public.post("/auth/invitations/accept", {"token": second, **body})

    assert refused.status_code == 400
    assert joined.json()["role"] == "store_staff"


def test_who_was_removed_does_not_come_back_by_an_old_invitation(public, api, store):
    offered = api.post("/staff", {"email": "ali@example.com", "role": "store_staff"}).json()
    member = a_member(store, user=a_user(email="ali@example.com"))
    api.delete(f"/staff/{member.user_id}")

    back = public.post(
        "/auth/invitations/accept", {"token": offered["token"], "password": "correct horse"}
    )

    assert back.status_code == 400
    assert back.json()["errors"]["token"]


@pytest.mark.parametrize("names", [{"denies": ["order.write"]}, {"grants": ["order.write"]}])
def test_a_permission_that_does_not_exist_is_neither_granted_nor_denied(api, store, names):
    member = a_member(store)
    invited = api.post("/staff", {"email": "ali@example.com", "role": "store_staff", **names})
    changed = api.put(f"/staff/{member.user_id}", names)

    assert invited.status_code == changed.status_code == 400
    assert "order.write" in str(invited.json()["errors"])


def test_an_address_is_no_longer_than_can_be_kept(public, registered, api):
    long = "a" * 250 + "@example.com"
    me = {"email": long, "currentPassword": REGISTRATION["password"]}
    answers = [
        public.post("/auth/register", REGISTRATION | {"email": long}),
        api.post("/staff", {"email": long, "role": "store_staff"}),
        bearer(registered["accessToken"]).put("/api/v1/auth/me", me),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert all("email" in answer.json()["errors"] for answer in answers)


def test_a_merchants_phone_is_read_by_the_country(public):
    body = {name: REGISTRATION[name] for name in ("password", "fullName", "storeName")}

    kenyan = public.post("/auth/register", {**body, "phone": "0712 345 678", "countryCode": "ke"})
    nowhere = public.post("/auth/register", {**body, "phone": "07701234567", "countryCode": "ZZ"})

    assert kenyan.json()["user"]["phone"] == "+254712345678"
    assert "countryCode" in nowhere.json()["errors"]


def test_sessions_are_listed_and_ended(registered):
    client = bearer(registered["accessToken"])
    listed = client.get("/api/v1/auth/sessions").json()["items"]

    ended = client.delete(f"/api/v1/auth/sessions/{listed[0]['id']}")

    assert listed[0]["current"] is True
    assert ended.status_code == 204
    assert client.get("/settings").status_code == 401


def test_settings_are_initialised_once(registered):
    """guide.md, Settings (initialize first)."""
    client = bearer(registered["accessToken"])
    body = {
        "currencyCode": "iqd",
        "timezone": "Asia/Baghdad",
        "industry": "fashion",
        "countryCode": "iq",
    }

    before = client.get("/settings")
    product = client.post("/products", {"sku": "A", "name": "A", "price": "1"})
    made = client.post("/settings", body)
    second = client.post("/settings", body)

    assert before.status_code == 404
    assert before.json()["code"] == "settings_not_initialized"
    assert product.status_code == 409
    assert product.json()["code"] == "settings_not_initialized"
    assert made.status_code == 201, made.content
    assert made.json()["currencyCode"] == "IQD"
    assert made.json()["weekStartsOn"] == "sat"
    assert made.json()["storefrontPaymentMethods"] == ["cod"]
    assert second.status_code == 409
    assert second.json()["code"] == "settings_already_initialized"
    assert client.post("/products", {"sku": "A", "name": "A", "price": "1"}).status_code == 201


def test_settings_are_changed_but_not_the_currency_of_amounts(api, store):
    changed = api.put("/settings", {"cashRounding": "250", "taxRate": "5.5"})
    dollars = api.put("/settings", {"currencyCode": "USD"})
    back = api.put("/settings", {"currencyCode": "IQD"})
    a_product(store)

    locked = api.put("/settings", {"currencyCode": "USD"})

    assert changed.json()["cashRounding"] == "250"
    assert changed.json()["taxRate"] == "5.50"
    assert dollars.status_code == back.status_code == 200
    assert locked.json()["code"] == "currency_locked"
    for wrong in (
        {"currencyCode": "XXZ"},
        {"timezone": "Mars/Base"},
        {"countryCode": "QQ"},
        {"industry": "space"},
        {"taxRate": "101"},
        {"cashRounding": "0.5"},
        {"weekStartsOn": "someday"},
        {"otpCountries": ["IQ", "Narnia"]},
        {"storefrontPaymentMethods": ["barter"]},
    ):
        assert api.put("/settings", wrong).status_code == 400, wrong


def test_the_permission_matrix_is_public_to_members(store):
    staff = client_of(store, a_member(store))

    items = staff.get("/permissions").json()["items"]

    by_name = {row["permission"]: row for row in items}
    assert by_name["api_keys.manage"] == {
        "permission": "api_keys.manage",
        "covers": "issue and revoke keys",
        "owner": True,
        "staffDefault": False,
        "grantable": False,
    }


def test_a_disabled_user_is_out_within_the_memory(store):
    user = a_user()
    client = client_of(store, a_member(store, user=user))
    assert client.get("/products").status_code == 200
    user.is_active = False
    user.save()

    for memory in ShortMemory.kept:
        memory.clear()

    assert client.get("/products").json()["code"] == "no_store_membership"


def test_what_has_ended_long_ago_is_forgotten(public, registered):
    public.post("/auth/login", {"login": "owner@example.com", "password": "wrong password"})

    assert purge() == 0
    with time_machine.travel(timezone.now() + timedelta(days=200), tick=False):
        assert purge() >= 3

    assert not LoginFailure.objects.exists()
    assert not SignIn.objects.exists()
