"""Clients of the two surfaces, over Django's own handler."""

import json
from functools import cache

from django.test import Client, TestCase
from django.test.client import ClientHandler

from chat.models import Channel
from integrations.api_keys.scopes import SCOPES
from integrations.api_keys.services import issue_key
from store_modules.stores.authentication import store_facts
from store_modules.stores.grants import ALL
from store_modules.stores.models import Membership, SignIn, Store
from store_modules.stores.tokens import StoreAccessToken, new_end
from storeplatform.kernel.tenancy import Actor
from tests.contract import check
from tests.factories import a_channel, a_member


@cache
def handler():
    """One for all clients: to load the middleware anew means to look at every static file."""
    made = ClientHandler()
    made.load_middleware()
    return made


class ApiClient:
    """JSON in, JSON out, with fixed headers."""

    def __init__(self, base="", **headers):
        self.base = base
        self.headers = headers
        self.http = Client(raise_request_exception=False)
        self.http.handler = handler()

    def request(self, method, path, body=None, **headers):
        content = b"" if body is None else json.dumps(body, default=plain).encode()
        if isinstance(body, bytes):
            content = body
        path = (
            path if path.startswith(("/api/", "/health", "/docs", "/admin")) else self.base + path
        )
        sent = {name.replace("_", "-"): value for name, value in (self.headers | headers).items()}
        content_type = sent.pop("Content-Type", "application/json")
        with TestCase.captureOnCommitCallbacks(execute=True):  # a test's transaction never commits
            response = self.http.generic(
                method.upper(), path, content, content_type=content_type, headers=sent
            )
        check(method, path, response)
        return response

    def get(self, path, **headers):
        return self.request("get", path, **headers)

    def post(self, path, body=None, **headers):
        return self.request("post", path, {} if body is None else body, **headers)

    def put(self, path, body=None, **headers):
        return self.request("put", path, {} if body is None else body, **headers)

    def patch(self, path, body=None, **headers):
        return self.request("patch", path, {} if body is None else body, **headers)

    def delete(self, path, **headers):
        return self.request("delete", path, **headers)


def plain(value):
    return str(value)


def anonymous():
    return ApiClient("/api/v1")


def client_of(store, member=None):
    """A dashboard client of a member, the owner unless told otherwise."""
    member = member or Membership.objects.filter(store=store, role="store_owner").first()
    member = member or a_member(store, role="store_owner")
    sign_in = SignIn.objects.create(user=member.user, store=store, expires_at=new_end())
    token = StoreAccessToken.of(sign_in, member.role)
    return ApiClient("/api/v1/store", Authorization=f"Bearer {token}")


def actor_of_store(store):
    """The owner as an actor, for services called without HTTP."""
    member = Membership.objects.filter(store=store, role="store_owner").first()
    member = member or a_member(store, role="store_owner")
    fresh = Store.objects.select_related("settings").get(pk=store.pk)
    return Actor(
        store=store_facts(fresh),
        grants=ALL,
        kind="user",
        id=str(member.user_id),
        user_id=member.user_id,
        is_owner=True,
    )


def key_client_of(store, scopes=tuple(SCOPES), **values):
    values.setdefault("name", f"website {SignIn.objects.count()} {id(values)}")
    _, token = issue_key(actor_of_store(store), scopes=list(scopes), **values)
    client = ApiClient("/api/v1/store/integrations", X_API_Key=token.text)
    client.key_id = token.key_id
    return client


def visitor_client_of(store, channel=None, **body):
    """A browser on the store's page, with a visitor token."""
    channel = channel or Channel.objects.of(store.pk).first() or a_channel(store)
    made = anonymous().post(f"/widget/{channel.public_key}/sessions", body)
    assert made.status_code == 201, made.content
    token = made.json()["visitorToken"]
    client = ApiClient("/api/v1/widget", Authorization=f"Bearer {token}")
    client.visitor_id = made.json()["visitor"]["id"]
    return client


def multipart(client, path, name, content, **headers):
    """One file as a browser's form sends it."""
    edge = "edge-of-the-form"
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    body += content + f"\r\n--{edge}--\r\n".encode()
    kind = f"multipart/form-data; boundary={edge}"
    return client.request("post", path, body, Content_Type=kind, **headers)
