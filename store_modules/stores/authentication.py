"""Bearer tokens to actors, for the dashboard surface."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import ExpiredTokenError, TokenError

from store_modules.stores.grants import effective
from store_modules.stores.models import Membership, SignIn, Store, User
from store_modules.stores.tokens import StoreAccessToken
from storeplatform.kernel.cache import ShortMemory
from storeplatform.kernel.errors import Denied, Unauthenticated
from storeplatform.kernel.tenancy import Actor, StoreFacts


class SignInAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`; the sign-in and membership are at most 5 s old."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not raw:
            return None
        try:
            token = StoreAccessToken(raw.strip())
        except ExpiredTokenError:
            raise unauthenticated("token_expired", "The access token has expired.") from None
        except TokenError:
            raise unauthenticated("invalid_token", "This is not a valid access token.") from None
        actor = sign_ins.get((UUID(token["sid"]), UUID(token["storeId"])), load_actor)
        if isinstance(actor, Exception):
            raise actor
        return actor, actor

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def unauthenticated(code: str, message: str) -> Unauthenticated:
    return Unauthenticated(code, message, scheme=f'Bearer error="{code}"')


def store_facts(store: Store) -> StoreFacts:
    """The facts of a store whose settings are joined, if it has any."""
    settings = getattr(store, "settings", None)
    if settings is None:
        return StoreFacts(store.id, store.name)
    return StoreFacts(
        store.id, store.name, settings.currency_code, settings.timezone, settings.country_code
    )


def load_actor(key: tuple[UUID, UUID]) -> Actor | Exception:
    """The actor of a sign-in in a store, or why there is none."""
    sign_in_id, store_id = key
    sign_in = SignIn.objects.select_related("user", "store__settings").filter(pk=sign_in_id).first()
    if sign_in is None or sign_in.revoked_at or sign_in.store_id != store_id:
        return unauthenticated("session_revoked", "This sign-in was ended; sign in again.")
    actor = actor_in(sign_in.store, sign_in.user)
    return replace(actor, session_id=sign_in_id) if isinstance(actor, Actor) else actor


def actor_in(store: Store, user: User) -> Actor | Denied:
    """A person as an actor in a store with its settings, or why that cannot be."""
    member = Membership.objects.filter(user=user, store=store).first()
    if member is None or member.status != Membership.Status.ACTIVE or not user.is_active:
        return Denied("no_store_membership", "You are no member of this store.")
    if store.status != Store.Status.ACTIVE:
        return Denied("store_suspended", "This store is suspended.")
    is_owner = member.role == Membership.Role.OWNER
    return Actor(
        store=store_facts(store),
        grants=effective(is_owner=is_owner, grants=member.grants, denies=member.denies),
        kind="user",
        id=str(user.pk),
        label=user.full_name,
        user_id=user.pk,
        is_owner=is_owner,
    )


def actor_of_member(store_id: UUID, user_id: UUID) -> Actor | Denied:
    """A person as an actor for what is done later in their name, with what they may do by now."""
    store = Store.objects.select_related("settings").get(pk=store_id)
    return actor_in(store, User.objects.get(pk=user_id))


sign_ins: ShortMemory[tuple[UUID, UUID], Actor | Exception] = ShortMemory()


def forget_sign_ins() -> None:
    """After a change to a sign-in or membership: this process sees it at once, others in 5 s."""
    sign_ins.clear()
