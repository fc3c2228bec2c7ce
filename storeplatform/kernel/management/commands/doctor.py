"""Runs every area's checks of what must always hold; changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from storeplatform.kernel import doctoring

SHOWN = 20


class Command(BaseCommand):
    help = "Verify stock, money and events over the whole database; exits 1 with the faulty ids."

    def handle(self, *_: Any, **__: Any) -> None:
        broken = 0
        for name, ids in doctoring.run():
            broken += len(ids)
            state = "ok" if not ids else f"{len(ids)} broken: {', '.join(ids[:SHOWN])}"
            self.stdout.write(f"{name}: {state}")
        if broken:
            raise CommandError(f"{broken} rows break an invariant.")
