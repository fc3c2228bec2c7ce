"""A service call tried again when the database asks for it (reliability.md, section 2)."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from psycopg import errors as pg

from storeplatform.kernel.errors import Unavailable

T = TypeVar("T")

TRIES = 3
PASSING = (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable)


def lock_name(name: str) -> None:
    """Hold a name until the transaction ends; who asks for the same one waits. For rows that may
    not exist yet, which cannot be locked themselves."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def in_transaction(effect: Callable[[], T]) -> T:
    """`effect` in one transaction, up to three times after a deadlock or lock timeout. Nothing may
    leave the process inside it. Within an outer transaction it is a savepoint, tried once."""
    for tried in range(1, TRIES + 1):
        try:
            with transaction.atomic():
                return effect()
        except OperationalError as error:
            if connection.in_atomic_block or not isinstance(error.__cause__, PASSING):
                raise
            if tried == TRIES:
                raise Unavailable from error
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  # a pause, not a secret
    raise AssertionError("unreachable")
