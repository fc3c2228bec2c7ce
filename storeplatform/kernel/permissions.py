"""Who may do what: each view names the grant it asks for, in data."""

from typing import Any, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from storeplatform.kernel.errors import Denied
from storeplatform.kernel.tenancy import Actor

READ_ACTIONS = frozenset({"list", "retrieve", "metadata"})


def actor_of(request: Request) -> Actor:
    """The caller. Views below `StoreScoped` always have one."""
    return cast(Actor, request.auth)


OR = " or "  # between grants of which one will do


def grant_for(view: Any, action: str, method: str) -> str:
    """The grant of a view's action: `permissions[action]`, else `resource` with read or write."""
    if action == "metadata":
        return ""  # OPTIONS: which methods there are
    permissions: dict[str, str] = getattr(view, "permissions", {})
    if action in permissions:
        return permissions[action]
    resource = getattr(view, "resource", "")
    if not resource:
        raise LookupError(f"{type(view).__name__} declares no permission for {action!r}")
    reads = action in READ_ACTIONS or method == "GET" or action in view.reading_actions
    return f"{resource}{view.grant_separator}{'read' if reads else 'write'}"


class HasGrant(BasePermission):
    """Asks for the grant that the view declares. An empty declaration means any member."""

    def has_permission(self, request: Request, view: Any) -> bool:
        check_grant(actor_of(request), grant_for(view, view.action, request.method or ""))
        return True


def check_grant(actor: Actor, grant: str) -> None:
    """Raises Denied naming what is missing, of several the first."""
    either = grant.split(OR)
    if not grant or any(actor.may(one) for one in either):
        return
    grant = either[0]
    if ":" in grant:
        raise Denied(
            "missing_scope",
            f"The API key lacks the scope {grant}.",
            details={"requiredScope": grant},
        )
    raise Denied(
        "missing_permission",
        f"The permission {grant} is needed.",
        details={"requiredPermission": grant},
    )
