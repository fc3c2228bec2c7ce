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


NOT_OURS = {
    "filterset_fields": "declare a WireFilterSet as filterset_class",
    "filter_backends": "declare a WireFilterSet as filterset_class",
    "pagination_class": "lists page by themselves; cursor_only = True leaves pages out",
    "throttle_classes": "override buckets()",
}


@register()
def every_view_declares_what_is_read(**_: Any) -> list[CheckMessage]:
    """A declaration that nothing reads would look like a rule that holds."""
    faults: list[CheckMessage] = []
    for view in {getattr(pattern.callback, "cls", None) for _, pattern in routes()}:
        if view is None or not issubclass(view, StoreScoped):
            continue
        name = view.__name__
        for own in view.__mro__[: view.__mro__.index(StoreScoped)]:
            faults += [
                Error(f"{name}.{member} is read by nothing: {way}", id="kernel.E002")
                for member, way in NOT_OURS.items()
                if member in own.__dict__
            ]
        searches_itself = view.searched is not StoreScoped.searched
        searchable = searches_itself or hasattr(view.queryset.model, "search_text")
        if view.search_fields and not searchable:
            model = view.queryset.model.__name__
            fields = ", ".join(f'"{field}"' for field in view.search_fields)
            faults.append(
                Error(
                    f"{name}.search_fields needs a column on {model}:"
                    f" search_text = search_text({fields}), and search_index(...) in its indexes",
                    id="kernel.E003",
                )
            )
    return faults


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
