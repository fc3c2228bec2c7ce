"""Inserting many rows of a model in one statement, without the ORM's work per row and query.

For the few hot paths; everything else uses `create` and `bulk_create`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault
from django.utils import timezone
from psycopg.types.json import Jsonb

from storeplatform.kernel.database import prepared

Read = Callable[[models.Model], Any]


def reader_of(field: Any) -> Read:
    """How a field's value is taken from a row, as the driver wants it."""
    name = field.attname
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return lambda row: row.__dict__[name] or timezone.now()
    if isinstance(field, models.JSONField):
        return lambda row: None if row.__dict__[name] is None else Jsonb(row.__dict__[name])
    return lambda row: row.__dict__[name]


@cache
def columns_of(model: type[models.Model]) -> tuple[str, tuple[Read, ...]]:
    """The beginning of the INSERT, and a reader for each of its columns."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    names = ", ".join(f'"{field.column}"' for field in fields)
    head = f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES '  # noqa: S608  # our names
    return head, tuple(reader_of(field) for field in fields)


def insert(*groups: Sequence[models.Model]) -> None:
    """Insert groups of rows, each of one model, in one statement: a round trip for all of them.
    What the database fills by default is left to it."""
    values: list[Any] = []
    parts = [insert_of(rows, values) for rows in groups if rows]
    if not parts:
        return
    named = [f"part{place} AS ({part})" for place, part in enumerate(parts[:-1])]
    with prepared() as cursor:
        cursor.execute((f"WITH {', '.join(named)} " if named else "") + parts[-1], values)


def copy(rows: Sequence[models.Model]) -> None:
    """Store rows of one model by COPY, some ten times as fast as `bulk_create`. A column that the
    database fills by default does so in all of them."""
    if not rows:
        return
    fields = [
        field
        for field in rows[0]._meta.concrete_fields
        if not field.generated
        and not isinstance(rows[0].__dict__.get(field.attname), DatabaseDefault)
    ]
    names = ", ".join(f'"{field.column}"' for field in fields)
    now = timezone.now()
    for row in rows:
        for field in fields:
            if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
                setattr(row, field.attname, now)
    readers = [reader_of(field) for field in fields]
    statement = f'COPY "{rows[0]._meta.db_table}" ({names}) FROM STDIN'
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as out,
    ):
        for row in rows:
            out.write_row([read(row) for read in readers])
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def insert_of(rows: Sequence[models.Model], values: list[Any]) -> str:
    """The INSERT of rows of one model; adds their values."""
    head, readers = columns_of(type(rows[0]))
    tuples = []
    for row in rows:
        marks = []
        for read in readers:
            value = read(row)
            if isinstance(value, DatabaseDefault):
                marks.append("DEFAULT")
            else:
                marks.append("%s")
                values.append(value)
        tuples.append(f"({', '.join(marks)})")
    return head + ", ".join(tuples)
