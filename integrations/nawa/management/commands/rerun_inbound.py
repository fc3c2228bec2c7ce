"""Put provider events that failed back into the queue."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.nawa.models import InboundEvent
from integrations.nawa.webhooks import run_again


class Command(BaseCommand):
    help = "Run dead, unmatched or once unknown provider events again; the worker does them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event_ids", nargs="*", help="the provider's ids; without any: all")
        parser.add_argument("--status", choices=["dead", "unmatched", "ignored"], default="dead")

    def handle(self, *_: Any, event_ids: list[str], status: str, **__: Any) -> None:
        events = InboundEvent.objects.all()
        if event_ids:
            events = events.filter(event_id__in=event_ids)
            known = set(events.values_list("event_id", flat=True))
            if unknown := [one for one in event_ids if one not in known]:
                raise CommandError(f"There is no event {', '.join(unknown)}.")
        else:
            events = events.filter(status=status)
        self.stdout.write(f"{run_again(events)} events wait for the worker.")
