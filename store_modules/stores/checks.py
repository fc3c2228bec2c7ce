"""Start-up check: no dashboard route asks for a permission that nobody can have."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from store_modules.stores.grants import GRANTS
from storeplatform.kernel.checks import routes
from storeplatform.kernel.permissions import grant_for
from storeplatform.kernel.viewsets import StoreScoped


@register()
def every_permission_exists(**_: Any) -> list[CheckMessage]:
    asked: dict[str, str] = {}
    for path, pattern in routes():
        view = getattr(pattern.callback, "cls", None)
        if view is None or not issubclass(view, StoreScoped) or view.grant_separator != ".":
            continue
        for method, action in getattr(pattern.callback, "actions", {}).items():
            asked.setdefault(grant_for(view, action, method.upper()), path)
    return [
        Error(
            f"{path} asks for {grant}, which is no permission:"
            f' add *read_write("{grant.split(".")[0]}", "…") to stores/grants.py',
            id="stores.E001",
        )
        for grant, path in asked.items()
        if grant and grant not in GRANTS
    ]
