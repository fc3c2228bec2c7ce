"""`manage.py backup`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from storeplatform.kernel import backups


class Command(BaseCommand):
    help = (
        "Back up the database and the uploaded files into a new folder, while the server runs."
        " It prints the folder. Secrets are not in it: keep the environment's secrets elsewhere,"
        " because without API_KEY_PEPPER and FIELD_KEY a backup is worth little."
        " `manage.py restore FOLDER` is the way back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--to",
            type=Path,
            default=settings.STATE_DIR / "backups",
            metavar="FOLDER",
            help="where the new folder is made (STATE_DIR/backups)",
        )
        parser.add_argument(
            "--without-files",
            action="store_true",
            help="the database only; for uploads that are backed up by other means",
        )

    def handle(self, *_: Any, to: Path, without_files: bool, **__: Any) -> None:
        try:
            folder = backups.make(to.resolve(), media=not without_files)
        except backups.BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(str(folder))
