"""Inserting many rows of a model in one statement, without the ORM's work per row and query.

For the few hot paths; everything else uses `create` and `bulk_create`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault


@cache
def columns_of(model: type[models.Model]) -> tuple[str, tuple[Any, ...]]:
    """The beginning of the INSERT, and the fields in its order."""
    fields = tuple(field for field in model._meta.concrete_fields if not field.generated)
    names = ", ".join(f'"{field.column}"' for field in fields)
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ', fields  # noqa: S608


def insert(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model; their ids and timestamps are set as `save` would set them."""
    if not rows:
        return
    head, fields = columns_of(type(rows[0]))
    values: list[Any] = []
    tuples = []
    for row in rows:
        marks = []
        for field in fields:
            value = field.pre_save(row, add=True)
            if isinstance(value, DatabaseDefault):
                marks.append("DEFAULT")
                continue
            marks.append("%s")
            values.append(field.get_db_prep_save(value, connection))
        tuples.append(f"({', '.join(marks)})")
    with connection.cursor() as cursor:
        cursor.execute(head + ", ".join(tuples), values)
