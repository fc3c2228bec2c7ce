"""Hub tokens: 120 seconds to join with, once. Valkey keeps them under a keyed hash."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import redis
from django.utils import timezone

from chat.models import VisitorSession
from store_modules.stores.authentication import load_actor, store_facts
from store_modules.stores.models import Store
from storeplatform.kernel import valkey
from storeplatform.kernel.crypto import keyed_hash, keyed_hashes, random_text
from storeplatform.kernel.errors import Unavailable
from storeplatform.kernel.ports import Port
from storeplatform.kernel.tenancy import Actor

LIFE_SECONDS = 120
PREFIX = "hub_"

# The actor of an API key as it stands now; None when it is revoked, expired or unknown.
actor_of_key: Port[[str], Actor | None] = Port("actor_of_key")
# A frame or address held a well-formed API key: its text, and the client's address.
key_exposed: Port[[str, str], None] = Port("key_exposed")


class BadToken(Exception):
    """`code` is `invalid_hub_token` or `hub_token_used`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token speaks for."""

    store_id: UUID
    kind: str
    id: str
    session_id: UUID | None

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.id}"


def place(token: str) -> str:
    return f"hub:token:{keyed_hash('TOKEN_KEY', token.encode())}"


def issue(actor: Actor) -> dict[str, Any]:
    """A new token and when it ends. Raises Unavailable without Valkey, which keeps it."""
    token = PREFIX + random_text(43)
    kept = {
        "store": str(actor.store_id),
        "kind": actor.kind,
        "id": actor.id,
        "session": str(actor.session_id) if actor.session_id else None,
        "scopes": sorted(actor.grants),
    }
    try:
        valkey.client().set(place(token), orjson.dumps(kept), ex=LIFE_SECONDS)
    except redis.RedisError:
        raise Unavailable("Hub tokens cannot be kept just now; try again.") from None
    return {
        "token": token,
        "expiresAt": timezone.now() + timedelta(seconds=LIFE_SECONDS),
        "expiresInSeconds": LIFE_SECONDS,
    }


def take(token: str) -> Principal:
    """Use a token up. Raises BadToken."""
    if not token.startswith(PREFIX) or len(token) != len(PREFIX) + 43:
        raise BadToken("invalid_hub_token")
    name = place(token)
    pipeline = valkey.client().pipeline(transaction=True)
    pipeline.getdel(name)
    pipeline.set(f"{name}:used", 1, ex=LIFE_SECONDS, get=True)
    kept, was_used = pipeline.execute()
    if kept is None:
        if not was_used:
            valkey.client().delete(f"{name}:used")
        raise BadToken("hub_token_used" if was_used else "invalid_hub_token")
    values = orjson.loads(kept)
    session = values["session"]
    return Principal(
        UUID(values["store"]), values["kind"], values["id"], UUID(session) if session else None
    )


def is_known(token: str) -> bool:
    """Whether a token may be presented as a bearer: also one that has joined."""
    if not token.startswith(PREFIX):
        return False
    try:
        found: Any = valkey.client().exists(place(token), f"{place(token)}:used")
    except redis.RedisError:
        return True  # joining decides
    return bool(found)


def standing(principal: Principal) -> Actor | None:
    """What a principal may do now; None when its key, sign-in or membership is gone."""
    if principal.kind == "user" and principal.session_id:
        actor = load_actor((principal.session_id, principal.store_id))
        return actor if isinstance(actor, Actor) else None
    if principal.kind == "api_key":
        return next((found for found in actor_of_key(principal.id) if found), None)
    if principal.kind == "visitor" and principal.session_id:
        return actor_of_session(principal.session_id, for_hub=True)
    return None


def visitor_hashes(token: str) -> list[str]:
    """What is kept of a visitor token, under every key still known."""
    return keyed_hashes("TOKEN_KEY", b"visitor" + token.encode())


def principal_of_visitor(token: str) -> Principal | None:
    """The visitor behind a visitor token."""
    session = VisitorSession.objects.filter(
        token_hash__in=visitor_hashes(token), expires_at__gt=timezone.now()
    ).first()
    if session is None:
        return None
    return Principal(session.store_id, "visitor", str(session.visitor_id), session.pk)


def actor_of_session(session_id: UUID, *, for_hub: bool = False) -> Actor | None:
    """The visitor of a browser; None when the session ended or the store is suspended, and on the
    hub also when the visitor is blocked."""
    session = (
        VisitorSession.objects.select_related("visitor", "store__settings", "channel")
        .filter(pk=session_id, expires_at__gt=timezone.now())
        .first()
    )
    if session is None or session.store.status != Store.Status.ACTIVE:
        return None
    if session.visitor.blocked_at is not None and for_hub:
        return None
    return Actor(
        store=store_facts(session.store),
        grants=frozenset(),
        kind="visitor",
        id=str(session.visitor_id),
        label=session.visitor.name or "",
        session_id=session.pk,
    )
