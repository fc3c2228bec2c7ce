"""One effect for one Idempotency-Key (platform.md, section 7).

The record is inserted in the transaction of the effect, so both commit or neither does. The lookup
before it answers repeats; an advisory lock tells a parallel repeat to wait; the record's primary
key catches the repeat that slips between the two.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from storeplatform.kernel.crypto import decrypt, encrypt
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict, Refusal, Unprocessable
from storeplatform.kernel.models import IdempotencyKey
from storeplatform.kernel.tenancy import Actor

KEPT_HEADERS = ("Location", "ETag")
MAX_KEPT_BODY = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer as it was sent. One that held a secret is kept without its body, with
    what a repeat is told `instead`."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Attempt:
    """One request with an Idempotency-Key, from the lookup to the stored answer."""

    actor: Actor
    namespace: bytes
    fingerprint: bytes
    stored: bool = False
    instead: dict[str, str] = field(default_factory=dict)  # told to a repeat, when set

    @property
    def lock_number(self) -> int:
        return int.from_bytes(self.namespace[:8], signed=True)

    def find(self) -> Answer | None:
        """The answer kept for this request. Refuses the key when it was used for another one."""
        with prepared() as cursor:
            cursor.execute(
                "SELECT fingerprint, status, headers, body FROM kernel_idempotencykey"
                " WHERE id = %s AND created_at > %s",
                [self.namespace, timezone.now() - settings.IDEMPOTENCY_RETENTION],
            )
            row = cursor.fetchone()
        if row is None:
            return None
        fingerprint, status, headers, body = row
        if bytes(fingerprint) != self.fingerprint:
            raise Unprocessable(
                "idempotency_key_reused", "This Idempotency-Key was used for another request."
            )
        if isinstance(headers, str):
            headers = orjson.loads(headers)
        plain = decrypt(bytes(body), self.namespace) if body is not None else None
        return Answer(status, headers["sent"], plain, headers["instead"])

    def lock(self) -> None:
        """Inside the effect's transaction: refuse while the same request is being carried out."""
        with prepared() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [self.lock_number])
            (locked,) = cursor.fetchone()
        if not locked:
            raise in_progress()

    def store(self, answer: Answer) -> None:
        """The last statement of the effect's transaction; AnotherWasFirst for a lost race."""
        kept = None
        if not self.instead and answer.body is not None and len(answer.body) <= MAX_KEPT_BODY:
            kept = encrypt(answer.body, self.namespace)
        with prepared() as cursor:
            cursor.execute(
                "INSERT INTO kernel_idempotencykey"
                " (id, store_id, fingerprint, status, headers, body)"
                " VALUES (%s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET fingerprint = EXCLUDED.fingerprint,"
                " status = EXCLUDED.status, headers = EXCLUDED.headers, body = EXCLUDED.body,"
                " created_at = now() WHERE kernel_idempotencykey.created_at <= %s",
                [
                    self.namespace,
                    self.actor.store_id,
                    self.fingerprint,
                    answer.status,
                    orjson.dumps({"sent": answer.headers, "instead": self.instead}).decode(),
                    kept,
                    timezone.now() - settings.IDEMPOTENCY_RETENTION,
                ],
            )
            first = cursor.rowcount == 1
        if not first:
            raise AnotherWasFirst
        self.stored = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """The same lock over several transactions, for bulk calls."""
        with prepared() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [self.lock_number])
            (locked,) = cursor.fetchone()
        if not locked:
            raise in_progress()
        try:
            yield
        finally:
            with prepared() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [self.lock_number])

    def row(self, place: int, content: Any) -> "Attempt":
        """The attempt at one row of a bulk call, remembered by itself."""
        namespace = hashlib.sha256(self.namespace + place.to_bytes(4)).digest()
        return Attempt(self.actor, namespace, hashlib.sha256(canonical(content)).digest())


class AnotherWasFirst(Exception):
    """The same request committed between lookup and lock; rolls the second effect back."""


def in_progress() -> Conflict:
    conflict = Conflict(
        "idempotency_in_progress", "The same request is being carried out; ask again shortly."
    )
    conflict.headers["Retry-After"] = "1"
    return conflict


def canonical(content: Any) -> bytes:
    """The content with sorted members, so that writing it anew is no other request."""
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)


def attempt_of(request: HttpRequest, actor: Actor, content: Any) -> Attempt | None:
    """The attempt that the Idempotency-Key header makes of a POST or PATCH, or None without one.

    `content` is the parsed body, or the raw bytes of a multipart one.
    """
    if request.method not in ("POST", "PATCH"):
        return None
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable() or "," in key:
        raise Refusal(
            "invalid_idempotency_key", "One Idempotency-Key of 1 to 255 printable ASCII characters."
        )
    namespace = hashlib.sha256()
    for part in (str(actor.store_id), actor.kind, actor.id, request.method, request.path, key):
        namespace.update(part.encode() + b"\0")
    fingerprint = hashlib.sha256(request.META.get("QUERY_STRING", "").encode() + b"\0")
    fingerprint.update(content if isinstance(content, bytes) else canonical(content))
    return Attempt(actor, namespace.digest(), fingerprint.digest())


def purge() -> int:
    """Forget answers older than the retention, in batches; returns how many."""
    gone = 0
    while True:
        with transaction.atomic():
            old = IdempotencyKey.objects.filter(
                created_at__lt=timezone.now() - settings.IDEMPOTENCY_RETENTION
            ).values_list("pk", flat=True)[:5000]
            count, _ = IdempotencyKey.objects.filter(pk__in=list(old)).delete()
        gone += count
        if count < 5000:
            return gone
