"""Letting agents in and out, and forgetting what is dead."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from integrations.mcp.oauth.models import AccessToken, Agent, Application, Grant, RefreshToken
from integrations.mcp.oauth.scopes import OFFLINE, SCOPES
from store_modules.stores.authentication import store_facts
from store_modules.stores.grants import effective
from store_modules.stores.models import Membership, Store, User
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict, NotFound, Refusal
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import lock_name

CONNECT, MANAGE = "agents.connect", "agents.manage"
UNUSED = timedelta(days=7)


def member_grants(member: Membership) -> frozenset[str]:
    is_owner = member.role == Membership.Role.OWNER
    return effective(is_owner=is_owner, grants=member.grants, denies=member.denies)


def actor_of_member(member: Membership) -> Actor:
    """The member as an actor, for what a page does."""
    return Actor(
        store=store_facts(member.store),
        grants=member_grants(member),
        kind="user",
        id=str(member.user_id),
        label=member.user.full_name,
        user_id=member.user_id,
        is_owner=member.role == Membership.Role.OWNER,
    )


def stores_to_connect(user: User, application: Application) -> list[Membership]:
    """Where this person may let agents in. A client of one store serves only that one."""
    members = Membership.objects.select_related("store").filter(
        user=user, status=Membership.Status.ACTIVE, store__status=Store.Status.ACTIVE
    )
    if application.store_id:
        members = members.filter(store_id=application.store_id)
    return [m for m in members.order_by("store__name", "id") if CONNECT in member_grants(m)]


@transaction.atomic
def let_in(member: Membership, application: Application, scopes: list[str]) -> Agent:
    """The agent of a member's consent. Its scope is all that it may do, by this consent and by
    tokens of earlier ones that still live."""
    agent, _ = Agent.objects.select_for_update(of=("self",)).get_or_create(
        store_id=member.store_id, application=application, user_id=member.user_id
    )
    live = AccessToken.objects.filter(agent=agent).filter(
        Q(expires__gt=timezone.now()) | Q(refresh_token__pk__gt=0, refresh_token__revoked=None)
    )
    held = {*scopes, *" ".join(live.values_list("scope", flat=True)).split()}
    agent.scope = " ".join(scope for scope in (*SCOPES, OFFLINE) if scope in held)
    agent.revoked_at = None
    agent.save(update_fields=["scope", "revoked_at", "updated_at"])
    made: Agent = agent
    return made


def revoke_as_operator(agent: Agent, request: Any) -> None:
    revoke_agent(agent, None, request=request)


@transaction.atomic
def revoke_agent(agent: Agent, actor: Actor | None, *, request: Any = None) -> None:
    """End everything that was handed to an agent, at once."""
    Agent.objects.filter(pk=agent.pk).update(revoked_at=timezone.now())
    RefreshToken.objects.filter(agent=agent, revoked=None).update(revoked=timezone.now())
    AccessToken.objects.filter(agent=agent).delete()
    Grant.objects.filter(agent=agent).delete()
    audit(
        "agent.revoked",
        target=agent.pk,
        actor=actor,
        store_id=agent.store_id,
        label="" if actor else f"operator {request.user}",
        request=request,
        changes={"client": agent.application.client_id, "userId": str(agent.user_id)},
    )


def end_grant(grant: Grant) -> None:
    """A used code came again: whoever has it now, its tokens end (RFC 6749, 4.1.2)."""
    families = set(RefreshToken.objects.filter(grant=grant).values_list("token_family", flat=True))
    for family in families:
        RefreshToken.revoke_family(family)
    AccessToken.objects.filter(grant=grant).delete()
    audit("oauth.code_replayed", target=grant.application.client_id, store_id=grant.store_id)


# Redirect URIs that a store registers


@transaction.atomic
def register_redirect_uri(
    actor: Actor, client_id: str, redirect_uri: str, name: str, *, request: Any = None
) -> Application:
    """Let a client of this store come back to an address. Raises Conflict for another's client."""
    if len(redirect_uri.split()) != 1:
        raise bad_uri("A redirect URI is one text without blanks.")
    lock_name(f"oauth-client:{client_id}")
    application = Application.objects.select_for_update().filter(client_id=client_id).first()
    if application is not None and application.store_id != actor.store_id:
        raise Conflict("client_id_taken", "This client id belongs to another client.")
    if application is None:
        application = Application(
            client_id=client_id,
            store_id=actor.store_id,
            client_type=Application.CLIENT_PUBLIC,
            authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        )
    uris = application.redirect_uris.split()
    if redirect_uri not in uris:
        uris.append(redirect_uri)
    application.redirect_uris = " ".join(uris)
    application.name = name or application.name
    check_application(application)
    application.save()
    audit(
        "oauth.redirect_uri_registered",
        target=client_id,
        actor=actor,
        request=request,
        changes={"redirectUri": redirect_uri},
    )
    return application


def check_application(application: Application) -> None:
    from django.core.exceptions import ValidationError

    try:
        application.full_clean(exclude=["client_secret", "store"], validate_unique=False)
    except ValidationError as error:
        raise bad_uri(" ".join(error.messages)) from None


def bad_uri(message: str) -> Refusal:
    return Refusal("invalid_redirect_uri", message, errors={"redirectUri": [message]})


@transaction.atomic
def remove_redirect_uri(
    actor: Actor, client_id: str, redirect_uri: str, *, request: Any = None
) -> None:
    """Take an address away; a client without any is forgotten with its agents."""
    application = (
        Application.objects.select_for_update()
        .filter(client_id=client_id, store_id=actor.store_id)
        .first()
    )
    uris = application.redirect_uris.split() if application else []
    if application is None or redirect_uri not in uris:
        raise NotFound
    uris.remove(redirect_uri)
    application.redirect_uris = " ".join(uris)
    if uris:
        application.save(update_fields=["redirect_uris", "updated"])
    else:
        application.delete()
    audit("oauth.redirect_uri_removed", target=client_id, actor=actor, request=request)


def find_agent(actor: Actor, agent_id: UUID) -> Agent:
    found: Agent | None = (
        Agent.objects.of(actor.store_id)
        .select_related("application")
        .filter(pk=agent_id, revoked_at=None)
        .first()
    )
    if found is None:
        raise NotFound
    return found


def purge() -> int:
    """Forget expired tokens, and clients that registered themselves and were let in nowhere."""
    call_command("cleartokens")
    old = timezone.now() - UNUSED
    registered = Q(registration_source__in=["dcr", "cimd"])
    count, _ = Application.objects.filter(registered, created__lt=old, agents=None).delete()
    return count
