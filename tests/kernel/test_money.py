"""Amounts of money: domain.md, 0.4."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeplatform.kernel.money import (
    MAX_AMOUNT,
    MoneyError,
    allocate,
    format_money,
    minor_units,
    parse_money,
    quantum,
    round_money,
    round_to_multiple,
)

D = Decimal
currencies = st.sampled_from(["IQD", "USD", "KWD"])
amounts = st.decimals(0, MAX_AMOUNT, places=4)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("25000", "IQD", "25000"),
        ("25", "USD", "25.00"),
        ("25", "KWD", "25.000"),
        ("1E+3", "IQD", "1000"),
        ("0E+3", "USD", "0.00"),
        ("0.5", "IQD", "1"),
        ("-0.5", "IQD", "-1"),
        ("-0.4", "IQD", "0"),
        ("-0.004", "USD", "0.00"),
        ("1.005", "USD", "1.01"),
    ],
)
def test_an_amount_shows_exactly_its_minor_units(amount, currency, shown):
    assert format_money(D(amount), currency) == shown


@given(amounts, currencies)
def test_what_is_shown_is_read_back(amount, currency):
    rounded = min(round_money(amount, currency), MAX_AMOUNT)

    shown = format_money(rounded, currency)

    assert parse_money(shown, currency) == rounded
    assert len(shown.partition(".")[2]) == minor_units(currency)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("25.0", "too_many_decimals"),
        (D("0.1"), "too_many_decimals"),
        (D("0.0000001"), "too_many_decimals"),
        ("100000000000000", "max_value"),
        (10**14, "max_value"),
        (-(10**14), "max_value"),
        (D("1E+3"), "invalid"),
        (D("1E+999999"), "invalid"),
        (D("NaN"), "invalid"),
        (D("sNaN"), "invalid"),
        (D("-Infinity"), "invalid"),
        ("1e3", "invalid"),
        ("+5", "invalid"),
        ("5.", "invalid"),
        (".5", "invalid"),
        ("1,000", "invalid"),
        ("1_000", "invalid"),
        ("0x10", "invalid"),
        ("9" * 5000, "invalid"),
        (25.0, "invalid"),
        (False, "invalid"),
    ],
)
def test_an_amount_of_another_form_is_refused(value, code):
    with pytest.raises(MoneyError) as refused:
        parse_money(value, "IQD")

    assert refused.value.code == code
    assert refused.value.message.endswith(".")


@given(st.text() | st.integers() | st.decimals() | st.floats() | st.none(), currencies)
def test_every_value_is_an_amount_or_refused(value, currency):
    try:
        amount = parse_money(value, currency)
    except MoneyError:
        return

    assert abs(amount) <= MAX_AMOUNT
    assert amount == round_money(amount, currency)


@pytest.mark.parametrize("written", ["-0", "-0.00", D("-0.0")])
def test_no_amount_is_a_negative_zero(written):
    assert str(parse_money(written, "USD")) == "0.00"


@pytest.mark.parametrize(
    ("amount", "weights", "currency", "shares"),
    [
        ("10", ["1", "1", "1"], "IQD", ["4", "3", "3"]),
        ("10", ["1", "1", "1"], "USD", ["3.34", "3.33", "3.33"]),
        ("10", ["1", "1", "1"], "KWD", ["3.334", "3.333", "3.333"]),
        ("100", ["5", "0", "15"], "IQD", ["25", "0", "75"]),
        ("5", ["10", "30", "20"], "IQD", ["1", "2", "2"]),
        ("0", ["1", "2"], "IQD", ["0", "0"]),
        ("7", ["0", "0"], "IQD", ["0", "0"]),
        ("7", [], "IQD", []),
    ],
)
def test_the_largest_remainder_is_served_first(amount, weights, currency, shares):
    assert allocate(D(amount), [D(w) for w in weights], currency) == [D(s) for s in shares]


@given(amounts, st.lists(amounts, min_size=1, max_size=30), currencies)
def test_shares_are_exact_at_any_size(amount, weights, currency):
    amount = min(round_money(amount, currency), MAX_AMOUNT)

    shares = allocate(amount, weights, currency)

    if whole := sum(weights):
        assert sum(shares) == amount
        for share, weight in zip(shares, weights, strict=True):
            exact = amount * weight / whole
            assert abs(share - exact) < quantum(currency) + D("1e-10")
    assert all(share >= 0 for share in shares)


@given(st.data(), st.lists(st.decimals(0, 10**9, places=3), min_size=1, max_size=30))
def test_no_share_is_larger_than_what_it_is_taken_from(data, weights):
    amount = data.draw(st.decimals(0, sum(weights), places=3))

    shares = allocate(amount, weights, "KWD")

    assert all(share <= weight for share, weight in zip(shares, weights, strict=True))


@pytest.mark.parametrize(
    ("amount", "multiple", "rounded"),
    [
        ("10124", "250", "10000"),
        ("10125", "250", "10250"),
        ("1.02", "0.05", "1.00"),
        ("1.025", "0.05", "1.05"),
        ("1.02", "0", "1.02"),
    ],
)
def test_cash_is_rounded_to_its_coins(amount, multiple, rounded):
    assert round_to_multiple(D(amount), D(multiple)) == D(rounded)
