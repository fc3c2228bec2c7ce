"""Text as people type it, made fit to store and to search."""

import re
import unicodedata

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"  # controls and lone surrogates
    "\u202a-\u202e\u2066-\u2069]"  # direction overrides; plain marks come with pasted Arabic
)
# Joiners, direction marks and fillers: within words they mean something, alone there is nothing.
UNSEEN = (
    " \u00a0\u00ad\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063"
    "\u2064\u2800\u3164\ufeff\uffa0"
)
LINE_BREAKS = re.compile("[\t\n\r\u2028\u2029]")
# Accents, harakat and tatweel.
MARKS = re.compile("[\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u0640]")
ARABIC = str.maketrans(
    {"ٱ": "ا", "ى": "ي", "ی": "ي", "ة": "ه", "ک": "ك"}
    | {chr(0x660 + digit): str(digit) for digit in range(10)}
    | {chr(0x6F0 + digit): str(digit) for digit in range(10)}
)


def clean(text: str, *, multiline: bool = False) -> str:
    """Trimmed and NFC; empty when there is nothing to see. Raises ValueError with a sentence for
    characters that no text needs."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if FORBIDDEN.search(text):
        raise ValueError("Control characters and direction overrides are not allowed.")
    text = text.strip()
    if not text.isascii() and not text.strip(UNSEEN):
        return ""
    if not multiline and LINE_BREAKS.search(text):
        raise ValueError("Line breaks and tabs are not allowed.")
    return text


def fold(text: str) -> str:
    """The text as the search compares it, step by step as the database's `store_fold`."""
    return MARKS.sub("", unicodedata.normalize("NFKD", text).lower()).translate(ARABIC)
