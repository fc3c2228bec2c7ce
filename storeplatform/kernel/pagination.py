"""Lists: pages with a count, or cursors that stay fast however deep they go (platform.md, §2)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db.models import F, Model, OrderBy, Q, QuerySet
from django.http import QueryDict

from storeplatform.kernel import valkey
from storeplatform.kernel.errors import Refusal, refuse

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 20, 100
LAST_ROW = 10_000  # page mode reaches no further
COUNT_KEPT_SECONDS = 30  # of counts beyond LAST_ROW
CURSOR_MAC_BYTES = 16


CONTROL = re.compile("[\x00-\x1f\x7f]")


class Query:
    """A query string whose names are read in any letter case, with or without underscores."""

    def __init__(self, query: QueryDict | Mapping[str, Any]) -> None:
        self._values: dict[str, list[str]] = {}
        for name in query:
            many = query.getlist(name) if isinstance(query, QueryDict) else [query[name]]
            if name != "cursor" and any(CONTROL.search(str(value)) for value in many):
                raise refuse(name, "validation_error", "Control characters are not allowed.")
            self._values.setdefault(self.fold(name), []).extend(str(value) for value in many)

    @staticmethod
    def fold(name: str) -> str:
        return name.replace("_", "").lower()

    def __contains__(self, name: str) -> bool:
        return self.fold(name) in self._values

    def get(self, name: str, default: str = "") -> str:
        values = self._values.get(self.fold(name))
        return values[-1] if values else default

    def all(self, name: str) -> list[str]:
        """Every value given: repeated or with commas."""
        given = self._values.get(self.fold(name), [])
        return [part.strip() for value in given for part in value.split(",") if part.strip()]

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        value = self.get(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise refuse(name, "validation_error", "A whole number.")
        if not lowest <= int(value) <= highest:
            raise refuse(name, "validation_error", f"Between {lowest} and {highest}.")
        return int(value)

    def digest(self, leaving_out: Sequence[str]) -> bytes:
        """What filters were asked for, whatever their order."""
        left_out = {self.fold(name) for name in leaving_out}
        kept = sorted((n, sorted(v)) for n, v in self._values.items() if n not in left_out)
        return hashlib.sha256(orjson.dumps(kept)).digest()[:8]


@dataclass(frozen=True, slots=True)
class Ordering:
    """One key of a stable order: a column path, its direction, and where its nulls stand."""

    path: str
    descending: bool = False
    nullable: bool = False
    nulls_last: bool = True

    @property
    def expression(self) -> OrderBy:
        nulls: dict[str, Any] = {}
        if self.nullable:
            nulls = {"nulls_last": True} if self.nulls_last else {"nulls_first": True}
        return OrderBy(F(self.path), descending=self.descending, **nulls)

    @property
    def reversed(self) -> "Ordering":
        return Ordering(self.path, not self.descending, self.nullable, not self.nulls_last)

    def beyond(self, value: Any) -> Q | None:
        """Rows whose key stands behind `value`; None when there can be none."""
        if value is None:
            return None if self.nulls_last else Q(**{f"{self.path}__isnull": False})
        further = Q(**{f"{self.path}__{'lt' if self.descending else 'gt'}": value})
        if self.nullable and self.nulls_last:
            return further | Q(**{f"{self.path}__isnull": True})
        return further

    def equal(self, value: Any) -> Q:
        return Q(**{f"{self.path}__isnull": True}) if value is None else Q(**{self.path: value})


def read_ordering(
    query: Query, allowed: Mapping[str, str], default: Sequence[str], model: type[Model]
) -> list[Ordering]:
    """The orderings asked for, `-createdAt,name`, with the id as last tie-break."""
    asked = query.all("ordering")
    folded = {Query.fold(name): path for name, path in allowed.items()}
    keys = []
    for word in asked or default:
        descending, name = word.startswith("-"), word.removeprefix("-")
        path = folded.get(Query.fold(name)) if asked else name
        if path is None:
            raise refuse("ordering", "validation_error", f"One of: {', '.join(allowed)}.")
        keys.append(Ordering(path, descending, is_nullable(model, path)))
    if keys[-1].path not in ("id", "pk"):
        keys.append(Ordering("id", keys[-1].descending))
    return keys


def is_nullable(model: type[Model], path: str) -> bool:
    nullable = False
    for part in path.split("__"):
        try:
            field = model._meta.get_field(part)
        except LookupError:
            return True  # an annotation
        nullable = nullable or field.null
        if field.related_model is not None:
            model = field.related_model
    return nullable


def after(keys: Sequence[Ordering], values: Sequence[Any]) -> Q:
    """Rows that come behind the row with `values` in the order of `keys`."""
    behind, same = Q(), Q()
    for key, value in zip(keys, values, strict=True):
        if (beyond := key.beyond(value)) is not None:
            behind |= same & beyond
        same &= key.equal(value)
    first, first_value = keys[0], values[0]
    if first_value is not None and not first.nullable:
        # Implied by the rest; it lets the index start at the right place.
        behind &= Q(**{f"{first.path}__{'lte' if first.descending else 'gte'}": first_value})
    return behind


def seal(store_id: UUID, payload: bytes) -> bytes:
    key = next(iter(settings.KEYS["CURSOR_KEY"].values()))
    mac = hmac.digest(key, b"cursor" + store_id.bytes + payload, "sha256")
    return mac[:CURSOR_MAC_BYTES]


def write_cursor(store_id: UUID, scope: bytes, values: Sequence[Any], direction: str) -> str:
    payload = orjson.dumps([1, direction, scope.hex(), list(values)], default=str)  # all digits
    sealed = seal(store_id, payload) + payload
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_cursor(store_id: UUID, scope: bytes, cursor: str) -> tuple[str, list[Any]]:
    """Direction and ordering values. A cursor of another store, order or filter is refused."""
    try:
        sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raise bad_cursor() from None
    mac, payload = sealed[:CURSOR_MAC_BYTES], sealed[CURSOR_MAC_BYTES:]
    if not hmac.compare_digest(mac, seal(store_id, payload)):
        raise bad_cursor()
    _, direction, of_scope, values = orjson.loads(payload)
    if of_scope != scope.hex():
        raise bad_cursor()
    return direction, values


def bad_cursor() -> Refusal:
    return Refusal(
        "invalid_cursor",
        "The cursor is not of this list with these filters; begin again without it.",
        errors={"cursor": ["Not a cursor of this list."]},
    )


# Wire rows of a queryset, each with the values of the named columns behind it.
Rows = Callable[[QuerySet[Any], Sequence[str]], Sequence[tuple[Any, ...]]]


def page_of(
    queryset: QuerySet[Any],
    query: Query,
    keys: Sequence[Ordering],
    rows: Rows,
    *,
    store_id: UUID,
    cursor_only: bool = False,
) -> dict[str, Any]:
    """The list envelope."""
    size_name = "per_page" if "per_page" in query and "pageSize" not in query else "pageSize"
    size = query.number(size_name, DEFAULT_PAGE_SIZE, 1, MAX_PAGE_SIZE)
    scope = hashlib.sha256(
        query.digest(["page", "pageSize", "per_page", "cursor"])
        + orjson.dumps([queryset.model._meta.label, *([k.path, k.descending] for k in keys)])
    ).digest()[:8]
    if "cursor" in query or cursor_only:
        return cursor_page(queryset, query.get("cursor"), keys, rows, store_id, scope, size)

    page = query.number("page", 1, 1, 10**9)
    start = (page - 1) * size
    if page > 1 and start >= LAST_ROW:
        raise refuse(
            "page", "validation_error", f"Pages end at row {LAST_ROW}; use nextCursor beyond."
        )
    total = counted(queryset, store_id, scope)
    ordered = queryset.order_by(*(key.expression for key in keys))
    found = rows(ordered[start : start + size], [k.path for k in keys]) if start < total else []
    more = start + len(found) < total
    return {
        "items": [row[0] for row in found],
        "page": page,
        "pageSize": size,
        "totalCount": total,
        "totalPages": ceil(total / size),
        "nextCursor": write_cursor(store_id, scope, found[-1][1:], "next")
        if found and more
        else None,
        "prevCursor": write_cursor(store_id, scope, found[0][1:], "prev")
        if found and page > 1
        else None,
    }


def cursor_page(
    queryset: QuerySet[Any],
    cursor: str,
    keys: Sequence[Ordering],
    rows: Rows,
    store_id: UUID,
    scope: bytes,
    size: int,
) -> dict[str, Any]:
    direction, values = read_cursor(store_id, scope, cursor) if cursor else ("next", None)
    backwards = direction == "prev"
    walk = [key.reversed for key in keys] if backwards else list(keys)
    if values is not None:
        queryset = queryset.filter(after(walk, values))
    ordered = queryset.order_by(*(key.expression for key in walk))
    found = rows(ordered[: size + 1], [key.path for key in keys])
    more, found = len(found) > size, list(found[:size])
    if backwards:
        found.reverse()
    has_next, has_prev = (True, more) if backwards else (more, values is not None)
    return {
        "items": [row[0] for row in found],
        "page": None,
        "pageSize": size,
        "totalCount": None,
        "totalPages": None,
        "nextCursor": write_cursor(store_id, scope, found[-1][1:], "next")
        if found and has_next
        else None,
        "prevCursor": write_cursor(store_id, scope, found[0][1:], "prev")
        if found and has_prev
        else None,
    }


def walk(
    queryset: QuerySet[Any], keys: Sequence[Ordering], rows: Rows, size: int
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """All rows, `size` at a time: each page by a statement of its own that begins behind the last
    row, so that a slow reader holds neither a cursor nor a transaction."""
    ordered = queryset.order_by(*(key.expression for key in keys))
    paths = [key.path for key in keys]
    page = rows(ordered[:size], paths)
    yield page
    while len(page) == size:
        page = rows(ordered.filter(after(keys, page[-1][1:]))[:size], paths)
        yield page


def counted(queryset: QuerySet[Any], store_id: UUID, scope: bytes) -> int:
    """How many rows there are: exact up to `LAST_ROW`, and beyond it at most half a minute old."""
    plain = queryset.order_by()
    total = plain[: LAST_ROW + 1].count()
    if total <= LAST_ROW:
        return total
    name = f"count:{store_id}:{queryset.model._meta.db_table}:{scope.hex()}"
    if (kept := valkey.get(name)) is not None:
        return int(kept)
    total = plain.count()
    valkey.put(name, str(total), seconds=COUNT_KEPT_SECONDS)
    return total
