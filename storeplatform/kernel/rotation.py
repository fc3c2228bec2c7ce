"""Which rows hang on an old version of a secret, and how they get to the new one.

Areas register the columns that they seal with `crypto.encrypt`, and count what is hashed under a
pepper; `manage.py rotate_secrets` works through them (DOCS/operations.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.db.models import Func, IntegerField
from django.db.models.functions import Substr

from storeplatform.kernel.crypto import current, decrypt, encrypt

BATCH = 500


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of encrypted bytes, and the context that each row is sealed under."""

    model: type[models.Model]
    column: str
    context: Callable[[Any], bytes]


_sealed: list[Sealed] = []
_counts: dict[str, Callable[[], dict[int, int]]] = {}


def sealed_column(model: type[models.Model], column: str, context: Callable[[Any], bytes]) -> None:
    _sealed.append(Sealed(model, column, context))


def counted_by_version(name: str) -> Callable[[Callable[[], dict[int, int]]], Any]:
    """Registers a function that counts what hangs on each version of a secret."""

    def register(function: Callable[[], dict[int, int]]) -> Callable[[], dict[int, int]]:
        _counts[name] = function
        return function

    return register


def sealed_columns() -> list[Sealed]:
    return list(_sealed)


def version_of(column: str) -> Func:
    """The version that `crypto.encrypt` writes into the first two bytes."""
    high = Func(Substr(column, 1, 1), 0, function="get_byte", output_field=IntegerField())
    low = Func(Substr(column, 2, 1), 0, function="get_byte", output_field=IntegerField())
    return high * 256 + low  # type: ignore[return-value]  # an expression, as Func is


def counts(name: str) -> dict[int, int]:
    """What hangs on each version of a secret, where that can be counted."""
    found: dict[int, int] = {}
    if name == "FIELD_KEY":
        for one in _sealed:
            rows = one.model._base_manager.exclude(**{one.column: None})
            grouped = rows.annotate(sealed_under=version_of(one.column)).values_list("sealed_under")
            for version, count in grouped.annotate(count=models.Count("pk")).order_by():
                found[version] = found.get(version, 0) + count
    elif name in _counts:
        found = _counts[name]()
    return found


def outdated(one: Sealed) -> Any:
    """Rows of a column that are sealed under another version than the current one."""
    version, _ = current("FIELD_KEY")
    rows = one.model._base_manager.exclude(**{one.column: None})
    return (
        rows.annotate(sealed_under=version_of(one.column))
        .exclude(sealed_under=version)
        .order_by("pk")
    )


def reseal() -> Iterator[int]:
    """Seal everything anew under the current FIELD_KEY; yields how many rows each batch had. It may
    be broken off and run again. Raises Undecipherable when the old key is gone."""
    for one in _sealed:
        while True:
            with transaction.atomic():
                rows = list(outdated(one).select_for_update()[:BATCH])
                for row in rows:
                    context = one.context(row)
                    plain = decrypt(bytes(getattr(row, one.column)), context)
                    sealed = encrypt(plain, context)
                    one.model._base_manager.filter(pk=row.pk).update(**{one.column: sealed})
            if not rows:
                break
            yield len(rows)
