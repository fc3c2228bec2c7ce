"""Amounts of money: Decimal in the currency's minor units, rounded half-up (domain.md, 0.4)."""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from math import lcm
from typing import Any

from babel.numbers import get_currency_precision
from pycountry import currencies

MAX_AMOUNT = Decimal("99999999999999")
AMOUNT = re.compile(r"-?\d{1,20}(?:\.(\d{1,20}))?")

NO_MONEY = frozenset(
    ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"]
)


class MoneyError(ValueError):
    """Not an amount of this currency: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@cache
def minor_units(currency: str) -> int:
    """Digits after the point, as CLDR has them: IQD 0, USD 2, KWD 3."""
    return int(get_currency_precision(currency)) if currency else 2


@cache
def quantum(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


def is_currency(code: str) -> bool:
    """An active ISO 4217 code of money that people pay with; metals, funds and tests are none."""
    return code not in NO_MONEY and currencies.get(alpha_3=code) is not None


def round_money(amount: Decimal, currency: str) -> Decimal:
    """Half-up, away from zero; never a negative zero."""
    return amount.quantize(quantum(currency), ROUND_HALF_UP) + 0


def round_to_multiple(amount: Decimal, multiple: Decimal) -> Decimal:
    """The nearest multiple, half up; the amount itself when there is none to round to."""
    if not multiple:
        return amount
    return (amount / multiple).quantize(Decimal(1), ROUND_HALF_UP) * multiple


def format_money(amount: Decimal, currency: str) -> str:
    return f"{round_money(amount, currency):f}"


def parse_money(value: Any, currency: str) -> Decimal:
    """An amount from a string or a JSON number. Raises MoneyError."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise MoneyError("invalid", "An amount as a decimal string or number.")
    written = str(value).strip()
    if isinstance(value, Decimal) and "E-" in written:  # as 0.0000001 is spelled
        written = format(value, "f")
    match = AMOUNT.fullmatch(written)
    if match is None or not written.isascii():
        raise MoneyError("invalid", "An amount as a decimal string or number.")
    if len((match[1] or "").rstrip("0") if isinstance(value, Decimal) else match[1] or "") > (
        digits := minor_units(currency)
    ):
        raise MoneyError("too_many_decimals", f"{currency} has {digits} digits after the point.")
    amount = Decimal(written)
    if abs(amount) > MAX_AMOUNT:
        raise MoneyError("max_value", f"At most {MAX_AMOUNT}.")
    return amount.quantize(quantum(currency)) + 0


def allocate(amount: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """`amount`, in minor units, in shares proportional to `weights`: largest remainder first,
    Σ shares = amount. Counted in integers, so exact at any size. Weights are not negative; when
    all are zero nothing is shared out."""
    fractions = [weight.as_integer_ratio() for weight in weights]
    scale = lcm(*(below for _, below in fractions))
    parts = [above * (scale // below) for above, below in fractions]
    whole = sum(parts)
    if not whole:
        return [Decimal(0) for _ in weights]
    unit = quantum(currency)
    units = int(amount / unit)
    shares, remainders = zip(*(divmod(units * part, whole) for part in parts), strict=True)
    by_remainder = sorted(range(len(parts)), key=lambda place: (-remainders[place], place))
    lucky = set(by_remainder[: units - sum(shares)])
    return [(share + (place in lucky)) * unit for place, share in enumerate(shares)]
