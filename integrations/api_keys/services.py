"""Issuing, rotating and revoking API keys. The secret leaves these functions once."""

from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.utils import timezone

from integrations.api_keys.authentication import EXPIRY_NOTICE, keys
from integrations.api_keys.models import ApiKey
from integrations.api_keys.tokens import Token, exposed_key_ids, hash_token, new_token
from storeplatform.kernel.audit import audit
from storeplatform.kernel.crypto import current
from storeplatform.kernel.errors import Conflict
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import lock_name


@transaction.atomic
def issue_key(actor: Actor, *, request: Any = None, **values: Any) -> tuple[ApiKey, Token]:
    """A new key and its text. `values`: name, scopes, allowed_ips, expires_at."""
    token = new_token()
    version, pepper = current("API_KEY_PEPPER")
    key = ApiKey.objects.create(
        store_id=actor.store_id,
        key_id=token.key_id,
        secret_hash=hash_token(token.text, pepper),
        hash_version=version,
        secret_hint=token.hint,
        created_by_id=actor.user_id,
        **values,
    )
    audit(
        "api_key.created",
        actor=actor,
        request=request,
        target=key.key_id,
        changes={"name": key.name, "scopes": key.scopes},
    )
    return key, token


@transaction.atomic
def rotate_key(
    key: ApiKey, actor: Actor, *, grace_hours: int, request: Any = None
) -> tuple[ApiKey, Token]:
    """A new secret under the same id; the old one works for `grace_hours` more."""
    key = lock(key)
    refuse_revoked(key)
    token = new_token(key.key_id)
    version, pepper = current("API_KEY_PEPPER")
    key.previous_secret_hash, key.previous_hash_version = key.secret_hash, key.hash_version
    key.previous_expires_at = timezone.now() + timedelta(hours=grace_hours)
    key.secret_hash, key.hash_version = hash_token(token.text, pepper), version
    key.secret_hint = token.hint
    save(key, "previous_secret_hash", "previous_hash_version", "previous_expires_at",
         "secret_hash", "hash_version", "secret_hint")  # fmt: skip
    audit("api_key.rotated", actor=actor, request=request, target=key.key_id)
    return key, token


@transaction.atomic
def revoke_previous(key: ApiKey, actor: Actor, *, request: Any = None) -> ApiKey:
    """End the overlap of a rotation now."""
    key = lock(key)
    key.previous_secret_hash, key.previous_hash_version = "", None
    key.previous_expires_at = None
    save(key, "previous_secret_hash", "previous_hash_version", "previous_expires_at")
    audit("api_key.previous_revoked", actor=actor, request=request, target=key.key_id)
    return key


@transaction.atomic
def change_key(key: ApiKey, actor: Actor, values: dict[str, Any], *, request: Any = None) -> ApiKey:
    key = lock(key)
    refuse_revoked(key)
    for name, value in values.items():
        setattr(key, name, value)
    save(key, *values)
    audit(
        "api_key.changed",
        actor=actor,
        request=request,
        target=key.key_id,
        changes={"fields": sorted(values)},
    )
    return key


@transaction.atomic
def revoke_key(
    key: ApiKey, actor: Actor | None, *, reason: str = "", request: Any = None
) -> ApiKey:
    """For good, and at once."""
    key = lock(key)
    if key.revoked_at is None:
        key.revoked_at, key.revoked_reason = timezone.now(), reason
        save(key, "revoked_at", "revoked_reason")
        audit("api_key.revoked", actor=actor, request=request, target=key.key_id,
              store_id=key.store_id)  # fmt: skip
        emit(
            "api_key.revoked",
            store_id=key.store_id,
            subject_id=key.id,
            sequence=key.version,
            data={"keyId": key.key_id, "name": key.name},
        )
    return key


def note_exposed(text: str, address: str) -> None:
    """A well-formed key was shown where it does not belong: audited, and told to webhooks."""
    for key in ApiKey.objects.filter(key_id__in=exposed_key_ids(text)):
        audit("api_key.exposed", target=key.key_id, store_id=key.store_id,
              changes={"place": "hub", "address": address})  # fmt: skip
        emit(
            "api_key.exposed",
            store_id=key.store_id,
            subject_id=key.id,
            sequence=key.version,
            data={"keyId": key.key_id, "name": key.name, "place": "hub"},
        )


@transaction.atomic
def tell_expiring() -> int:
    """Tell stores once of each key that ends within thirty days; returns how many."""
    lock_name("api keys expiring")
    now = timezone.now()
    told = OutboxEvent.objects.filter(
        type="api_key.expiring", subject_id=OuterRef("pk"), created_at__gt=now - EXPIRY_NOTICE
    )
    ending = ApiKey.objects.filter(
        ~Exists(told), revoked_at=None, expires_at__gt=now, expires_at__lte=now + EXPIRY_NOTICE
    )
    found = list(ending[:1000])
    for key in found:
        emit(
            "api_key.expiring",
            store_id=key.store_id,
            subject_id=key.id,
            sequence=key.version,
            data={
                "keyId": key.key_id,
                "name": key.name,
                "expiresAt": f"{key.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            },
        )
    return len(found)


def keys_by_pepper() -> dict[int, int]:
    """How many live keys hang on each version of API_KEY_PEPPER."""
    now = timezone.now()
    live = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)
    overlapping = live.filter(previous_expires_at__gt=now)
    counts = Counter(dict(live.values_list("hash_version").annotate(Count("pk")).order_by()))
    counts.update(dict(overlapping.values_list("previous_hash_version").annotate(Count("pk"))))
    return dict(counts)


def lock(key: ApiKey) -> ApiKey:
    locked: ApiKey = ApiKey.objects.select_for_update().get(pk=key.pk)
    return locked


def save(key: ApiKey, *fields: str) -> None:
    key.version += 1
    key.save(update_fields=[*fields, "version", "updated_at"])
    transaction.on_commit(lambda: keys.forget(key.key_id))


def refuse_revoked(key: ApiKey) -> None:
    if key.revoked_at:
        raise Conflict("api_key_revoked", "A revoked key is not changed any more.")
