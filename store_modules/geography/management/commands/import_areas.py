"""Import an operator's own areas from CSV."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from store_modules.geography.loading import import_areas


class Command(BaseCommand):
    help = (
        "Import areas from a CSV with the columns provinceCode, externalKey, name_en, name_ar,"
        " name_ku, kind, lat, lng, parentName, aliases (separated by |), active."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--country", required=True, help="ISO code, such as IQ")
        parser.add_argument("--deactivate-missing", action="store_true")
        parser.add_argument("--dry-run", action="store_true", help="report, write nothing")
        parser.add_argument("--skip-bad", action="store_true", help="write the good lines")

    def handle(self, *_: Any, file: Path, country: str, **options: Any) -> None:
        if not file.exists():
            raise CommandError(f"There is no file {file}.")
        counts, rejected = import_areas(
            file,
            country.upper(),
            deactivate_missing=options["deactivate_missing"],
            dry_run=options["dry_run"],
            skip_bad=options["skip_bad"],
        )
        for line in rejected:
            self.stderr.write(line)
        words = ("created", "updated", "unchanged", "deactivated", "rejected")
        self.stdout.write(", ".join(f"{counts[word]} {word}" for word in words))
        if rejected and not options["skip_bad"]:
            raise CommandError("Nothing was written; mend the lines or use --skip-bad.")
