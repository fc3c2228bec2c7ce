"""`manage.py issue_key`."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from integrations.api_keys import services
from integrations.api_keys.scopes import SCOPES
from integrations.api_keys.serializers import DEFAULT_LIFE, NewKey
from store_modules.stores.authentication import store_facts
from store_modules.stores.models import Store
from storeplatform.kernel.commands import refusals_told
from storeplatform.kernel.tenancy import Actor


class Command(BaseCommand):
    help = (
        "Issue an API key for a store's website or program. The key is printed once and cannot be"
        " shown again; it goes into the X-API-Key header of the caller's server, never into a"
        " browser. `manage.py create_store` opens a store; the admin revokes keys."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", help="the store's id, or its whole name")
        parser.add_argument("--name", required=True, help='what uses it, such as "Website"')
        parser.add_argument(
            "--scope",
            action="append",
            choices=SCOPES,
            metavar="SCOPE",
            dest="scopes",
            help="what it may do, once for each; all without it: "
            + "; ".join(f"{scope} ({does})" for scope, does in SCOPES.items()),
        )
        parser.add_argument(
            "--days",
            type=int,
            default=DEFAULT_LIFE.days,
            help=f"how long it lives ({DEFAULT_LIFE.days}); 0 is until it is revoked",
        )
        parser.add_argument(
            "--allow-ip",
            action="append",
            default=[],
            metavar="NETWORK",
            help="an address or CIDR block that may use it, once for each; any without it",
        )

    def handle(
        self, *_: Any, store: str, name: str, scopes: list[str] | None, days: int,
        allow_ip: list[str], **__: Any,
    ) -> None:  # fmt: skip
        facts = store_facts(self.find(store))
        actor = Actor(facts, frozenset(), kind="system", id="", label="command line")
        with refusals_told():
            values = NewKey.read(
                {
                    "name": name,
                    "scopes": scopes or list(SCOPES),
                    "allowedIps": allow_ip,
                    "expiresAt": self.end(days),
                },
                facts,
            )
            key, token = services.issue_key(actor, **values)
        self.stderr.write(f"{key.key_id} for {facts.name}; this is the only time it is shown:")
        self.stdout.write(token.text)

    def find(self, text: str) -> Store:
        stores = Store.objects.select_related("settings")
        try:
            found = list(stores.filter(pk=UUID(text)))
        except ValueError:
            found = list(stores.filter(name=text)[:2])
        if not found:
            raise CommandError(f"There is no store {text}; give its id as create_store printed it.")
        if len(found) > 1:
            raise CommandError(f"Several stores are called {text}; give the store's id.")
        return found[0]

    def end(self, days: int) -> str | None:
        if not days:
            return None
        return (timezone.now() + timedelta(days=days)).isoformat()
