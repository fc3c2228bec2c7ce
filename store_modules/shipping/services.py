"""Package sizes and their one default; shipping rules and what they overlap with."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.geography.models import Area
from store_modules.geography.services import find_province
from store_modules.shipping.choosing import Box, Rule
from store_modules.shipping.models import CONDITIONS, PackageSize, ShippingRule
from store_modules.stores.trading import lock_store
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.ports import Port
from storeplatform.kernel.serializers import camel
from storeplatform.kernel.tenancy import Actor

# Do open orders go in this package? Orders answer.
package_in_use: Port[[UUID], bool] = Port("package_in_use")
# Has the store an account with this delivery company? Deliveries answer.
company_linked: Port[[UUID, UUID], bool] = Port("company_linked")
RANGES = (("min_weight_grams", "max_weight_grams"), ("min_order_value", "max_order_value"))


def check_company(store_id: UUID, company_id: UUID | None) -> None:
    """A delivery company that is named must be linked to the store."""
    if company_id is not None and not any(company_linked(store_id, company_id)):
        message = "There is no such delivery company."
        raise refuse("deliveryCompanyId", "not_found", message)


@transaction.atomic
def save_package(package: PackageSize, values: dict[str, Any]) -> PackageSize:
    """Create or change; the first is the default, and a new default clears the former. The
    store is locked before the row."""
    lock_store(package.store_id)
    others = PackageSize.objects.live().filter(store_id=package.store_id).exclude(pk=package.pk)
    created = package._state.adding
    is_default = values.get("is_default", package.is_default)
    if is_default and not values.get("is_active", package.is_active):
        raise Conflict("default_required", "The default size stays active; make another one it.")
    if values.get("is_default"):
        others.filter(is_default=True).update(is_default=False)
    elif package.is_default and "is_default" in values:
        raise Conflict("default_required", "Make another size the default instead.")
    elif not others.filter(is_default=True).exists():
        values = {**values, "is_default": True}
    for name, value in values.items():
        setattr(package, name, value)
    if not created:
        package.version += 1
    package.save()
    return package


@transaction.atomic
def delete_package(package: PackageSize) -> None:
    """Soft, for orders that go in it. The default goes last. The store is locked before."""
    lock_store(package.store_id)
    others = PackageSize.objects.live().of(package.store_id).exclude(pk=package.pk)
    if package.is_default and others.exists():
        raise Conflict("default_required", "Make another size the default first.")
    if ShippingRule.objects.of(package.store_id).filter(package_size=package).exists():
        raise Conflict("package_size_in_use", "A shipping rule names it.")
    if not any(package_in_use(package.pk)):
        package.delete()
        return
    package.deleted_at, package.is_default = timezone.now(), False
    package.version += 1
    package.save()


@transaction.atomic
def save_rule(actor: Actor, rule: ShippingRule, values: dict[str, Any]) -> ShippingRule:
    """Create or change; an area brings its province along."""
    check_company(rule.store_id, values.get("delivery_company_id"))
    place: dict[str, Any] = {}
    for name in ("province_code", "area_id"):
        if name in values:
            place[name] = values.pop(name)
    if place:
        set_place(actor, rule, place)
    for name, value in values.items():
        setattr(rule, name, value)
    for least, most in RANGES:
        low, high = getattr(rule, least), getattr(rule, most)
        if low is not None and high is not None and low >= high:
            raise refuse(camel(most), "invalid", "It must lie above the lower end.")
    shortest, longest = rule.estimated_days_min, rule.estimated_days_max
    if shortest is not None and longest is not None and shortest > longest:
        raise refuse("estimatedDaysMax", "invalid", "Not below the shortest time.")
    if not rule._state.adding:
        rule.version += 1
    rule.save()
    return rule


def set_place(actor: Actor, rule: ShippingRule, place: dict[str, Any]) -> None:
    """An area stands for its province, so a province alone drops an area outside it."""
    code, area_id = place.get("province_code"), place.get("area_id")
    if code:
        rule.province = find_province(actor.store.country_code, code)
    elif "province_code" in place:
        rule.province = None
    if area_id:
        area = Area.objects.select_related("province").filter(pk=area_id, is_active=True).first()
        if area is None:
            raise refuse("areaId", "not_found", "There is no such area.")
        if code and area.province_id != rule.province_id:
            raise refuse("areaId", "area_not_in_province", "The area lies in another province.")
        rule.area, rule.province = area, area.province
    elif "area_id" in place or (rule.area and rule.area.province_id != rule.province_id):
        rule.area = None


def overlapping(rule: ShippingRule) -> list[ShippingRule]:
    """Other active rules that some parcel could meet together with this one."""
    others = ShippingRule.objects.of(rule.store_id).filter(is_active=True).exclude(pk=rule.pk)
    return [other for other in others[:1000] if meets(rule, other)] if rule.is_active else []


def meets(one: ShippingRule, other: ShippingRule) -> bool:
    ranges = {name for pair in RANGES for name in pair}
    for name in CONDITIONS:
        a, b = getattr(one, name), getattr(other, name)
        if name not in ranges and a is not None and b is not None and a != b:
            return False
    for least, most in RANGES:
        for first, second in ((one, other), (other, one)):
            low, high = getattr(first, least), getattr(second, most)
            if low is not None and high is not None and low >= high:
                return False
    return True


def as_rule(row: ShippingRule) -> Rule:
    """The row as the pure function reads it."""
    return Rule(
        id=row.pk,
        name=row.name,
        created_at=row.created_at,
        province_code=row.province_id,
        area_id=row.area_id,
        min_weight=row.min_weight_grams,
        max_weight=row.max_weight_grams,
        min_value=row.min_order_value,
        max_value=row.max_order_value,
        company_id=row.delivery_company_id,
        mode=row.delivery_mode,
        package_id=row.package_size_id,
        base_fee=row.base_fee,
        included_weight=row.included_weight_grams,
        fee_per_extra_kg=row.fee_per_extra_kg,
        free_above=row.free_above_order_value,
        days_min=row.estimated_days_min,
        days_max=row.estimated_days_max,
        priority=row.priority,
    )


def rules_for(store_id: UUID) -> list[Rule]:
    """The store's active rules."""
    rows = ShippingRule.objects.of(store_id).filter(is_active=True).order_by("created_at")
    return [as_rule(row) for row in rows]


def box_for(store_id: UUID, package_id: UUID | None, *, kept: bool = False) -> Box | None:
    """The named package size, else the store's default; Refusal for an unknown one. One that an
    order has already is `kept`, whatever became of it."""
    live = PackageSize.objects.live().of(store_id).filter(is_active=True)
    if kept:
        live = PackageSize.objects.of(store_id)
    row = live.filter(pk=package_id).first() if package_id else live.filter(is_default=True).first()
    if row is None:
        if package_id:
            raise refuse("packageSizeId", "not_found", "There is no such package size.")
        return None
    return as_box(row)


def as_box(row: PackageSize) -> Box:
    return Box(row.pk, row.length_cm, row.width_cm, row.height_cm, row.extra_fee)
