"""`manage.py create_store`."""

import json
import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from store_modules.stores.models import Industry
from store_modules.stores.opening import open_store
from store_modules.stores.serializers import Registration, StoreSettingsSerializer
from storeplatform.kernel.commands import refusals_told
from storeplatform.kernel.tenancy import StoreFacts


class Command(BaseCommand):
    help = (
        "Open a store: its settings and its owner. It prints the store's id, the owner's sign-in"
        " and, for a new person, a password, once. Then `manage.py issue_key` makes a key for the"
        " store's website."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help='what the store is called, such as "Baghdad Books"')
        parser.add_argument(
            "--owner",
            required=True,
            metavar="EMAIL",
            help="the owner's e-mail address; somebody who is known already gets a further store",
        )
        parser.add_argument("--owner-name", default="", help="the owner's name (the address)")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read a new owner's password from the first line of standard input",
        )
        parser.add_argument("--currency", default="IQD", help="ISO 4217 code (IQD); stays for good")
        parser.add_argument("--country", default="IQ", help="ISO 3166-1 code (IQ)")
        parser.add_argument("--timezone", default="Asia/Baghdad", help="IANA name (Asia/Baghdad)")
        parser.add_argument(
            "--industry", default="general", choices=Industry.values, help="what it sells (general)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object, for scripts"
        )

    def handle(self, *_: Any, **given: Any) -> None:
        password = (
            sys.stdin.readline().rstrip("\n")
            if given["password_stdin"]
            else secrets.token_urlsafe(12)
        )
        with refusals_told():
            person = Registration.read(
                {
                    "email": given["owner"],
                    "password": password,
                    "fullName": given["owner_name"] or given["owner"],
                    "storeName": given["name"],
                },
                StoreFacts(id=None),  # type: ignore[arg-type]  # there is none yet
            )
            store, owner, is_new = open_store(
                person["store_name"],
                email=person["email"],
                full_name=person["full_name"],
                password=password,
                trade=self.trade(given),
            )
        made = {"storeId": str(store.pk), "name": store.name, "login": owner.email}
        if is_new and not given["password_stdin"]:
            made["password"] = password
        if given["json"]:
            self.stdout.write(json.dumps(made))
            return
        for label, value in made.items():
            self.stdout.write(f"{label:<9} {value}")
        if not is_new:
            self.stdout.write("The owner was known already and keeps the password.")

    def trade(self, given: dict[str, Any]) -> dict[str, Any]:
        serializer = StoreSettingsSerializer(
            data={
                "currencyCode": given["currency"],
                "timezone": given["timezone"],
                "industry": given["industry"],
                "countryCode": given["country"],
            },
            context={
                "store": StoreFacts(
                    id=None,  # type: ignore[arg-type]  # there is none yet
                    currency_code=given["currency"].upper(),
                    country_code=given["country"].upper(),
                )
            },
        )
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values
