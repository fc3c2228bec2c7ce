"""Text as people type it, made fit to store and to search."""

import re
import unicodedata

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff"  # controls and lone surrogates
    "\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]"  # direction overrides
)
LINE_BREAKS = re.compile("[\t\n\r]")
ARABIC = str.maketrans(
    {"ٱ": "ا", "ى": "ي", "ی": "ي", "ة": "ه", "ک": "ك", "ـ": None}
    | {chr(0x660 + digit): str(digit) for digit in range(10)}
    | {chr(0x6F0 + digit): str(digit) for digit in range(10)}
)


def clean(text: str, *, multiline: bool = False) -> str:
    """Trimmed and NFC. Raises ValueError with a sentence for characters that no text needs."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = text.strip()
    if FORBIDDEN.search(text):
        raise ValueError("Control characters and direction overrides are not allowed.")
    if not multiline and LINE_BREAKS.search(text):
        raise ValueError("Line breaks and tabs are not allowed.")
    return text


def fold(text: str) -> str:
    """The text as the search compares it; the database's `store_fold` does the same."""
    spread = unicodedata.normalize("NFKD", text.lower())
    bare = "".join(letter for letter in spread if unicodedata.category(letter) != "Mn")
    return bare.translate(ARABIC)
