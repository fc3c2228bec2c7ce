"""Import how a delivery company calls the areas."""

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from store_modules.delivery.models import CourierAreaMap, DeliveryCompany
from store_modules.geography.models import Area


class Command(BaseCommand):
    help = "Import a company's names of areas from a CSV: areaId, externalProvince, externalArea."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--company", required=True, help="slug, such as boxy")

    @transaction.atomic
    def handle(self, *_: Any, file: Path, company: str, **__: Any) -> None:
        found = DeliveryCompany.objects.filter(slug=company).first()
        if found is None:
            raise CommandError(f"There is no delivery company {company}.")
        if not file.exists():
            raise CommandError(f"There is no file {file}.")
        known = {str(pk) for pk in Area.objects.values_list("pk", flat=True)}
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
        wanted = ("areaId", "externalProvince", "externalArea")
        for number, row in enumerate(rows, start=2):
            if any(not (row.get(name) or "").strip() for name in wanted):
                raise CommandError(f"Line {number}: {', '.join(wanted)} are needed.")
            if row["areaId"].strip().lower() not in known:
                raise CommandError(f"Line {number}: there is no area {row['areaId']}.")
        for row in rows:
            CourierAreaMap.objects.update_or_create(
                company=found,
                area_id=row["areaId"].strip().lower(),
                defaults={
                    "external_province": row["externalProvince"].strip(),
                    "external_area": row["externalArea"].strip(),
                },
            )
        self.stdout.write(f"{len(rows)} areas of {found.name}")
