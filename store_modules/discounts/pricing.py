"""What discounts take off an order (domain.md, section 8). Pure: values in, values out.

Four steps, each on what the former left: line rules, order rules, the one code, delivery.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from storeplatform.kernel.money import allocate, round_money

ZERO = Decimal(0)
MERCHANDISE = ("products", "categories")


@dataclass(frozen=True, slots=True)
class Offer:
    """A rule, or a code when it has one. Percentages are 0 to 100, amounts the store's money."""

    id: UUID
    name: str
    type: str
    value: Decimal | None
    scope: str = "order"
    scope_ids: frozenset[UUID] = frozenset()
    min_order_value: Decimal | None = None
    min_quantity: int | None = None
    max_discount: Decimal | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    is_active: bool = True
    channels: frozenset[str] = frozenset()
    eligibility: str = "everyone"
    customer_tag: str | None = None
    usage_limit: int | None = None
    usage_limit_per_customer: int | None = None
    used_count: int = 0
    used_by_customer: int = 0
    priority: int = 100
    stackable: bool = False
    combines_with_codes: bool = True
    code: str | None = None

    @property
    def is_for_delivery(self) -> bool:
        return self.type == "free_shipping" or self.scope == "shipping"

    @property
    def is_for_lines(self) -> bool:
        return not self.is_for_delivery and self.scope in MERCHANDISE

    @property
    def is_for_order(self) -> bool:
        return not (self.is_for_delivery or self.is_for_lines)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as discounts see it: its product, the categories above it, what is left to pay."""

    subtotal: Decimal
    quantity: int
    product_id: UUID | None = None
    category_ids: frozenset[UUID] = frozenset()
    own_discount: Decimal = ZERO

    def is_in(self, offer: Offer) -> bool:
        if offer.scope == "products":
            return self.product_id in offer.scope_ids
        if offer.scope == "categories":
            return not self.category_ids.isdisjoint(offer.scope_ids)
        return True


@dataclass(frozen=True, slots=True)
class Customer:
    """Who buys, as far as discounts care. One whom the store does not know yet is new and without
    tags; of an anonymous one nobody can tell whether it is the first order."""

    orders_count: int = 0
    tags: frozenset[str] = frozenset()
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Applied:
    """A discount that was taken, kept on the order."""

    offer: Offer
    amount: Decimal

    def as_json(self, amount: str) -> dict[str, Any]:
        return {
            "source": "code" if self.offer.code else "rule",
            "id": str(self.offer.id),
            "code": self.offer.code,
            "name": self.offer.name,
            "amount": amount,
            "scope": "shipping" if self.offer.is_for_delivery else self.offer.scope,
        }


@dataclass(frozen=True, slots=True)
class Priced:
    """Each line's discount, everything allocated; the delivery fee and what it costs less; who
    did it."""

    lines: tuple[Decimal, ...]
    fee: Decimal = ZERO
    delivery_discount: Decimal = ZERO
    applied: tuple[Applied, ...] = ()


class CodeRefused(Exception):
    """The code does not apply: one of the reasons of domain.md, or `code_not_combinable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Basket:
    """The lines while discounts are taken off them."""

    lines: Sequence[Line]
    currency: str
    taken: list[Decimal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.taken = [line.own_discount for line in self.lines]

    @property
    def subtotal(self) -> Decimal:
        return sum((line.subtotal for line in self.lines), ZERO)

    def left(self, place: int) -> Decimal:
        return self.lines[place].subtotal - self.taken[place]

    def places_of(self, offer: Offer) -> list[int]:
        return [place for place, line in enumerate(self.lines) if line.is_in(offer)]

    def quantity_of(self, offer: Offer) -> int:
        return sum(self.lines[place].quantity for place in self.places_of(offer))

    def take(self, offer: Offer, places: Sequence[int], cap: Decimal | None = None) -> Decimal:
        """Take the offer off what is left of these lines; returns how much that was."""
        lefts = [self.left(place) for place in places]
        amount = worth(offer, sum(lefts, ZERO), self.currency, cap)
        if amount:
            for place, share in zip(places, allocate(amount, lefts, self.currency), strict=True):
                self.taken[place] += share
        return amount

    def copy(self) -> "Basket":
        twin = Basket(self.lines, self.currency)
        twin.taken = list(self.taken)
        return twin


def worth(offer: Offer, base: Decimal, currency: str, cap: Decimal | None = None) -> Decimal:
    """What an offer takes off `base`: rounded, within its cap and the base, never negative."""
    if offer.type == "free_shipping":
        amount = base
    elif offer.type == "percentage":
        amount = round_money(base * (offer.value or ZERO) / 100, currency)
    else:
        amount = round_money(offer.value or ZERO, currency)
    for limit in (offer.max_discount if cap is None else cap, base):
        if limit is not None:
            amount = min(amount, limit)
    return max(amount, ZERO)


def refusal_of(
    offer: Offer,
    *,
    now: datetime,
    subtotal: Decimal,
    quantity: int | None,
    customer: Customer,
    channel: str | None,
) -> str | None:
    """Why an offer does not hold; None when it does. `quantity` is None where it is unknown."""
    if not offer.is_active:
        return "inactive"
    if offer.starts_at is not None and now < offer.starts_at:
        return "not_started"
    if offer.expires_at is not None and now >= offer.expires_at:
        return "expired"
    if offer.usage_limit is not None and offer.used_count >= offer.usage_limit:
        return "usage_limit_reached"
    per_customer = offer.usage_limit_per_customer
    if per_customer is not None and offer.used_by_customer >= per_customer:
        return "customer_limit_reached"
    if offer.min_order_value is not None and subtotal < offer.min_order_value:
        return "min_order_value_not_met"
    if quantity is not None and quantity < (offer.min_quantity or 0):
        return "not_eligible"
    if channel is not None and offer.channels and channel not in offer.channels:
        return "not_eligible"
    if offer.eligibility == "first_order" and (customer.orders_count or customer.is_anonymous):
        return "not_eligible"
    if offer.eligibility == "tag" and offer.customer_tag not in customer.tags:
        return "not_eligible"
    return None


def price(
    lines: Sequence[Line],
    rules: Iterable[Offer],
    code: Offer | None,
    *,
    fee: Callable[[Decimal], Decimal],
    currency: str,
    now: datetime,
    customer: Customer,
    channel: str,
) -> Priced:
    """Apply rules and a code to an order; `fee` is what delivering goods of a net value costs.
    Raises CodeRefused with the reason."""
    basket = Basket(lines, currency)

    def holds(offer: Offer) -> str | None:
        return refusal_of(
            offer,
            now=now,
            subtotal=basket.subtotal,
            quantity=basket.quantity_of(offer),
            customer=customer,
            channel=channel,
        )

    valid = sorted(
        (rule for rule in rules if holds(rule) is None),
        key=lambda rule: (rule.priority, rule.id),
    )
    applied = apply_line_rules(basket, [rule for rule in valid if rule.is_for_lines])
    applied += apply_order_rules(
        basket, [rule for rule in valid if not (rule.is_for_lines or rule.is_for_delivery)]
    )
    on_delivery = [rule for rule in valid if rule.is_for_delivery]
    if code is not None:
        if reason := holds(code):
            raise CodeRefused(reason)
        if not (code.is_for_delivery or basket.places_of(code)):
            raise CodeRefused("not_eligible")
        if any(not one.offer.combines_with_codes for one in applied):
            raise CodeRefused("code_not_combinable")
        if code.is_for_delivery:
            on_delivery = [rule for rule in on_delivery if rule.combines_with_codes]
        else:
            amount = basket.take(code, basket.places_of(code))
            applied.append(Applied(code, amount))
    net = basket.subtotal - sum(basket.taken, ZERO)
    charged = fee(net)
    delivery, by_whom = apply_to_delivery(charged, on_delivery, code, currency)
    if code and not code.is_for_delivery and any(not o.offer.combines_with_codes for o in by_whom):
        raise CodeRefused("code_not_combinable")
    return Priced(tuple(basket.taken), charged, delivery, tuple(applied + by_whom))


def apply_line_rules(basket: Basket, rules: Sequence[Offer]) -> list[Applied]:
    """On each line the best single rule, then all stackable ones by priority. A rule's cap and
    a fixed amount hold for the whole order, not anew for each line."""
    used: dict[UUID, Decimal] = {}
    by_id = {rule.id: rule for rule in rules}

    def cap_of(rule: Offer) -> Decimal | None:
        whole = rule.max_discount
        if rule.type == "fixed_amount":
            value = round_money(rule.value or ZERO, basket.currency)
            whole = value if whole is None else min(whole, value)
        return None if whole is None else whole - used.get(rule.id, ZERO)

    def take(rule: Offer, place: int) -> None:
        amount = basket.take(rule, [place], cap_of(rule))
        if amount:
            used[rule.id] = used.get(rule.id, ZERO) + amount

    for place, line in enumerate(basket.lines):
        here = [rule for rule in rules if line.is_in(rule)]
        single = [rule for rule in here if not rule.stackable]
        if single:
            left = basket.left(place)
            best = max(single, key=lambda rule: worth(rule, left, basket.currency, cap_of(rule)))
            take(best, place)
        for rule in here:
            if rule.stackable:
                take(rule, place)
    return [Applied(by_id[pk], amount) for pk, amount in used.items()]


def apply_order_rules(basket: Basket, rules: Sequence[Offer]) -> list[Applied]:
    """The better for the customer of the best single rule and all stackable ones by priority."""
    everything = list(range(len(basket.lines)))
    stacked = basket.copy()
    stack = [
        Applied(rule, amount)
        for rule in rules
        if rule.stackable and (amount := stacked.take(rule, everything))
    ]
    left = sum((basket.left(place) for place in everything), ZERO)
    single = max(
        (rule for rule in rules if not rule.stackable),
        key=lambda rule: worth(rule, left, basket.currency),
        default=None,
    )
    alone = worth(single, left, basket.currency) if single else ZERO
    if single is not None and alone and alone >= sum((one.amount for one in stack), ZERO):
        basket.take(single, everything)
        return [Applied(single, alone)]
    basket.taken = stacked.taken
    return stack


def apply_to_delivery(
    fee: Decimal, rules: Sequence[Offer], code: Offer | None, currency: str
) -> tuple[Decimal, list[Applied]]:
    """What comes off the delivery fee: rules as for orders, then the code."""
    basket = Basket([Line(fee, 1)], currency)
    applied = apply_order_rules(basket, rules)
    if code is not None and code.is_for_delivery:
        applied.append(Applied(code, basket.take(code, [0])))
    return basket.taken[0], applied
