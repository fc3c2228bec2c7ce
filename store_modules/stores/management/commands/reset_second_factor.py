"""A way back to the admin for an operator who lost the phone and the recovery codes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from store_modules.stores.models import User
from storeplatform.kernel import second_factor


class Command(BaseCommand):
    help = (
        "Take an operator's second factor of the admin away, when phone and recovery codes are"
        " lost. The next sign-in needs the password only, and leads to setting a new one up."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the operator's e-mail address")

    def handle(self, *_: Any, email: str, **__: Any) -> None:
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            raise CommandError(f"There is nobody with the address {email}.")
        count = second_factor.remove(user, None, label="command line")
        self.stdout.write("It is gone." if count else "There was none.")
