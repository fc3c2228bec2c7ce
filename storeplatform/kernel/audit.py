"""The audit log: one call where an action of platform.md, section 13 happens."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest

from storeplatform.kernel.models import AuditEvent
from storeplatform.kernel.tenancy import Actor


def audit(
    action: str,
    *,
    target: object = "",
    actor: Actor | None = None,
    request: HttpRequest | None = None,
    store_id: UUID | None = None,
    label: str = "",
    changes: dict[str, Any] | None = None,
) -> None:
    """Record an action in the caller's transaction. `changes` must hold no secret."""
    AuditEvent.objects.create(
        store_id=store_id or (actor.store_id if actor else None),
        actor_type=actor.kind if actor else "system",
        actor_id=actor.id if actor else "",
        actor_label=(actor.label if actor else label)[:200],
        action=action,
        target=str(target)[:200],
        ip=getattr(request, "client_ip", None),
        user_agent=request.headers.get("User-Agent", "")[:300] if request else "",
        request_id=getattr(request, "request_id", ""),
        changes=changes or {},
    )
