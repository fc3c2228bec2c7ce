"""`X-API-Key: keyId.secret` to an actor, and the base of every view that reads it."""

import hmac
import ipaddress
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api_keys.models import ApiKey
from integrations.api_keys.tokens import exposed_key_ids, hash_token, key_id_of
from store_modules.stores.authentication import store_facts
from store_modules.stores.models import Store
from storeplatform.kernel.audit import audit
from storeplatform.kernel.cache import ShortMemory
from storeplatform.kernel.errors import Denied, Refusal, Unauthenticated
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

SCHEME = 'ApiKey realm="store-integrations"'
USED_EVERY = timedelta(seconds=60)
EXPIRY_NOTICE = timedelta(days=30)
NO_HASH = "0" * 64

keys: ShortMemory[str, ApiKey | None] = ShortMemory("api_keys")


def load_key(key_id: str) -> ApiKey | None:
    """The key with its store and settings: one query, kept at most 5 s."""
    found: ApiKey | None = (
        ApiKey.objects.select_related("store__settings").filter(key_id=key_id).first()
    )
    return found


def unauthenticated(code: str, message: str) -> Unauthenticated:
    return Unauthenticated(code, message, scheme=SCHEME)


class ApiKeyAuthentication(BaseAuthentication):
    """Constant work for any well-formed key; what is wrong with it is told only to its holder."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if exposed := exposed_key_ids(unquote(request.META.get("QUERY_STRING", ""))):
            report_exposed(exposed, request)
            raise Refusal("credential_in_url", "An API key belongs in the X-API-Key header.")
        text = request.META.get("HTTP_X_API_KEY", "")
        if not text:
            return None
        key, by_previous = verify(text)
        check_address(key, getattr(request, "client_ip", ""))
        actor = actor_of(key)
        request.api_key, request.by_previous_secret = key, by_previous  # type: ignore[attr-defined]
        return actor, actor

    def authenticate_header(self, request: Request) -> str:
        return SCHEME


def actor_of(key: ApiKey) -> Actor:
    return Actor(
        store=store_facts(key.store),
        grants=frozenset(key.scopes),
        kind="api_key",
        id=key.key_id,
        label=key.name,
    )


def standing_actor(key_id: str) -> Actor | None:
    """The actor of a key as it stands now, for connections that outlast a request; None when it
    may do nothing any more."""
    key = load_key(key_id)
    if key is None or key.revoked_at or key.store.status != Store.Status.ACTIVE:
        return None
    if key.expires_at and key.expires_at <= timezone.now():
        return None
    return actor_of(key)


def verify(text: str) -> tuple[ApiKey, bool]:
    """The key of a text, and whether its previous secret was used. Raises Unauthenticated."""
    key_id = key_id_of(text)
    if key_id is None:
        raise unauthenticated("invalid_api_key", "This is not a valid API key.")
    key = keys.get(key_id, load_key)
    peppers = settings.KEYS["API_KEY_PEPPER"]
    current = (
        matches(text, key.secret_hash, key.hash_version, peppers)
        if key
        else (matches(text, NO_HASH, 0, peppers))
    )
    previous = matches(
        text,
        (key.previous_secret_hash if key else "") or NO_HASH,
        (key.previous_hash_version if key else 0) or 0,
        peppers,
    )
    if key is None or not (current or previous):
        raise unauthenticated("invalid_api_key", "This is not a valid API key.")
    now = timezone.now()
    if not current and (key.previous_expires_at is None or key.previous_expires_at <= now):
        raise unauthenticated("invalid_api_key", "This is not a valid API key.")
    if key.revoked_at:
        raise unauthenticated("api_key_revoked", "This API key was revoked.")
    if key.expires_at and key.expires_at <= now:
        raise unauthenticated("api_key_expired", "This API key has expired.")
    if key.store.status != Store.Status.ACTIVE:
        raise Denied("store_suspended", "This store is suspended.")
    if current:
        rehash_under_new_pepper(key, text, peppers)
    return key, not current


def matches(text: str, stored: str, version: int, peppers: dict[int, bytes]) -> bool:
    pepper = peppers.get(version) or next(iter(peppers.values()))
    return hmac.compare_digest(hash_token(text, pepper), stored)


def rehash_under_new_pepper(key: ApiKey, text: str, peppers: dict[int, bytes]) -> None:
    version, pepper = next(iter(peppers.items()))
    if key.hash_version != version:
        key.secret_hash, key.hash_version = hash_token(text, pepper), version
        key.save(update_fields=["secret_hash", "hash_version"])


def check_address(key: ApiKey, address: str) -> None:
    if key.allowed_ips:
        ip = ipaddress.ip_address(address) if address else None
        networks = map(ipaddress.ip_network, key.allowed_ips)
        if ip is None or not any(ip in network for network in networks):
            raise Denied("ip_not_allowed", "This key is not used from this address.")


def report_exposed(key_ids: list[str], request: Request) -> None:
    for key in ApiKey.objects.filter(key_id__in=key_ids):
        with transaction.atomic():
            audit(
                "api_key.exposed",
                target=key.key_id,
                store_id=key.store_id,
                request=request._request,
            )
            emit(
                "api_key.exposed",
                store_id=key.store_id,
                subject_id=key.id,
                sequence=key.version,
                data={"keyId": key.key_id, "name": key.name},
            )


class ApiKeySurface:
    """Mixed into views of `/api/v1/store/integrations/*`: keys, scopes and their rate limits."""

    authentication_classes: Any = [ApiKeyAuthentication]
    grant_separator = ":"

    def buckets(self, actor: Actor) -> list[Bucket]:
        own = "integration-read" if self.is_reading else "integration-write"  # type: ignore[attr-defined]
        cost: int = self.cost()  # type: ignore[attr-defined]
        return [
            Bucket(POLICIES[own], actor.id, cost),
            Bucket(POLICIES["integration-store"], str(actor.store_id), cost),
        ]

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Any:
        key: ApiKey | None = getattr(request, "api_key", None)
        if key is not None:
            add_key_headers(key, response, by_previous=request.by_previous_secret)  # type: ignore[attr-defined]
            note_use(key, request, by_previous=request.by_previous_secret)  # type: ignore[attr-defined]
        return super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]


def add_key_headers(key: ApiKey, response: Any, *, by_previous: bool) -> None:
    if by_previous and key.previous_expires_at:
        until = key.previous_expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        response["X-Api-Key-Warning"] = f"previous-secret; expires={until}"
    if key.expires_at and key.expires_at - timezone.now() <= EXPIRY_NOTICE:
        response["X-Api-Key-Expires-At"] = key.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def note_use(key: ApiKey, request: Request, *, by_previous: bool) -> None:
    """When and from where the key was last used; written once a minute at most."""
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < USED_EVERY:
        return
    key.last_used_at = now
    values: dict[str, Any] = {
        "last_used_at": now,
        "last_used_ip": getattr(request, "client_ip", None) or None,
        "last_used_user_agent": request.headers.get("User-Agent", "")[:300],
    }
    if by_previous:
        values["previous_last_used_at"] = now
    ApiKey.objects.filter(
        Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY), pk=key.pk
    ).update(**values)
