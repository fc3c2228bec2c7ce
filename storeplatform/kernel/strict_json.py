"""The one JSON parser of all surfaces: what it accepts, every later step can trust
(reliability.md, section 3)."""

import json
import re
from decimal import Decimal
from typing import Any

MAX_DEPTH = 32
MAX_MEMBERS = 10_000
MAX_DIGITS = 15
MAX_EXPONENT = 20
MAX_PLACES = 30  # JavaScript writes a double with up to 22, 0.0000012345678901234567
# Possessive, and content with a missing end quote, so that no body is read more than once.
STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Escapes that may spell a forbidden character. A false alarm costs one walk.
SUSPECT = re.compile(rb"\\(?:u00(?:0[0-8bcefBCEF]|1|7[fF])|[bf]|u[dD][89a-fA-F])|\x7f")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
NUMBER = re.compile(r"-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")


class MalformedJSON(Exception):
    """Not the JSON this project reads; the message says why."""


def loads(body: bytes) -> Any:
    """The value of a JSON text. Numbers with a point or exponent become Decimal, never float."""
    if body[:3] == b"\xef\xbb\xbf":
        raise MalformedJSON("The body begins with a byte-order mark.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedJSON("The body is not UTF-8.") from None
    check_shape(body)
    members = 0

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal members
        members += len(pairs)
        if members > MAX_MEMBERS:
            raise MalformedJSON(f"More than {MAX_MEMBERS} members.")
        made = dict(pairs)
        if len(made) != len(pairs):
            raise MalformedJSON("An object names a member twice.")
        return made

    try:
        value = json.loads(
            text,
            object_pairs_hook=unique,
            parse_float=decimal,
            parse_int=integer,
            parse_constant=constant,
        )
    except ValueError:
        raise MalformedJSON("The body is not JSON.") from None
    if (b"\\" in body or b"\x7f" in body) and SUSPECT.search(body):
        check_strings(value)
    return value


def check_shape(body: bytes) -> None:
    """Depth, before the recursive parser meets it."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in STRINGS.sub(b"", body).translate(None, NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedJSON(f"Nested deeper than {MAX_DEPTH}.")
        else:
            depth -= 1


def check_strings(value: Any) -> None:
    """Escapes may spell what raw text could not: controls and halves of surrogate pairs."""
    if isinstance(value, str):
        if FORBIDDEN.search(value):
            raise MalformedJSON("A text holds a control character or half a surrogate pair.")
    elif isinstance(value, list):
        for inner in value:
            check_strings(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_strings(name)
            check_strings(inner)


def constant(name: str) -> Any:
    raise MalformedJSON(f"{name} is not a number.")


def integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise MalformedJSON("A whole number is larger than 64 bits.")
    return int(text)


def decimal(text: str) -> Decimal:
    match = NUMBER.fullmatch(text)
    if match is None:
        raise MalformedJSON("A number is malformed.")
    whole, places, exponent = match[1], match[2] or "", match[3] or "0"
    if len(exponent) > 4 or abs(int(exponent)) > MAX_EXPONENT:
        raise MalformedJSON(f"A number's exponent is beyond {MAX_EXPONENT}.")
    if len(whole) > MAX_DIGITS or len(places) > MAX_PLACES:
        raise MalformedJSON("A number has too many digits.")
    value = Decimal(text)
    if value and value.adjusted() >= MAX_DIGITS:
        raise MalformedJSON("A number has too many digits.")
    return value
