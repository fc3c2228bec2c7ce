"""A way back in for somebody whose mail cannot be reached."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from store_modules.stores.models import User
from store_modules.stores.people import new_reset


class Command(BaseCommand):
    help = "Print a link, good once and for 30 minutes, to set a new password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("login", help="e-mail address, or phone as +9647701234567")

    def handle(self, *_: Any, login: str, **__: Any) -> None:
        user = User.objects.filter(Q(email=login.lower()) | Q(phone=login)).first()
        if user is None:
            raise CommandError(f"There is nobody with the login {login}.")
        token = new_reset(user)[0]
        self.stdout.write(f"{settings.PUBLIC_ORIGIN}/reset-password?token={token}")
