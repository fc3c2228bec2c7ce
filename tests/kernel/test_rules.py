"""The kernel's plain rules: text, phones, money, JSON, ids."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeplatform.kernel.crypto import Undecipherable, decrypt, encrypt
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.money import (
    MoneyError,
    allocate,
    format_money,
    minor_units,
    parse_money,
    round_money,
    round_to_multiple,
)
from storeplatform.kernel.phones import PhoneError, mask_phone, normalise_phone
from storeplatform.kernel.strict_json import MalformedJSON, loads
from storeplatform.kernel.text import clean, fold


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0770 123 4567", "+9647701234567"),
        ("7701234567", "+9647701234567"),
        ("٠٧٧٠١٢٣٤٥٦٧", "+9647701234567"),
        ("00964 770 123 4567", "+9647701234567"),
        ("9647701234567", "+9647701234567"),
        ("+964-770-123-4567", "+9647701234567"),
        ("+962790123456", "+962790123456"),
    ],
)
def test_phones_are_kept_in_one_form(written, kept):
    assert normalise_phone(written, "IQ") == kept


@pytest.mark.parametrize("written", ["", "12", "hello", "+964770", "0" * 50, "+1-800-FLOWERS"])
def test_what_is_no_phone_is_refused(written):
    with pytest.raises(PhoneError):
        normalise_phone(written, "IQ")


def test_a_landline_receives_no_messages():
    assert normalise_phone("+96417180000", "IQ", mobile=False) == "+96417180000"
    with pytest.raises(PhoneError):
        normalise_phone("+96417180000", "IQ")


def test_a_masked_phone_shows_its_ends():
    assert mask_phone("+9647701234567") == "+964770***4567"


@pytest.mark.parametrize(
    ("currency", "digits"), [("IQD", 0), ("USD", 2), ("KWD", 3), ("GBP", 2), ("SYP", 0)]
)
def test_currencies_have_their_digits(currency, digits):
    assert minor_units(currency) == digits


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        ("25000", "IQD", "25000"),
        (25000, "IQD", "25000"),
        (Decimal("25.5"), "USD", "25.50"),
        ("0.125", "KWD", "0.125"),
        (Decimal("25.00"), "IQD", "25"),
    ],
)
def test_amounts_are_read_and_shown_in_minor_units(value, currency, shown):
    assert format_money(parse_money(value, currency), currency) == shown


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1.5", "too_many_decimals"),
        ("1e5", "invalid"),
        ("NaN", "invalid"),
        ("", "invalid"),
        (True, "invalid"),
        (None, "invalid"),
        ([], "invalid"),
        ("١٠", "invalid"),
        ("999999999999999", "max_value"),
    ],
)
def test_what_is_no_amount_is_refused(value, code):
    with pytest.raises(MoneyError) as refused:
        parse_money(value, "IQD")

    assert refused.value.code == code


def test_rounding_is_half_up():
    assert round_money(Decimal("2.5"), "IQD") == 3
    assert round_money(Decimal("-2.5"), "IQD") == -3
    assert round_to_multiple(Decimal("10125"), Decimal("250")) == 10250
    assert round_to_multiple(Decimal("10124"), Decimal("250")) == 10000


@given(
    st.decimals(0, 10**9, places=3),
    st.lists(st.decimals(0, 10**6, places=3), min_size=1, max_size=20),
    st.sampled_from(["IQD", "USD", "KWD"]),
)
def test_allocations_add_up_exactly(amount, weights, currency):
    amount = round_money(amount, currency)

    shares = allocate(amount, weights, currency)

    if sum(weights):
        assert sum(shares) == amount
    assert all(share >= 0 for share in shares)
    assert all(share == round_money(share, currency) for share in shares)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("أحمد", "احمد"),
        ("فاطمة", "فاطمه"),
        ("ALÌ", "ali"),
        ("مُحَمَّد", "محمد"),
        ("۱۲٣", "123"),
        ("على", "علي"),
    ],
)
def test_search_text_is_folded(written, folded):
    assert fold(written) == folded


def test_the_database_folds_as_python_does(db):
    from django.db import connection

    words = ["أحمد", "فاطمة", "ALÌ", "مُحَمَّد", "۱۲٣", "على", "ـــكتاب", "Straße", "کوردی"]

    with connection.cursor() as cursor:
        cursor.execute("SELECT store_fold(w) FROM unnest(%s::text[]) w", [words])
        assert [row[0] for row in cursor.fetchall()] == [fold(word) for word in words]


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800", "\u202eabc", "a\x07"])
def test_controls_are_no_text(bad):
    with pytest.raises(ValueError, match="not allowed"):
        clean(bad)


@pytest.mark.parametrize("nothing", ["", " ", "\u200b", "\u200d\u200c", "\u200f \u200b", "\u3164"])
def test_what_nobody_sees_is_no_text(nothing):
    assert clean(nothing) == ""


def test_joiners_within_words_stay():
    assert clean("نێوه\u200cڕاست") == "نێوه\u200cڕاست"


def test_line_breaks_need_a_field_that_allows_them():
    assert clean(" a\nb ", multiline=True) == "a\nb"
    with pytest.raises(ValueError, match="Line breaks"):
        clean("a\nb")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"a":1,"a":2}', b"NaN", b"Infinity", b"[1] x", b"\xff", b"\xef\xbb\xbf{}",
        b'"\\u0000"', b'"\\ud800"', b"[" * 40 + b"]" * 40, b"1" * 30, b"1e99", b"1.5e-21",
        b"0." + b"1" * 31, b'"\x01"', '"a"'.encode("utf-16"), b"[" * 100_000, b'{"a":' * 50_000,
        b"1" * 5000, b"1e" + b"9" * 5000,
    ],
)  # fmt: skip
def test_malformed_json_is_refused(body):
    with pytest.raises(MalformedJSON):
        loads(body)


def test_numbers_are_exact():
    assert loads(b'{"a": 0.1, "b": 12, "c": 1e3}') == {"a": Decimal("0.1"), "b": 12, "c": 1000}
    assert isinstance(loads(b"0.1"), Decimal)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(body):
    try:
        loads(body)
    except MalformedJSON:
        return


def test_ids_rise_and_never_repeat():
    with ThreadPoolExecutor(8) as pool:
        made = [
            one
            for part in pool.map(lambda _: [uuid7() for _ in range(500)], range(8))
            for one in part
        ]
    mine = [uuid7() for _ in range(1000)]

    assert len(set(made)) == 4000
    assert mine == sorted(mine)
    assert mine[0].version == 7


def test_ciphers_hold_to_their_context():
    sealed = encrypt(b"body", b"context")

    assert decrypt(sealed, b"context") == b"body"
    for wrong in (
        (sealed, b"other"),
        (sealed[:-1] + b"x", b"context"),
        (b"\x00\x09" + sealed[2:], b""),
    ):
        with pytest.raises(Undecipherable):
            decrypt(*wrong)
