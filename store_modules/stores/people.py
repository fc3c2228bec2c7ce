"""Registering, signing in and out, passwords and invitations (platform.md, section 4 and 5)."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from store_modules.stores.authentication import forget_sign_ins, unauthenticated
from store_modules.stores.grants import check_grantable, check_known
from store_modules.stores.models import (
    Invitation,
    LoginFailure,
    Membership,
    PasswordReset,
    SignIn,
    Store,
    User,
)
from store_modules.stores.tokens import StoreAccessToken, StoreRefreshToken, UsedToken, new_end
from storeplatform.kernel.addresses import client_network
from storeplatform.kernel.audit import audit
from storeplatform.kernel.background import background, enqueue
from storeplatform.kernel.crypto import keyed_hash, keyed_hashes
from storeplatform.kernel.errors import Conflict, Denied, NotFound, Refusal, TooMany, refuse
from storeplatform.kernel.ports import Port
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import lock_name

# Somebody left the store or was disabled: what they had in hand goes back.
member_gone: Port[[Actor, UUID], None] = Port("member_gone")

TWO_TABS = timedelta(seconds=10)
INVITATION_LIFE = timedelta(days=7)
RESET_LIFE = timedelta(minutes=30)
MOST_RESETS = 5  # mailed to one person and still good; nobody's mailbox is flooded
# (failures, within, counted by)
FAILURE_LIMITS = (
    (5, timedelta(minutes=15), ("login", "ip")),
    (20, timedelta(minutes=15), ("login",)),
    (100, timedelta(hours=1), ("ip",)),
)
DUMMY_HASH = make_password(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A pair of tokens and the sign-in they belong to."""

    sign_in: SignIn
    membership: Membership
    access: StoreAccessToken
    refresh: StoreRefreshToken


def register(
    *, email: str | None, phone: str | None, password: str, full_name: str, store_name: str,
    request: HttpRequest,
) -> Tokens:  # fmt: skip
    """A person, a store, and the first owner of it. Raises Conflict `account_exists`."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                user = User.objects.create_user(email, password, phone=phone, full_name=full_name)
        except IntegrityError:
            raise Conflict(
                "account_exists", "There is an account with this e-mail or phone."
            ) from None
        store = Store.objects.create(name=store_name)
        member = Membership.objects.create(user=user, store=store, role=Membership.Role.OWNER)
        return begin(member, request)


def prove(login: str, password: str, request: HttpRequest) -> User:
    """The active person of an e-mail or phone and a password. Whatever is wrong, the answer and
    its time are the same; too many failures are refused."""
    user = User.objects.filter(Q(email=login) | Q(phone=login), is_active=True).first()
    proven = tried(login, password, user, request)
    if proven is None:
        raise unauthenticated("invalid_credentials", "The login or the password is wrong.")
    return proven


def confirm(user: User, password: str, request: HttpRequest) -> None:
    """The password once more from somebody who is signed in; a thief of a token may guess no
    more often than a stranger."""
    if tried(user.email or user.phone or "", password, user, request) is None:
        raise refuse("currentPassword", "validation_error", "The current password is wrong.")


def tried(login: str, password: str, user: User | None, request: HttpRequest) -> User | None:
    """The person, if the password is theirs; a failure is counted, too many are refused. Tries of
    one login wait for each other, so that many at once are counted like many in turn."""
    ip = client_network(request)
    with transaction.atomic():
        lock_name(f"sign-in {login}")
        refuse_guessing(login, ip)
        good = check_password(password, user.password if user else DUMMY_HASH)
        if user is None or not good:
            LoginFailure.objects.create(login=login[:254], ip=ip)
            audit("login.failed", target=login, request=request)
            return None
    return user


def sign_in(*, login: str, password: str, store_id: UUID | None, request: HttpRequest) -> Tokens:
    """A new sign-in in the store asked for, else in the person's first."""
    user = prove(login, password, request)
    member = membership_of(user, store_id)
    if member is None:
        raise Denied("no_store_membership", "You are no member of a store here.")
    with transaction.atomic():
        LoginFailure.objects.filter(login=login).delete()
        tokens = begin(member, request)
        audit("login.succeeded", request=request, store_id=member.store_id, target=user.pk)
    return tokens


def refuse_guessing(login: str, ip: str | None) -> None:
    """Raises TooMany after too many failures of a login, of an address, or of both together."""
    values = {"login": login[:254], "ip": ip}
    for most, within, names in FAILURE_LIMITS:
        failures = LoginFailure.objects.filter(
            **{name: values[name] for name in names}, created_at__gt=timezone.now() - within
        )
        if (count := failures.count()) >= most:
            oldest = failures.order_by("created_at")[count - most].created_at
            wait = int((oldest + within - timezone.now()).total_seconds()) + 1
            raise TooMany(
                "rate_limited", "Too many failed sign-ins; wait.", retry_after=max(1, wait)
            )


def membership_of(user: User, store_id: UUID | None) -> Membership | None:
    members = Membership.objects.select_related("store").filter(
        user=user, status=Membership.Status.ACTIVE
    )
    if store_id is not None:
        members = members.filter(store_id=store_id)
    return members.order_by("created_at").first()


def begin(member: Membership, request: HttpRequest) -> Tokens:
    """A new sign-in of a member."""
    sign_in = SignIn.objects.create(
        user_id=member.user_id,
        store_id=member.store_id,
        ip=getattr(request, "client_ip", None),
        user_agent=request.headers.get("User-Agent", "")[:300],
        expires_at=new_end(),
    )
    return issue(sign_in, member)


def issue(sign_in: SignIn, member: Membership) -> Tokens:
    refresh = StoreRefreshToken.of(sign_in)
    sign_in.previous_jti, sign_in.current_jti = sign_in.current_jti, refresh["jti"]
    sign_in.last_seen_at = sign_in.rotated_at = timezone.now()
    sign_in.save(update_fields=["previous_jti", "current_jti", "last_seen_at", "rotated_at"])
    return Tokens(sign_in, member, StoreAccessToken.of(sign_in, member.role), refresh)


def refresh(raw: str, request: HttpRequest) -> Tokens:
    """Exchange a refresh token. One that was used before ends its whole sign-in, unless it is the
    one just exchanged: two tabs may ask at once."""
    try:
        token = StoreRefreshToken(raw)  # type: ignore[arg-type]  # text is decoded
    except UsedToken as used:
        return refuse_reuse(used.payload, request)
    except TokenError:
        raise unauthenticated("invalid_token", "This is not a valid refresh token.") from None
    with transaction.atomic():
        sign_in = SignIn.objects.select_for_update().filter(pk=token["sid"]).first()
        if sign_in is None or sign_in.revoked_at:
            raise unauthenticated("session_revoked", "This sign-in was ended; sign in again.")
        if sign_in.current_jti == token["jti"]:
            member = membership_of(sign_in.user, sign_in.store_id)
            if member is None:
                raise Denied("no_store_membership", "You are no member of this store.")
            token.blacklist()
            return issue(sign_in, member)
    return refuse_reuse(token.payload, request)


def refuse_reuse(payload: dict[str, Any], request: HttpRequest) -> Tokens:
    with transaction.atomic():
        sign_in = SignIn.objects.select_for_update().filter(pk=payload["sid"]).first()
        if sign_in is None or sign_in.revoked_at:
            raise unauthenticated("session_revoked", "This sign-in was ended; sign in again.")
        just_now = sign_in.rotated_at and timezone.now() - sign_in.rotated_at <= TWO_TABS
        two_tabs = sign_in.previous_jti == payload["jti"] and just_now
        if not two_tabs:
            end(sign_in)
            audit(
                "refresh_token.reused",
                request=request,
                store_id=sign_in.store_id,
                target=sign_in.user_id,
            )
    if two_tabs:
        raise Conflict("conflict", "This token was exchanged a moment ago; use the new one.")
    raise unauthenticated("refresh_token_reused", "This token was used before; sign in again.")


def end(sign_in: SignIn) -> None:
    sign_in.revoked_at = timezone.now()
    sign_in.save(update_fields=["revoked_at"])
    forget_sign_ins()


def sign_out(raw: str, *, all_of_user: bool) -> None:
    """End the sign-in of a refresh token, or all of its person; an unknown token ends nothing."""
    try:
        payload = StoreRefreshToken(raw).payload  # type: ignore[arg-type]  # text is decoded
    except TokenError:
        return
    ended = SignIn.objects.filter(user_id=payload["sub"], revoked_at=None)
    if not all_of_user:
        ended = ended.filter(pk=payload["sid"])
    ended.update(revoked_at=timezone.now())
    forget_sign_ins()


def switch_store(
    sign_in_id: UUID, user_id: UUID, store_id: UUID, *, new_session: bool, request: HttpRequest
) -> Tokens:
    """A pair for another store of the person. Not a member there: the store does not exist."""
    member = membership_of(User.objects.get(pk=user_id), store_id)
    if member is None:
        raise NotFound
    with transaction.atomic():
        sign_in = SignIn.objects.select_for_update().filter(pk=sign_in_id, revoked_at=None).first()
        if sign_in is None:  # another request was first
            raise unauthenticated("session_revoked", "This sign-in was ended; sign in again.")
        if not new_session:
            end(sign_in)
        tokens = begin(member, request)
        audit("store.switched", request=request, store_id=store_id, target=user_id)
    forget_sign_ins()
    return tokens


def change_password(user: User, new: str, *, keep: UUID, request: HttpRequest) -> None:
    """Set a new password; every other sign-in of the person ends, and so do mailed links."""
    with transaction.atomic():
        user.set_password(new)
        user.save(update_fields=["password"])
        SignIn.objects.filter(user=user, revoked_at=None).exclude(pk=keep).update(
            revoked_at=timezone.now()
        )
        end_resets(user)
        audit("password.changed", request=request, target=user.pk)
    forget_sign_ins()


@transaction.atomic
def forgot_password(login: str) -> None:
    """Have a way back in mailed, if there is such a person with an address. Neither the answer nor
    its time nor a fault of the mail server tells whether there is."""
    user = User.objects.filter(Q(email=login) | Q(phone=login), is_active=True).first()
    enqueue(mail_reset, user_id=str(user.pk) if user and user.email else None)


@background(in_transaction=False)
def mail_reset(user_id: str | None) -> None:
    if user_id is None:
        return
    user = User.objects.filter(pk=user_id, is_active=True).exclude(email=None).first()
    if user is None or live_resets(user).count() >= MOST_RESETS:
        return
    token, reset = new_reset(user)
    link = f"{settings.PUBLIC_ORIGIN}/reset-password?{urlencode({'token': token})}"
    try:
        send_mail(
            "Set a new password",
            f"Set a new password within 30 minutes: {link}\n"
            "If you did not ask for this, ignore it.",
            settings.DEFAULT_FROM_EMAIL,
            [str(user.email)],
            fail_silently=False,
        )
    except Exception:
        reset.delete()
        raise


def live_resets(user: User) -> QuerySet[PasswordReset]:
    return PasswordReset.objects.filter(user=user, used_at=None, expires_at__gt=timezone.now())


def end_resets(user: User) -> None:
    live_resets(user).update(used_at=timezone.now())


def new_reset(user: User) -> tuple[str, PasswordReset]:
    token = "rst_" + secrets.token_urlsafe(32)
    reset = PasswordReset.objects.create(
        user=user,
        token_hash=keyed_hash("TOKEN_KEY", token.encode()),
        expires_at=timezone.now() + RESET_LIFE,
    )
    return token, reset


@transaction.atomic
def reset_password(token: str, password: str) -> None:
    """Set a password by a mailed token, once; every sign-in of the person ends, and so does every
    other token."""
    reset = (
        PasswordReset.objects.select_for_update()
        .filter(
            token_hash__in=keyed_hashes("TOKEN_KEY", token.encode()),
            used_at=None,
            expires_at__gt=timezone.now(),
        )
        .first()
    )
    if reset is None:
        raise Refusal(
            "validation_error",
            "The link was used or has expired.",
            errors={"token": ["It was used or has expired."]},
        )
    end_resets(reset.user)
    reset.user.set_password(password)
    reset.user.save(update_fields=["password"])
    SignIn.objects.filter(user=reset.user, revoked_at=None).update(revoked_at=timezone.now())
    audit("password.reset", target=reset.user_id)
    forget_sign_ins()


@transaction.atomic
def invite(
    actor: Actor, *, email: str, role: str, grants: list[str], denies: list[str],
    request: HttpRequest,
) -> tuple[Invitation, str]:  # fmt: skip
    """Offer a place; returns the invitation and its token, which is shown this once. It takes the
    place of an earlier one to the same address."""
    check_grantable(grants, field="grants")
    check_known(denies, field="denies")
    if Membership.objects.filter(store_id=actor.store_id, user__email=email.lower()).exists():
        raise Conflict("already_member", "This person is a member already.")
    end_invitations(actor.store_id, email.lower())
    token = "inv_" + secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        store_id=actor.store_id,
        email=email.lower(),
        role=role,
        grants=grants,
        denies=denies,
        token_hash=keyed_hash("TOKEN_KEY", token.encode()),
        invited_by=User.objects.get(pk=actor.id),
        expires_at=timezone.now() + INVITATION_LIFE,
    )
    audit("staff.invited", actor=actor, request=request, target=email, changes={"role": role})
    if settings.EMAIL_CONFIGURED:
        transaction.on_commit(lambda: mail_invitation(invitation, actor.store.name, token))
    return invitation, token


def mail_invitation(invitation: Invitation, store_name: str, token: str) -> None:
    link = f"{settings.PUBLIC_ORIGIN}/invitation?{urlencode({'token': token})}"
    send_mail(
        f"Your place in {store_name}",
        f"Join {store_name} within 7 days: {link}",
        settings.DEFAULT_FROM_EMAIL,
        [invitation.email],
        fail_silently=True,  # the owner holds the token and can hand it over
    )


def end_invitations(store_id: UUID, email: str | None) -> None:
    """Nobody joins by what was offered before."""
    Invitation.objects.filter(
        store_id=store_id, email=email, accepted_at=None, expires_at__gt=timezone.now()
    ).update(expires_at=timezone.now())


def accept_invitation(token: str, *, full_name: str, password: str, request: HttpRequest) -> Tokens:
    """Take the place. Somebody with an account proves it as at a sign-in: whoever invites holds
    the token, so that it must not help to guess a password."""
    offered = open_invitations(token).first()
    if offered is None:
        raise invitation_over()
    user = None
    if User.objects.filter(email=offered.email).exists():
        user = prove(offered.email, password, request)
    with transaction.atomic():
        invitation = open_invitations(token).select_for_update().first()
        if invitation is None:
            raise invitation_over()
        user = user or new_account(invitation.email, password, full_name)
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        member = Membership.objects.create(
            user=user,
            store_id=invitation.store_id,
            role=invitation.role,
            grants=invitation.grants,
            denies=invitation.denies,
        )
        audit("staff.joined", request=request, store_id=invitation.store_id, target=user.pk)
        return begin(member, request)


def open_invitations(token: str) -> QuerySet[Invitation]:
    return Invitation.objects.filter(
        token_hash__in=keyed_hashes("TOKEN_KEY", token.encode()),
        accepted_at=None,
        expires_at__gt=timezone.now(),
    )


def invitation_over() -> Refusal:
    return refuse("token", "validation_error", "It was used or has expired.")


def new_account(email: str, password: str, full_name: str) -> User:
    try:
        with transaction.atomic():
            return User.objects.create_user(email, password, full_name=full_name)
    except IntegrityError:
        raise Conflict(
            "account_exists", "This address has an account now; join with its password."
        ) from None


@transaction.atomic
def change_member(
    actor: Actor, user_id: UUID, values: dict[str, Any], request: HttpRequest
) -> Membership:
    """Change a colleague's role, state, grants or denies. A store keeps an active owner."""
    owners = lock_owners(actor.store_id)
    member = find_member(actor.store_id, user_id)
    check_grantable(values.get("grants", []), field="grants")
    check_known(values.get("denies", []), field="denies")
    for name, value in values.items():
        setattr(member, name, value)
    stays_owner = member.role == Membership.Role.OWNER and member.status == Membership.Status.ACTIVE
    if owners == {user_id} and not stays_owner:
        raise Conflict("last_owner", "A store keeps at least one active owner.")
    member.save(update_fields=[*values, "updated_at"])
    if member.status != Membership.Status.ACTIVE:
        member_gone(actor, user_id)
    audit("staff.changed", actor=actor, request=request, target=user_id, changes=values)
    transaction.on_commit(forget_sign_ins)
    return member


@transaction.atomic
def remove_member(actor: Actor, user_id: UUID, request: HttpRequest) -> None:
    """Take a colleague out of the store; their sign-ins in it end, the store's keys stay."""
    owners = lock_owners(actor.store_id)
    member = find_member(actor.store_id, user_id)
    if owners == {user_id}:
        raise Conflict("last_owner", "A store keeps at least one active owner.")
    member.delete()
    end_invitations(actor.store_id, member.user.email)
    SignIn.objects.filter(user_id=user_id, store_id=actor.store_id, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    member_gone(actor, user_id)
    audit("staff.removed", actor=actor, request=request, target=user_id)
    transaction.on_commit(forget_sign_ins)


def lock_owners(store_id: UUID) -> set[UUID]:
    """The active owners, under the store's lock, so that two removals cannot take the last two."""
    Store.objects.select_for_update().get(pk=store_id)
    return set(
        Membership.objects.filter(
            store_id=store_id, role=Membership.Role.OWNER, status=Membership.Status.ACTIVE
        ).values_list("user_id", flat=True)
    )


def find_member(store_id: UUID, user_id: UUID) -> Membership:
    member = Membership.objects.filter(store_id=store_id, user_id=user_id).first()
    if member is None:
        raise NotFound
    return member


def purge() -> int:
    """Forget failures older than a day, and tokens and sign-ins ninety days after their end."""
    now = timezone.now()
    old = now - settings.SIGN_IN_LIFETIME
    gone = (
        LoginFailure.objects.filter(created_at__lt=now - timedelta(days=1)),
        OutstandingToken.objects.filter(expires_at__lt=now),
        SignIn.objects.filter(expires_at__lt=old),
        PasswordReset.objects.filter(expires_at__lt=old),
        Invitation.objects.filter(expires_at__lt=old),
    )
    return sum(rows.delete()[0] for rows in gone)
