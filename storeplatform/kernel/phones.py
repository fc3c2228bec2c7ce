"""Phone numbers in any spelling people use, kept as E.164 (domain.md, 0.7)."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
DIGITS = str.maketrans(
    {chr(0x660 + digit): str(digit) for digit in range(10)}
    | {chr(0x6F0 + digit): str(digit) for digit in range(10)}
)
SPELLING = re.compile(r"\+?[\d\s().\-/\u00a0\u2010-\u2015]{4,40}")


class PhoneError(ValueError):
    """Not a number that can be called, or not a mobile one where a message must arrive."""

    code = "invalid_phone"


@lru_cache(maxsize=1024)
def normalise_phone(text: str, country: str, *, mobile: bool = True) -> str:
    """`٠٧٧٠ 123 4567`, `7701234567` or `00964 770…` as `+9647701234567`. A foreign number needs its
    `+` or `00`: a local one with a digit too many would pass for one. Raises PhoneError."""
    written = text.strip().translate(DIGITS)
    if not SPELLING.fullmatch(written):
        raise PhoneError("A phone number, such as 07701234567: digits, spaces and dashes.")
    if written.startswith("00"):
        written = "+" + written[2:].lstrip()
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        raise PhoneError("This is not a valid phone number.") from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneError("This is not a valid phone number.")
    if mobile and phonenumbers.number_type(number) not in MOBILE:
        raise PhoneError("A mobile number is needed, one that can receive messages.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def mask_phone(phone: str) -> str:
    """`+964770***4567`, enough for its owner to know it; three digits or more stay hidden."""
    return f"{phone[:-7][:7]}***{phone[-4:]}"


def country_of(phone: str) -> str:
    """ISO code of the number's country; empty for numbers of none."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(phone)) or ""


def spaced_phone(phone: str) -> str:
    """`+964 770 123 4567`, as people read it; what is no number stays as it is."""
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
