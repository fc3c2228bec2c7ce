"""Start-up checks: no route without credential and permission."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern, URLResolver, get_resolver

from storeplatform.kernel.permissions import grant_for
from storeplatform.kernel.viewsets import StoreScoped


def routes(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every path of the URL table with its pattern."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        else:
            yield path, entry


@register()
def every_view_declares_its_grant(**_: Any) -> list[CheckMessage]:
    faults: list[CheckMessage] = []
    for path, pattern in routes():
        view_class = getattr(pattern.callback, "cls", None)
        if view_class is None or not issubclass(view_class, StoreScoped):
            continue
        for method, action in getattr(pattern.callback, "actions", {}).items():
            try:
                grant_for(view_class, action, method.upper())
            except LookupError as error:
                faults.append(Error(f"{path}: {error}", id="kernel.E001"))
    return faults
