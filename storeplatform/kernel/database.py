"""Our own statements on the hot paths: prepared once a connection, bound by the server."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections

PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?s|%%")


@lru_cache(maxsize=2048)
def native(statement: str) -> tuple[str, tuple[str, ...]]:
    """The statement with PostgreSQL's own `$1`, and the names of its parameters if they have any.

    psycopg would do this anew for each call of a long statement."""
    names: list[str] = []
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        name = match[1]
        if name is None:
            count += 1
            return f"${count}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return PLACEHOLDER.sub(number, statement), tuple(names)


class PreparedCursor:
    """A cursor that takes `%s` and `%(name)s` like Django's."""

    def __init__(self) -> None:
        database: Any = connections[DEFAULT_DB_ALIAS]  # the proxy costs each time it is asked
        database.ensure_connection()
        self.cursor = database._prepare_cursor(psycopg.RawCursor(database.connection))
        self.fetchone = self.cursor.fetchone
        self.fetchall = self.cursor.fetchall

    def __enter__(self) -> "PreparedCursor":
        return self

    def __exit__(self, *error: object) -> None:
        self.cursor.close()

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        text, names = native(statement)
        if isinstance(values, Mapping):
            values = [values[name] for name in names]
        self.cursor.execute(text, values)

    @property
    def rowcount(self) -> int:
        count: int = self.cursor.rowcount
        return count


def prepared() -> PreparedCursor:
    """A cursor like `connection.cursor()` whose statements the server parses and plans once.

    The ORM's own cursor binds parameters on the client, so the server plans every statement anew;
    for a list's or an order's large statements that costs more than running them.
    """
    return PreparedCursor()
