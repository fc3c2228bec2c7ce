"""Sending one-time codes, counting tries, and using a code up with the order it proves."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from integrations.otp.codes import derive_code
from integrations.otp.models import OtpChallenge
from integrations.otp.sms import SendFailed, SendingPaused, deliver
from store_modules.stores.models import StoreSettings
from storeplatform.kernel import metrics
from storeplatform.kernel.crypto import current, keyed_hash, keyed_hashes
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import (
    BadGateway,
    Conflict,
    Denied,
    Refusal,
    TooMany,
    Unavailable,
)
from storeplatform.kernel.ids import first_of
from storeplatform.kernel.phones import DIGITS, country_of
from storeplatform.kernel.providers import Uncertain, reference_of
from storeplatform.kernel.tenancy import Actor

LIFE = timedelta(minutes=5)
RESEND_AFTER = timedelta(seconds=60)
MAX_TRIES = 5
MAX_TRIES_AN_HOUR = 10  # over all codes of a phone
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STOREFRONT_ORDER = OtpChallenge.Purpose.STOREFRONT_ORDER


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` codes within a time, among the challenges that `where` picks."""

    most: int
    within: timedelta
    where: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A code on its way; `code` leaves the process only by the message. Whether it got there is
    not known when `status` is `unknown`."""

    channel: str
    code: str
    challenge: OtpChallenge
    status: str = "sent"


def phone_key(phone: str) -> str:
    return keyed_hash("OTP_KEY", b"phone|" + phone.encode())


def phone_keys(phone: str) -> list[str]:
    """Under every key that still holds, for look-ups."""
    return keyed_hashes("OTP_KEY", b"phone|" + phone.encode())


def send_code(
    actor: Actor, phone: str, *, channel: str, customer_ip: str | None, locale: str | None = None
) -> Sent:
    """Make and send a code; a new one replaces the former. Raises TooMany over a limit, Denied
    for a country the store does not serve, BadGateway when no channel took it, Unavailable while
    sending is paused. A code that may have gone out stays valid."""
    trade = StoreSettings.objects.filter(store_id=actor.store_id).first()
    if trade is None:
        raise Conflict("settings_not_initialized", "Initialise the settings first.")
    if country_of(phone) not in trade.otp_countries:
        raise Denied("country_not_allowed", "Codes are not sent to this country.")
    with transaction.atomic():
        lock_sending(actor.store_id, phone)
        refuse_over(limits_of(actor, phone, customer_ip, trade.otp_daily_cap))
        challenge = new_challenge(actor, phone, customer_ip)
    code = code_of(challenge, phone)
    status = "sent"
    try:
        reference = reference_of("otp", challenge.pk)
        taken = deliver(phone, code, channel, reference=reference, locale=locale or "")
    except Uncertain:
        taken, status = "whatsapp" if channel == "auto" else channel, "unknown"
    except SendingPaused:
        void(challenge)
        raise Unavailable("Codes cannot be sent for now.", retry_after=300) from None
    except SendFailed:
        void(challenge)
        raise BadGateway("otp_delivery_failed", "The code could not be sent; try later.") from None
    challenge.channel, challenge.delivery_status = taken, status
    waiting = OtpChallenge.objects.filter(pk=challenge.pk, delivery_status="pending")
    if not waiting.update(channel=taken, delivery_status=status):  # its provider was faster
        OtpChallenge.objects.filter(pk=challenge.pk).update(channel=taken)
    return Sent(taken, code, challenge, status)


def void(challenge: OtpChallenge) -> None:
    """The code never left: it does not count against any limit."""
    challenge.voided_at, challenge.delivery_status = timezone.now(), "failed"
    challenge.save(update_fields=["voided_at", "delivery_status"])


DELIVERY_RANK = {"pending": 0, "unknown": 0, "queued": 1, "sent": 2, "delivered": 3, "read": 4}


@transaction.atomic
def note_delivery(challenge_id: UUID, status: str) -> bool:
    """What the provider says of a code's way; it only rises, and fails only before it arrived."""
    challenge = OtpChallenge.objects.select_for_update().filter(pk=challenge_id).first()
    if challenge is None:
        return False
    here = DELIVERY_RANK.get(challenge.delivery_status, len(DELIVERY_RANK))
    there = DELIVERY_RANK.get(status, DELIVERY_RANK["sent"] + 1)
    if there > here:
        challenge.delivery_status = status
        challenge.save(update_fields=["delivery_status"])
    return True


def lock_sending(store_id: UUID, phone: str) -> None:
    """Two sends to one phone count each other, whichever store they come from; and two of one
    store, whichever phones they go to. Always the phone first."""
    numbers = [
        int.from_bytes(hmac.digest(b"otp-lock", name.encode(), "sha256")[:8], signed=True)
        for name in (phone, str(store_id))
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s), pg_advisory_xact_lock(%s)", numbers)


def limits_of(actor: Actor, phone: str, customer_ip: str | None, daily_cap: int) -> list[Limit]:
    everywhere = {"phone_hash": phone_keys(phone)}
    here = everywhere | {"store_id": actor.store_id}
    limits = [
        Limit(1, RESEND_AFTER, here),
        Limit(5, HOUR, here),
        Limit(10, DAY, here),
        Limit(10, HOUR, everywhere),
        Limit(20, DAY, everywhere),
        Limit(60, timedelta(minutes=1), {"store_id": actor.store_id, "key_id": actor.id}),
        Limit(daily_cap, DAY, {"store_id": actor.store_id}),
    ]
    if customer_ip:
        limits.append(Limit(20, HOUR, {"store_id": actor.store_id, "customer_ip": customer_ip}))
    return limits


def refuse_over(limits: Sequence[Limit]) -> None:
    """Raise TooMany when a limit is full: until the oldest code that fills it leaves its time."""
    now = timezone.now()
    fullest, values = [], []
    for limit in limits:
        fullest.append(
            "(SELECT created_at FROM otp_otpchallenge"  # noqa: S608  # our own columns
            " WHERE voided_at IS NULL AND created_at > %s"
            f" AND {' AND '.join(condition_on(*picked) for picked in limit.where.items())}"
            " ORDER BY created_at DESC LIMIT 1 OFFSET %s)"
        )
        values += [now - limit.within, *limit.where.values(), limit.most - 1]
    with prepared() as cursor:
        cursor.execute(f"SELECT {', '.join(fullest)}", values)
        row = cursor.fetchone()
    ends = [since + limit.within for limit, since in zip(limits, row, strict=True) if since]
    if ends and settings.RATE_LIMITS == "on":
        wait = int((max(ends) - now).total_seconds()) + 1
        raise TooMany("otp_rate_limited", "Too many codes were sent; wait.", retry_after=wait)


def condition_on(column: str, value: Any) -> str:
    return f"{column} = ANY(%s)" if isinstance(value, list) else f"{column} = %s"


def new_challenge(actor: Actor, phone: str, customer_ip: str | None) -> OtpChallenge:
    now = timezone.now()
    OtpChallenge.objects.filter(
        store_id=actor.store_id,
        phone_hash__in=phone_keys(phone),
        purpose=STOREFRONT_ORDER,
        superseded_at=None,
        voided_at=None,
        consumed_at=None,
    ).update(superseded_at=now)
    version, _ = current("OTP_KEY")
    return OtpChallenge.objects.create(
        store_id=actor.store_id,
        phone=phone,
        phone_hash=phone_key(phone),
        purpose=STOREFRONT_ORDER,
        key_version=version,
        key_id=actor.id if actor.kind == "api_key" else "",
        customer_ip=customer_ip,
        expires_at=now + LIFE,
        created_at=now,
    )


def code_of(challenge: OtpChallenge, phone: str) -> str:
    key = settings.KEYS["OTP_KEY"][challenge.key_version]
    return derive_code(key, challenge.store_id, phone, challenge.purpose, challenge.id)


# Takes a try of the phone's live code, unless its tries or those of the hour are over. A statement
# that waited for the row reads its tries anew but not those of a sum, so the sum leaves it out.
TAKE_TRY = """
UPDATE otp_otpchallenge AS live SET attempts = attempts + 1
WHERE store_id = %(store)s AND phone_hash = ANY(%(hashes)s) AND purpose = %(purpose)s
  AND voided_at IS NULL AND superseded_at IS NULL AND consumed_at IS NULL
  AND expires_at > %(now)s AND attempts < %(most)s
  AND live.attempts + (
       SELECT COALESCE(sum(one.attempts), 0) FROM otp_otpchallenge one
       WHERE one.store_id = %(store)s AND one.phone_hash = ANY(%(hashes)s) AND one.id <> live.id
         AND one.purpose = %(purpose)s AND one.voided_at IS NULL AND one.created_at > %(since)s)
      < %(most_an_hour)s
RETURNING id, key_version, attempts
"""


def spend_attempt(store_id: UUID, phone: str, code: str) -> UUID:
    """Compare a code with the live one of the phone. A try is taken before the comparison, so that
    parallel guesses are counted, and given back to who knows the code: call it outside any
    transaction. Returns the challenge to `consume`."""
    code = code.translate(DIGITS)
    hashes = phone_keys(phone)
    now = timezone.now()
    with prepared() as cursor:
        cursor.execute(
            TAKE_TRY,
            {
                "store": store_id,
                "hashes": hashes,
                "purpose": STOREFRONT_ORDER,
                "now": now,
                "since": now - HOUR - LIFE,
                "most": MAX_TRIES,
                "most_an_hour": MAX_TRIES_AN_HOUR,
            },
        )
        taken = cursor.fetchone()
    if taken is None:
        raise without_try(store_id, hashes, phone, code)
    challenge = OtpChallenge(
        id=taken[0], store_id=store_id, purpose=STOREFRONT_ORDER, key_version=taken[1]
    )
    if not hmac.compare_digest(code_of(challenge, phone).encode(), code.encode()):
        raise Refusal(
            "otp_invalid",
            "The code is wrong.",
            details={"attemptsLeft": max(0, MAX_TRIES - taken[2])},
            otpCode=["The code is wrong."],
        )
    with prepared() as cursor:  # only wrong tries count
        cursor.execute(
            "UPDATE otp_otpchallenge SET attempts = attempts - 1 WHERE id = %s", [challenge.pk]
        )
    found: UUID = challenge.id
    return found


def without_try(store_id: UUID, hashes: Sequence[str], phone: str, code: str) -> TooMany | Refusal:
    """Why there is no try to take: too many were, the code was used up, or there is no live one.
    An unknown phone looks like an expired code."""
    mine = OtpChallenge.objects.filter(
        store_id=store_id, phone_hash__in=hashes, purpose=STOREFRONT_ORDER, voided_at=None
    )
    now = timezone.now()
    tried = mine.filter(created_at__gt=now - HOUR - LIFE).aggregate(n=Sum("attempts"))["n"] or 0
    live = mine.filter(superseded_at=None, consumed_at=None, expires_at__gt=now)
    if tried >= MAX_TRIES_AN_HOUR or live.exists():
        return TooMany(
            "otp_locked", "Too many wrong tries; ask for a new code later.", retry_after=300
        )
    last = mine.order_by("-created_at").first()
    if (
        last
        and last.consumed_at
        and hmac.compare_digest(code_of(last, phone).encode(), code.encode())
    ):
        return used()
    return Refusal(
        "otp_expired", "The code has expired; ask for a new one.", otpCode=["It has expired."]
    )


def used() -> Refusal:
    return Refusal("otp_used", "The code was used already.", otpCode=["It was used already."])


def consume(challenge_id: UUID, order_id: UUID) -> None:
    """Use the code up, inside the transaction of the order that it proves."""
    hit = OtpChallenge.objects.filter(pk=challenge_id, consumed_at=None, superseded_at=None).update(
        consumed_at=timezone.now(), order_id=order_id
    )
    if not hit:
        raise used()


@metrics.from_database(
    "store_otp_day", "One-time codes of the last 24 hours: sent, verified, failed."
)
def last_day() -> dict[str, float]:
    """How sending went; ids are times, so their index finds the rows."""
    since = first_of(timezone.now() - DAY)
    recent = OtpChallenge.objects.filter(pk__gte=since).order_by("-pk")[: metrics.MOST]
    told: dict[str, float] = OtpChallenge.objects.filter(pk__in=recent.values("pk")).aggregate(
        sent=Count("pk", filter=Q(voided_at=None)),
        verified=Count("pk", filter=Q(consumed_at__isnull=False)),
        failed=Count("pk", filter=Q(voided_at__isnull=False)),
    )
    return told


def forget_phones() -> int:
    """Clear the phones of challenges older than a day; returns how many."""
    old = OtpChallenge.objects.filter(created_at__lt=timezone.now() - DAY, phone__isnull=False)
    return old.update(phone=None)


def purge() -> int:
    """Forget challenges older than thirty days."""
    gone_rows, _ = OtpChallenge.objects.filter(
        created_at__lt=timezone.now() - timedelta(days=30)
    ).delete()
    return gone_rows
