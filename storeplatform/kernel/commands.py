"""What commands that call services share: a refusal is one sentence, not a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from storeplatform.kernel.problems import refusal_from


@contextmanager
def refusals_told() -> Iterator[None]:
    """Around a service call: what would be a problem on the wire ends the command."""
    try:
        yield
    except Exception as error:
        refusal = refusal_from(error)
        if refusal is None:
            raise
        faults = "; ".join(
            f"{field}: {' '.join(messages)}" for field, messages in refusal.errors.items()
        )
        raise CommandError(f"{refusal.message} {faults}".strip()) from None
