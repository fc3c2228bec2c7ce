"""Rows that agents read by address: store://profile, store://policies/…, product://…, order://…"""

import re
from typing import Any

import mcp_types as types

from integrations.mcp.principal import Principal
from integrations.mcp.tools import catalog, orders, stores
from storeplatform.kernel.errors import NotFound

ID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
POLICIES = ("delivery", "payment", "tax")
# Pattern, the kind of resource, and the scopes that reading it needs.
PATTERNS: list[tuple[re.Pattern[str], str, tuple[str, ...]]] = [
    (re.compile(r"store://profile"), "profile", ("store:read",)),
    (re.compile(rf"store://policies/({'|'.join(POLICIES)})"), "policy", ("store:read",)),
    (re.compile(rf"product://({ID})"), "product", ("catalog:read",)),
    (re.compile(rf"order://({ID})"), "order", ("orders:read",)),
]
Found = tuple[str, str]


def find(uri: str) -> Found | None:
    """The kind and the name behind an address, or None when there is no such kind."""
    for pattern, kind, _ in PATTERNS:
        if match := pattern.fullmatch(uri):
            return kind, match[1] if match.groups() else ""
    return None


def scopes_of(uri: str) -> tuple[str, ...]:
    return next((scopes for pattern, _, scopes in PATTERNS if pattern.fullmatch(uri)), ())


def read(principal: Principal, kind: str, name: str) -> dict[str, Any]:
    scopes = next(scopes for _, one, scopes in PATTERNS if one == kind)
    if not all(principal.role_gives(scope) and scope in principal.scopes for scope in scopes):
        raise NotFound
    if kind == "profile":
        return stores.profile(principal)
    if kind == "policy":
        return {"name": name, **stores.profile(principal)["policies"][name]}
    if kind == "product":
        return catalog.product_of(principal, pk=name)
    return orders.order_of(principal, name)


def fixed() -> list[types.Resource]:
    return [
        resource("store://profile", "profile", "Store profile", "Name, currency, time zone."),
        *(
            resource(
                f"store://policies/{name}", f"policy-{name}", f"Policy: {name}",
                f"How the store handles {name}.",
            )
            for name in POLICIES
        ),
    ]  # fmt: skip


def resource(uri: str, name: str, title: str, description: str) -> types.Resource:
    return types.Resource(
        uri=uri, name=name, title=title, description=description, mime_type="application/json"
    )


def templates() -> list[types.ResourceTemplate]:
    return [
        types.ResourceTemplate(
            uri_template=template,
            name=name,
            title=title,
            description=description,
            mime_type="application/json",
        )
        for template, name, title, description in (
            ("product://{id}", "product", "Product", "A product with its variants and stock."),
            ("order://{id}", "order", "Order", "An order with lines, payments and history."),
        )
    ]
