"""What must hold over the whole database, whatever came before (reliability.md, section 1).

An area declares it beside its models, in `invariants.py`: `CHECKS` gives each check a name and the
statement that finds the ids of the rows which break it. Areas read their own tables and those of
the areas below them.
"""

from collections.abc import Iterator
from importlib import import_module

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils.module_loading import module_has_submodule


def declared() -> dict[str, str]:
    """The checks of all areas, lower areas first. Raises ImproperlyConfigured for a name that two
    of them use."""
    checks: dict[str, str] = {}
    for area in apps.get_app_configs():
        if not module_has_submodule(area.module, "invariants"):
            continue
        for name, statement in import_module(f"{area.name}.invariants").CHECKS.items():
            if name in checks:
                raise ImproperlyConfigured(f"{area.name} declares {name!r} once more.")
            checks[name] = statement
    return checks


def run() -> Iterator[tuple[str, list[str]]]:
    """Each check's name and the ids of the rows that break it."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for name, statement in declared().items():
            cursor.execute(statement)
            yield name, [str(row[0]) for row in cursor.fetchall()]
