"""Text to store and text to search: domain.md, 0.8 and 0.9; reliability.md, section 3."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeplatform.kernel.text import clean, fold


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("  Sara \n", "Sara"),
        ("\u00a0Sara\u2003", "Sara"),
        ("e\u0301", "é"),
        ("نیم\u200cفاصله", "نیم\u200cفاصله"),
        (
            "\U0001f469\u200d\U0001f469\u200d\U0001f467",
            "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        ),
        ("", ""),
    ],
)
def test_text_is_kept_trimmed_and_composed(written, kept):
    assert clean(written) == kept


@pytest.mark.parametrize(
    "bad", ["\x00", "\x1b", "\x1c", "\x1f", "\x7f", "\x85", "\x9b", "\udc00", "\u202e", "\u2066"]
)
@pytest.mark.parametrize("place", ["{}ab", "a{}b", "ab{}"])
@pytest.mark.parametrize("multiline", [True, False])
def test_controls_are_refused_wherever_they_stand(bad, place, multiline):
    with pytest.raises(ValueError, match="not allowed"):
        clean(place.format(bad), multiline=multiline)


@pytest.mark.parametrize("inside", ["a\nb", "a\tb", "a\r\nb", "a\u2028b"])
def test_only_long_text_has_lines(inside):
    assert clean(inside, multiline=True) == inside
    with pytest.raises(ValueError, match="Line breaks"):
        clean(inside)


@given(st.text(), st.booleans())
def test_clean_text_is_already_clean(text, multiline):
    try:
        kept = clean(text, multiline=multiline)
    except ValueError:
        return

    assert clean(kept, multiline=multiline) == kept
    assert unicodedata.is_normalized("NFC", kept)
    assert not any(
        unicodedata.category(letter) in ("Cc", "Cs") for letter in kept if letter not in "\t\n\r"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("أحمد إياد آمنة ٱلله", "احمد اياد امنه الله"),
        ("مُحَمَّد", "محمد"),
        ("كـــتاب", "كتاب"),
        ("کوردی", "كوردي"),
        ("منى", "مني"),
        ("٠٧٧٠ ۱۲۳", "0770 123"),
        ("Café ÀÇÑ", "cafe acn"),
        ("İstanbul", "istanbul"),
        ("\u1d2c\U0001d400\uff21", "aaa"),
    ],
)
def test_spellings_that_people_mix_are_found_alike(one, other):
    assert fold(one) == fold(other) == other


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "M", "Z", "P"])))
def test_capitals_do_not_matter_to_plain_letters(text):
    plain = "".join(letter for letter in text if letter.isascii())

    assert fold(plain.upper()) == fold(plain.lower()) == plain.lower()
