"""Which delivery fee applies, and why (domain.md, section 9). Pure: values in, values out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from storeplatform.kernel.money import round_money

ZERO = Decimal(0)
VOLUME_DIVISOR = 5  # cubic centimetres a gram
GRAMS = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Rule:
    """A shipping rule's conditions and price; None is any."""

    id: UUID
    name: str
    created_at: datetime
    province_code: str | None = None
    area_id: UUID | None = None
    min_weight: int | None = None
    max_weight: int | None = None
    min_value: Decimal | None = None
    max_value: Decimal | None = None
    company_id: UUID | None = None
    mode: str | None = None
    package_id: UUID | None = None
    base_fee: Decimal = ZERO
    included_weight: int = 0
    fee_per_extra_kg: Decimal = ZERO
    free_above: Decimal | None = None
    days_min: int | None = None
    days_max: int | None = None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class Box:
    """A package size, in centimetres."""

    id: UUID
    length: Decimal | None
    width: Decimal | None
    height: Decimal | None
    extra_fee: Decimal

    @property
    def volumetric_grams(self) -> int:
        if self.length is None or self.width is None or self.height is None:
            return 0
        volume = self.length * self.width * self.height
        return int((volume / VOLUME_DIVISOR).to_integral_value(ROUND_HALF_UP))


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be delivered: its place, weight in grams, and net value."""

    province_code: str
    area_id: UUID
    weight: int
    value: Decimal
    mode: str = "standard"
    company_id: UUID | None = None
    box: Box | None = None

    @property
    def chargeable(self) -> int:
        return max(self.weight, self.box.volumetric_grams if self.box else 0)

    @property
    def package_id(self) -> UUID | None:
        return self.box.id if self.box else None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: how specific it makes the rule, whether the rule has it, whether
    a parcel meets it."""

    name: str
    points: int
    stands: Callable[[Rule], bool]
    holds: Callable[[Rule, Parcel], bool]


def within(least: Any, value: Any, most: Any) -> bool:
    """Half-open: [least, most)."""
    return (least is None or value >= least) and (most is None or value < most)


CONDITIONS = (
    Condition("areaId", 100, lambda r: r.area_id is not None, lambda r, p: r.area_id == p.area_id),
    Condition(
        "provinceCode",
        50,
        lambda r: r.province_code is not None,
        lambda r, p: r.province_code == p.province_code,
    ),
    Condition(
        "deliveryCompanyId",
        20,
        lambda r: r.company_id is not None,
        lambda r, p: r.company_id == p.company_id,
    ),
    Condition(
        "packageSizeId",
        10,
        lambda r: r.package_id is not None,
        lambda r, p: r.package_id == p.package_id,
    ),
    Condition("deliveryMode", 5, lambda r: r.mode is not None, lambda r, p: r.mode == p.mode),
    Condition(
        "weight",
        2,
        lambda r: (r.min_weight, r.max_weight) != (None, None),
        lambda r, p: within(r.min_weight, p.chargeable, r.max_weight),
    ),
    Condition(
        "orderValue",
        1,
        lambda r: (r.min_value, r.max_value) != (None, None),
        lambda r, p: within(r.min_value, p.value, r.max_value),
    ),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The rule that applies and its fee without the package's extra; the others with what they
    failed on."""

    rule: Rule | None
    fee: Decimal
    matched: Sequence[Rule]
    rejected: Sequence[tuple[Rule, str]]


def specificity(rule: Rule) -> int:
    return sum(condition.points for condition in CONDITIONS if condition.stands(rule))


def failing(rule: Rule, parcel: Parcel) -> str | None:
    """The first condition of the rule that the parcel does not meet."""
    for condition in CONDITIONS:
        if condition.stands(rule) and not condition.holds(rule, parcel):
            return condition.name
    return None


def fee_of(rule: Rule, parcel: Parcel, currency: str) -> Decimal:
    if rule.free_above is not None and parcel.value >= rule.free_above:
        return ZERO
    over = Decimal(max(0, parcel.chargeable - rule.included_weight))
    kilos = (over / GRAMS).to_integral_value(ROUND_CEILING)
    return round_money(rule.base_fee + rule.fee_per_extra_kg * kilos, currency)


def choose(rules: Iterable[Rule], parcel: Parcel, currency: str) -> Choice:
    """The most specific rule whose conditions all hold; then the lowest priority, the oldest."""
    matched, rejected = [], []
    for rule in rules:
        fault = failing(rule, parcel)
        if fault is None:
            matched.append(rule)
        else:
            rejected.append((rule, fault))
    matched.sort(key=lambda rule: (-specificity(rule), rule.priority, rule.created_at, rule.id))
    best = matched[0] if matched else None
    fee = fee_of(best, parcel, currency) if best else ZERO
    return Choice(best, fee, matched, rejected)
