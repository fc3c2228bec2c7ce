"""The one JSON parser: reliability.md, section 3."""

import contextlib
import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeplatform.kernel.strict_json import MAX_DEPTH, MAX_MEMBERS, MalformedJSON, loads

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32)])
).map(lambda text: text.replace("\x7f", ""))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)
jsonish = st.lists(
    st.sampled_from(
        ['"', "\\", "[", "]", "{", "}", ":", ",", "1", "-", ".", "e9", "null", "\\u", "d800", " "]
    ),
    max_size=80,
).map("".join)


def nested(depth):
    return b"[" * depth + b"]" * depth


def members(count):
    return json.dumps({str(place): place for place in range(count)}).encode()


@given(values, st.booleans())
def test_what_other_writers_write_is_read_unchanged(value, is_ascii):
    assert loads(json.dumps(value, ensure_ascii=is_ascii).encode()) == value


@given(st.binary(max_size=300) | jsonish.map(str.encode))
def test_every_body_is_a_value_or_malformed(body):
    with contextlib.suppress(MalformedJSON):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"\\t\\n\\r\\/"', "\t\n\r/"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b" {} ", {}),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"999999999999999.5", Decimal("999999999999999.5")),
        (b"1e14", Decimal("1e14")),
        (b"0e20", Decimal(0)),
        (b"0.00001e19", Decimal("1e14")),
        (b"1e-20", Decimal("1e-20")),
        (b"0.000026214212994091213", Decimal("0.000026214212994091213")),
        (nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH))),
        (b'["' + b"[" * 100 + b'"]', ["[" * 100]),
        (b'["\\"' + b"[" * 100 + b'\\\\"]', ['"' + "[" * 100 + "\\"]),
        (b"[" + b"[]," * 100 + b"1]", [[]] * 100 + [1]),
        (members(MAX_MEMBERS), json.loads(members(MAX_MEMBERS))),
    ],
)
def test_the_bounds_themselves_are_read(body, value):
    assert loads(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1000000000000000.5",
        b"1e15",
        b"123456789012345e20",
        b"1e-21",
        b"0." + b"1" * 31,
        b"1e" + b"0" * 5000 + b"1",
        nested(MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        members(MAX_MEMBERS + 1),
        b"[" + b",".join([b'{"a":1}'] * (MAX_MEMBERS + 1)) + b"]",
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1,"\\u0061":1}',
        b'{"\\u0000":1}',
        b'"\x7f"',
        b'"\\n\x7f"',
        b'"\\u007f"',
        b'"\\b"',
        b'"\\f"',
        b'"\\u001B"',
        b'"\t"',
        b'"\\ude00\\ud83d"',
        b"\xc0\xaf",
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xf5\x80\x80\x80"',
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b"{}{}",
        b"{}\x00",
        b"{}\xc2\xa0",
        b"[1,]",
        b"{'a':1}",
        b"[/**/1]",
        b"01",
        b"+1",
        b".5",
        b"-NaN",
        b"-Infinity",
    ],
)
def test_what_lies_beyond_a_bound_is_malformed(body):
    with pytest.raises(MalformedJSON):
        loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 33 + b'"' + b'\\"' * 500_000,
        b'"' + b'\\"' * 500_000 + b"[" * 33,
        b'"' * 1_000_000 + b"[" * 33,
        b"\\" * 1_000_000 + b"[" * 33,
        b"[" * 1_000_000,
        b"]" * 1_000_000 + b"[" * 33,
        b'{"":' * 250_000,
        b"9" * 1_000_000,
        b"1." + b"9" * 1_000_000,
        b"[" + b"1e-999999999," * 70_000 + b"1]",
    ],
)
def test_a_megabyte_of_malice_is_refused_in_linear_time(body):
    begun = time.process_time()

    with pytest.raises(MalformedJSON):
        loads(body)

    assert time.process_time() - begun < 2
