"""The text of an API key: platform.md, section 3."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.api_keys.tokens import (
    checksum,
    exposed_key_ids,
    key_id_of,
    new_token,
)
from storeplatform.kernel.crypto import ALPHABET

VECTOR = "stk_0123456789ABCDEF.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1My2D0"
KEY_ID = "stk_0123456789ABCDEF"


def test_a_new_key_is_well_formed_and_hints_at_its_end():
    made = new_token()

    assert re.fullmatch(r"stk_[0-9A-Za-z]{16}\.[0-9A-Za-z]{46}", made.text)
    assert key_id_of(made.text) == made.key_id
    assert made.text.endswith(made.hint)
    assert len(made.hint) == 4


def test_a_new_secret_keeps_the_id_it_is_made_for():
    former, present = new_token(KEY_ID), new_token(KEY_ID)

    assert former.key_id == present.key_id == KEY_ID
    assert former.text != present.text


@given(st.integers(0, len(VECTOR) - 1), st.sampled_from(ALPHABET + "_. \n"))
def test_one_wrong_character_is_noticed(place, letter):
    typed = VECTOR[:place] + letter + VECTOR[place + 1 :]

    assert key_id_of(typed) == (KEY_ID if typed == VECTOR else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        VECTOR + "\n",
        " " + VECTOR,
        VECTOR + "0",
        VECTOR[:-1],
        VECTOR.lower(),
        VECTOR * 2,
        "\ud800",
    ],
)
def test_what_is_no_key_has_no_id(text):
    assert key_id_of(text) is None


@given(st.text())
def test_every_text_may_be_asked(text):
    assert key_id_of(text) is None
    assert exposed_key_ids(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"key={VECTOR}&page=1",
        f"my key is {VECTOR}.",
        f"x{VECTOR}x",
        f"سري:{VECTOR}",
        f"stk_{'A' * 16}.{'B' * 43}{VECTOR}",  # one that is cut off runs into the true one
        f"{VECTOR[:-1]}?{VECTOR}",
    ],
)
def test_a_key_is_found_anywhere_in_a_text(text):
    assert exposed_key_ids(text) == [KEY_ID]


def test_the_checksum_holds_the_id_to_its_secret():
    other = "stk_0123456789ABCDEG" + VECTOR[20:]

    assert key_id_of(other) is None
    assert checksum(KEY_ID, "a" * 40) == VECTOR[-6:]
