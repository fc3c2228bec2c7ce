"""Phone numbers: domain.md, 0.7."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeplatform.kernel.phones import PhoneError, mask_phone, normalise_phone


@pytest.mark.parametrize(
    "written",
    [
        "+9647701234567",
        "9647701234567",
        "07701234567",
        "7701234567",
        "00964 770 123 4567",
        "00 964 770 123 4567",
        "+964 0770 123 4567",
        "0770-123-4567",
        "(0770) 123 4567",
        "٠٧٧٠١٢٣٤٥٦٧",
        "\u06f0\u06f7\u06f7\u06f0 \u06f1\u06f2\u06f3 \u06f4\u06f5\u06f6\u06f7",
        " ٠٠٩٦٤٧٧٠١٢٣٤٥٦٧ ",
    ],
)
def test_an_iraqi_mobile_has_one_form(written):
    assert normalise_phone(written, "IQ") == "+9647701234567"


@pytest.mark.parametrize(
    ("written", "country", "kept"),
    [
        ("+962790123456", "IQ", "+962790123456"),
        ("00962790123456", "IQ", "+962790123456"),
        ("0790123456", "JO", "+962790123456"),
        ("(202) 555-0123", "US", "+12025550123"),
    ],
)
def test_a_foreign_number_is_written_with_its_country(written, country, kept):
    assert normalise_phone(written, country) == kept


@pytest.mark.parametrize(
    "written",
    [
        "77012345678",  # one digit too many; with a plus it would be Kazakhstan's
        "962790123456",
        "077012345",
        "+0770 123 4567",
        "+964 770 123 4567 ext. 5",
        "0770x1234567",
        "+",
        "٠" * 60,
    ],
)
def test_a_mistyped_number_is_refused_rather_than_read_as_another(written):
    with pytest.raises(PhoneError) as refused:
        normalise_phone(written, "IQ")

    assert refused.value.code == "invalid_phone"


def test_a_landline_is_a_phone_but_no_mobile():
    assert normalise_phone("01 718 0000", "IQ", mobile=False) == "+96417180000"
    with pytest.raises(PhoneError, match="mobile"):
        normalise_phone("01 718 0000", "IQ")


@given(
    st.text(st.sampled_from("0123456789٠٧\u06f7+-() .x\n"), max_size=45) | st.text(),
    st.sampled_from(["IQ", "US", "IT", ""]),
    st.booleans(),
)
def test_every_text_is_a_stable_number_or_refused(written, country, mobile):
    with contextlib.suppress(PhoneError):
        kept = normalise_phone(written, country, mobile=mobile)

        assert normalise_phone(kept, country, mobile=mobile) == kept


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+9647701234567", "+964770***4567"),
        ("+12025550123", "+1202***0123"),
        ("+29022222", "+2***2222"),
    ],
)
def test_a_mask_hides_at_least_three_digits(phone, masked):
    assert mask_phone(phone) == masked
