"""Writing provinces and areas: the shipped seed, the data packages, an operator's own list."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.db import transaction

from store_modules.geography.models import Area, Province, area_id
from store_modules.geography.packages import AreaRow, ProvinceRow, areas_of, provinces_of
from storeplatform.kernel.text import clean, fold

SEED = Path(__file__).parent / "seed"


def seed_rows(country_code: str) -> tuple[list[ProvinceRow], list[AreaRow]] | None:
    """The country's shipped rows, or None when there are none."""
    provinces = SEED / f"{country_code.lower()}_provinces.csv"
    areas = SEED / f"{country_code.lower()}_areas.csv"
    if not provinces.exists():
        return None
    return (
        [
            ProvinceRow(
                code=row["code"],
                name=row["name_en"],
                names=names_of(row),
                type=row["type"],
                parent_code=row["parentCode"],
                is_iso=row["isIso"] == "1",
            )
            for row in read(provinces)
        ],
        [
            AreaRow(
                source_key=row["sourceKey"],
                province_code=row["provinceCode"],
                kind=row["kind"],
                name=row["name_en"],
                names=names_of(row),
                lat=row["lat"],
                lng=row["lng"],
            )
            for row in read(areas)
        ],
    )


def read(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines)


def names_of(row: dict[str, str]) -> dict[str, str]:
    return {
        language: row[f"name_{language}"]
        for language in ("en", "ar", "ku")
        if row.get(f"name_{language}")
    }


def load_country(country_code: str) -> tuple[int, int]:
    """Write a country's provinces and areas; returns how many. Repeating it changes nothing."""
    seed = seed_rows(country_code)
    provinces = seed[0] if seed else provinces_of(country_code)
    groups = {row.parent_code for row in provinces if row.parent_code}
    leaves = {row.code for row in provinces} - groups
    areas = seed[1] if seed else list(areas_of(country_code, leaves))
    with transaction.atomic():
        write_provinces(country_code, provinces, groups)
        written = write_areas(areas)
        written += write_province_wide(leaves)
    return len(provinces), written


def write_provinces(country_code: str, rows: list[ProvinceRow], groups: set[str]) -> None:
    parents_first = sorted(rows, key=lambda row: row.code not in groups)
    Province.objects.bulk_create(
        [
            Province(
                code=row.code,
                country_code=country_code,
                name=row.name,
                names={"en": row.name} | row.names,
                type=row.type,
                parent_id=row.parent_code or None,
                is_group=row.code in groups,
                is_iso=row.is_iso,
            )
            for row in parents_first
        ],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["name", "names", "type", "parent", "is_group", "is_iso"],
    )


def write_areas(rows: Iterable[AreaRow]) -> int:
    """Twins of one name, kind and province are written once."""
    made: dict[tuple[str, str, str], Area] = {}
    for row in rows:
        area = Area(
            id=area_id(row.source_key),
            province_id=row.province_code,
            name=row.name,
            names=row.names,
            kind=row.kind,
            lat=Decimal(row.lat) if row.lat else None,
            lng=Decimal(row.lng) if row.lng else None,
            source=Area.Source.GEONAMES,
            source_key=row.source_key,
        )
        area.derive()
        made.setdefault((area.province_id, area.kind, area.folded_name), area)
    upsert_areas(made.values())
    return len(made)


def upsert_areas(areas: Iterable[Area]) -> None:
    Area.objects.bulk_create(
        areas,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name", "names", "folded_name", "aliases", "aliases_text", "lat", "lng"],
    )


def write_province_wide(leaves: set[str]) -> int:
    """One area for each selectable province that has none, so that an address can name one."""
    empty = Province.objects.filter(code__in=leaves, areas=None)
    areas = []
    for province in empty:
        key = f"province:{province.code}"
        area = Area(
            id=area_id(key),
            province=province,
            name=province.name,
            names=province.names,
            kind=Area.Kind.PROVINCE_WIDE,
            source=Area.Source.SYNTHETIC,
            source_key=key,
        )
        area.derive()
        areas.append(area)
    Area.objects.bulk_create(areas)
    return len(areas)


class Rejected(Exception):
    """A line of an operator's file, and why it is refused."""


def import_areas(
    file: Path, country_code: str, *, deactivate_missing: bool, dry_run: bool, skip_bad: bool
) -> tuple[Counter[str], list[str]]:
    """An operator's own areas (domain.md, section 1). Returns counts and the rejected lines.
    With a rejected line nothing is written, unless `skip_bad`."""
    counts: Counter[str] = Counter()
    rejected: list[str] = []
    seen: set[Any] = set()
    with transaction.atomic():
        for line, row in enumerate(read(file), start=2):
            try:
                area = area_from(row, country_code)
                if area.pk in seen:
                    raise Rejected(f"externalKey {row['externalKey']} stands twice")
                seen.add(area.pk)
                counts[store_area(area)] += 1
            except Rejected as reason:
                rejected.append(f"line {line}: {reason}")
        counts["rejected"] = len(rejected)
        if deactivate_missing:
            gone = Area.objects.filter(
                source=Area.Source.OPERATOR, province__country_code=country_code, is_active=True
            ).exclude(pk__in=seen)
            counts["deactivated"] = gone.update(is_active=False)
        if dry_run or (rejected and not skip_bad):
            transaction.set_rollback(True)
    return counts, rejected


def area_from(row: dict[str, str], country_code: str) -> Area:
    missing = [name for name in ("provinceCode", "externalKey", "name_en") if not row.get(name)]
    if missing:
        raise Rejected(f"{', '.join(missing)} is missing")
    code = row["provinceCode"].strip().upper()
    province = Province.objects.filter(
        pk=code if "-" in code else f"{country_code}-{code}", country_code=country_code
    ).first()
    if province is None or province.is_group:
        raise Rejected(f"there is no province {row['provinceCode']} to put it in")
    kind = (row.get("kind") or "neighbourhood").strip().lower()
    if kind not in Area.Kind.values:
        raise Rejected(f"kind {kind} is none of {', '.join(Area.Kind.values)}")
    try:
        name = clean(row["name_en"])
        lat, lng = (Decimal(row[axis]) if row.get(axis) else None for axis in ("lat", "lng"))
    except (ValueError, InvalidOperation) as error:
        raise Rejected(str(error) or "lat and lng are decimal numbers") from None
    if not (lat is None or -90 <= lat <= 90) or not (lng is None or -180 <= lng <= 180):
        raise Rejected("lat and lng are degrees")
    key = f"operator:{country_code}:{row['externalKey'].strip()}"
    area = Area(
        id=area_id(key),
        province=province,
        name=name,
        names=names_of(row),
        kind=kind,
        lat=lat,
        lng=lng,
        source=Area.Source.OPERATOR,
        source_key=key,
        aliases=[alias.strip() for alias in (row.get("aliases") or "").split("|") if alias.strip()],
        is_active=(row.get("active") or "1").strip().lower() not in ("0", "false", "no"),
    )
    area.derive()
    return area


def store_area(area: Area) -> str:
    """created, updated or unchanged. Raises Rejected when the name is taken by another area."""
    twin = Area.objects.filter(
        province=area.province, kind=area.kind, folded_name=fold(area.name)
    ).exclude(pk=area.pk)
    if twin.exists():
        raise Rejected(f"{area.province_id} has another {area.kind} named {area.name}")
    present = Area.objects.filter(pk=area.pk).first()
    if present is None:
        area.save(force_insert=True)
        return "created"
    fields = ("province_id", "name", "names", "kind", "lat", "lng", "aliases", "is_active")
    if all(getattr(present, name) == getattr(area, name) for name in fields):
        return "unchanged"
    area.save(force_update=True)
    return "updated"
