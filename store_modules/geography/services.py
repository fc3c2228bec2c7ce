"""Finding the place that an address names."""

from uuid import UUID

from store_modules.geography.models import Area, Province
from storeplatform.kernel.errors import Refusal, refuse
from storeplatform.kernel.text import fold


def find_address(country_code: str, province_code: str, area_id: UUID) -> Area:
    """The area with its province, by codes as people send them (domain.md, section 1): any letter
    case, and the part behind the hyphen alone in the store's own country. One query."""
    code = province_code.strip().upper()
    if "-" not in code:
        code = f"{country_code}-{code}"
    area = Area.objects.select_related("province").filter(pk=area_id).first()
    if area is None or area.province_id != code:
        raise misplaced(code, area)
    if not area.is_active:
        raise refuse("addressAreaId", "inactive", "This area is not served any more.")
    check_province(area.province)
    found: Area = area
    return found


def find_area(country_code: str, province_code: str, name: str) -> Area:
    """The area of a province that has this name in any language, as the search compares names."""
    province = find_province(country_code, province_code)
    wanted = fold(name.strip())
    likely = Area.objects.filter(province=province, is_active=True, search_text__contains=wanted)
    found: list[Area] = [
        area
        for area in likely
        if wanted in {fold(text) for text in (area.name, *area.names.values(), *area.aliases)}
    ]
    if not found:
        raise refuse("areaName", "not_found", "There is no area of this name in the province.")
    if len(found) > 1:
        message = "Several areas of the province have this name; give addressAreaId."
        raise refuse("areaName", "ambiguous", message)
    return found[0]


def find_province(country_code: str, province_code: str) -> Province:
    """A province by its code, in the spellings of `find_address`."""
    code = province_code.strip().upper()
    full = code if "-" in code else f"{country_code}-{code}"
    province = Province.objects.filter(pk=full, is_active=True, is_group=False).first()
    if province is None:
        raise refuse("provinceCode", "not_found", "There is no such province.")
    found: Province = province
    return found


def check_province(province: Province) -> None:
    if province.is_group:
        raise refuse("addressProvinceCode", "not_found", "Name one of this group's provinces.")
    if not province.is_active:
        raise refuse("addressProvinceCode", "inactive", "This province is not served any more.")


def misplaced(code: str, area: Area | None) -> Refusal:
    """Why code and area do not meet; asked only when they do not."""
    province = Province.objects.filter(pk=code).first()
    if province is None:
        return refuse("addressProvinceCode", "not_found", "There is no such province.")
    try:
        check_province(province)
    except Refusal as refusal:
        return refusal
    if area is None:
        return refuse("addressAreaId", "not_found", "There is no such area.")
    return refuse("addressAreaId", "area_not_in_province", "The area lies in another province.")
