"""`manage.py restore`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from storeplatform.kernel import backups


class Command(BaseCommand):
    help = (
        "Put the database and the uploaded files back as a backup has them. Stop the server and"
        " the workers first. The database changes in one transaction: a restore that fails leaves"
        " it as it was; files that are replaced stay beside the new ones. Afterwards run"
        " `manage.py migrate` and `manage.py doctor`."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder that `manage.py backup` made")
        parser.add_argument(
            "--replace",
            metavar="DATABASE",
            default="",
            help="the database's name: agree that everything in it is replaced; an empty database"
            " needs no word",
        )
        parser.add_argument(
            "--other-secrets",
            action="store_true",
            help="restore although secrets differ: keys, tokens and sealed fields that hang on"
            " them do not work afterwards",
        )

    def handle(self, *_: Any, folder: Path, replace: str, other_secrets: bool, **__: Any) -> None:
        try:
            manifest = backups.read_manifest(folder)
            self.refuse(manifest, replace=replace, other_secrets=other_secrets)
            backups.restore(folder, manifest)
        except backups.BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"Restored what was backed up at {manifest['made']}."
            " Now: manage.py migrate, manage.py doctor, then start the server."
        )

    def refuse(self, manifest: dict[str, Any], *, replace: str, other_secrets: bool) -> None:
        """What must be settled before anything is touched."""
        if unknown := backups.unknown_migrations(manifest):
            raise CommandError(
                f"The backup is of a later release (it has {unknown[0]}): install that one first."
            )
        if (changed := backups.changed_secrets(manifest)) and not other_secrets:
            raise CommandError(
                f"The backup was made under other secrets: {', '.join(changed)}. Set those of"
                " that time, as 2:new,1:old, or accept the loss with --other-secrets."
            )
        name = settings.DATABASES["default"]["NAME"]
        if (tables := backups.table_count()) and replace != name:
            raise CommandError(
                f"The database {name} has {tables} tables. To replace everything in it:"
                f" --replace {name}"
            )
        if others := backups.other_connections():
            raise CommandError(
                f"{others} other connections use the database {name}."
                " Stop the server and the workers first."
            )
