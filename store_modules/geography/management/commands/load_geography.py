"""Load provinces and areas: Iraq from the shipped seed, other countries from the data packages."""

from typing import Any

import pycountry
from django.core.management.base import BaseCommand, CommandError, CommandParser

from store_modules.geography.loading import load_country
from store_modules.geography.packages import PackagesMissing


class Command(BaseCommand):
    help = "Load provinces and areas of countries; repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--countries", default="IQ", help="ISO codes with commas, such as IQ,JO; or all"
        )

    def handle(self, *_: Any, countries: str, **__: Any) -> None:
        codes = [code.strip().upper() for code in countries.split(",") if code.strip()]
        if codes == ["ALL"]:
            codes = sorted(country.alpha_2 for country in pycountry.countries)
        for code in codes:
            if pycountry.countries.get(alpha_2=code) is None:
                raise CommandError(f"{code} is no ISO 3166-1 country code.")
            try:
                provinces, areas = load_country(code)
            except PackagesMissing as error:
                raise CommandError(str(error)) from None
            self.stdout.write(f"{code}: {provinces} provinces, {areas} areas")
