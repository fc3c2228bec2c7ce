"""From a bearer token to who acts, for which store, with what. Read anew for each call."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from integrations.mcp.oauth.models import Agent
from integrations.mcp.oauth.scopes import SCOPES, grants_of, implied
from store_modules.stores.grants import effective
from store_modules.stores.models import Membership
from storeplatform.kernel.database import prepared
from storeplatform.kernel.tenancy import Actor, StoreFacts

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
    outcome: str = ""  # what the agent was told, when that is decided before the work has ended
    recorded: bool = False


# One statement, prepared once a connection, instead of five of the ORM's: it runs on every call.
WHO = """
SELECT agent.id, agent.last_used_at, client.client_id, client.name, person.id, person.full_name,
  store.id, store.name, COALESCE(trade.currency_code, ''), COALESCE(trade.timezone, ''),
  COALESCE(trade.country_code, ''), member.role, member.grants, member.denies,
  COALESCE(own.approve_destructive, false), COALESCE(own.allow_refunds, false)
FROM oauth_agent agent
JOIN oauth_application client ON client.id = agent.application_id
JOIN stores_user person ON person.id = agent.user_id AND person.is_active
JOIN stores_store store ON store.id = agent.store_id AND store.status = 'active'
JOIN stores_membership member ON member.user_id = person.id AND member.store_id = store.id
  AND member.status = 'active'
LEFT JOIN stores_storesettings trade ON trade.store_id = store.id
LEFT JOIN mcp_agentsettings own ON own.store_id = store.id
"""
BY_TOKEN = (
    WHO.replace("SELECT ", "SELECT token.id, token.scope, ", 1)
    + """
JOIN oauth_accesstoken token ON token.agent_id = agent.id AND token.store_id = agent.store_id
  AND token.user_id = agent.user_id AND token.application_id = agent.application_id
WHERE agent.revoked_at IS NULL AND token.token_checksum = %s AND token.expires > now()
  AND token.resource = %s::text::jsonb
"""
)
BY_AGENT = WHO + "WHERE agent.revoked_at IS NULL AND agent.id = %s"


def principal_of(raw: str) -> Principal | None:
    """Who holds this token, if it opens our resource now; whatever is wrong, None."""
    checksum = hashlib.sha256(raw.encode()).hexdigest()
    with prepared() as cursor:
        cursor.execute(BY_TOKEN, [checksum, orjson.dumps([settings.MCP_RESOURCE]).decode()])
        found = cursor.fetchone()
    if found is None:
        return None
    token_id, scope, *row = found
    note_use(row[0], row[1])
    return build(row, scope.split(), token_id)


def principal_of_agent(agent_id: UUID, scope: str) -> Principal | None:
    """An agent without a token at hand: an action that waited for its approval."""
    with prepared() as cursor:
        cursor.execute(BY_AGENT, [agent_id])
        found = cursor.fetchone()
    return None if found is None else build(found, scope.split(), 0)


def build(row: Sequence[Any], scopes: list[str], token_id: int) -> Principal:
    (
        agent_id, _, client_id, client_name, user_id, full_name, store_id, store_name, currency,
        timezone_name, country, member_role, grants, denies, approve_destructive, allow_refunds,
    ) = row  # fmt: skip
    is_owner = member_role == Membership.Role.OWNER
    role = effective(is_owner=is_owner, grants=grants, denies=denies)
    actor = Actor(
        store=StoreFacts(store_id, store_name, currency, timezone_name, country),
        grants=role & grants_of(scopes),
        kind="user",
        id=str(user_id),
        label=f"{full_name} ({client_name or 'agent'})",
        user_id=user_id,
        is_owner=is_owner,
    )
    return Principal(
        actor=actor,
        role=role,
        scopes=implied(scopes),
        agent_id=agent_id,
        token_id=token_id,
        client_id=client_id,
        client_name=client_name,
        user_id=user_id,
        member=full_name,
        approve_destructive=approve_destructive,
        allow_refunds=allow_refunds,
    )


def note_use(agent_id: UUID, last: datetime | None) -> None:
    """When the agent was last here; written once a minute at most."""
    now = timezone.now()
    if last is None or now - last >= USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_EVERY)
        Agent.objects.filter(stale, pk=agent_id).update(last_used_at=now)
