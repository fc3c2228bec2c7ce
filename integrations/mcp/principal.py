"""From a bearer token to who acts, for which store, with what. Read anew for each call."""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from integrations.mcp.oauth.agents import member_grants
from integrations.mcp.oauth.models import AccessToken, Agent
from integrations.mcp.oauth.scopes import SCOPES, grants_of, implied
from store_modules.stores.authentication import store_facts
from store_modules.stores.models import Membership, Store, User
from storeplatform.kernel.tenancy import Actor

USED_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Principal:
    """`actor` holds what both the role and the token's scopes allow; `role` what the member may."""

    actor: Actor
    role: frozenset[str]
    scopes: frozenset[str]
    agent_id: UUID
    token_id: int
    client_id: str
    client_name: str
    user_id: UUID
    member: str
    approve_destructive: bool = False
    allow_refunds: bool = False

    def role_gives(self, scope: str) -> bool:
        return SCOPES[scope].grants[0] in self.role


@dataclass(slots=True)
class Call:
    """One request at the gateway, carried in its ASGI scope."""

    principal: Principal
    method: str
    name: str
    arguments: Any
    request_id: str
    ip: str
    started: float
    changed: list[str] = field(default_factory=list)
    recorded: bool = False


def principal_of(raw: str) -> Principal | None:
    """Who holds this token, if it opens our resource now; whatever is wrong, None."""
    checksum = hashlib.sha256(raw.encode()).hexdigest()
    token = (
        AccessToken.objects.select_related("application", "agent", "user", "store__settings")
        .filter(token_checksum=checksum)
        .first()
    )
    if (
        token is None
        or token.agent is None
        or token.store is None
        or token.is_expired()
        or token.resource != [settings.MCP_RESOURCE]
    ):
        return None
    made = build(token.agent, token.store, token.user, token.scope.split(), token.id)
    if made is not None:
        note_use(token.agent)
    return made


def principal_of_agent(agent: Agent, scope: str) -> Principal | None:
    """An agent without a token at hand: an action that waited for its approval."""
    store = Store.objects.select_related("settings").get(pk=agent.store_id)
    return build(agent, store, agent.user, scope.split(), 0)


def build(
    agent: Agent, store: Store, user: User, scopes: list[str], token_id: int
) -> Principal | None:
    from integrations.mcp.models import AgentSettings

    if agent.revoked_at or not user.is_active or store.status != Store.Status.ACTIVE:
        return None
    member = Membership.objects.filter(
        user_id=user.pk, store_id=store.pk, status=Membership.Status.ACTIVE
    ).first()
    if member is None:
        return None
    role = member_grants(member)
    own = AgentSettings.objects.filter(store_id=store.pk).first()
    client = agent.application
    actor = Actor(
        store=store_facts(store),
        grants=role & grants_of(scopes),
        kind="user",
        id=str(user.pk),
        label=f"{user.full_name} ({client.name or 'agent'})",
        user_id=user.pk,
        is_owner=member.role == Membership.Role.OWNER,
    )
    return Principal(
        actor=actor,
        role=role,
        scopes=implied(scopes),
        agent_id=agent.pk,
        token_id=token_id,
        client_id=client.client_id,
        client_name=client.name,
        user_id=user.pk,
        member=user.full_name,
        approve_destructive=own.approve_destructive if own else False,
        allow_refunds=own.allow_refunds if own else False,
    )


def note_use(agent: Agent) -> None:
    """When the agent was last here; written once a minute at most."""
    now = timezone.now()
    if agent.last_used_at is None or now - agent.last_used_at >= USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        Agent.objects.filter(stale, pk=agent.pk).update(last_used_at=now)
