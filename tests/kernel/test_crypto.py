"""Keyed hashes and sealed data under versioned keys."""

import hashlib
import hmac

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storeplatform.kernel.crypto import (
    Undecipherable,
    decrypt,
    encrypt,
    keyed_hash,
    keyed_hashes,
)

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
def keys(settings):
    """One former and one present key."""
    settings.KEYS = {name: {2: NEW, 1: OLD} for name in ("FIELD_KEY", "TOKEN_KEY")}
    return settings.KEYS


def test_a_hash_names_the_version_of_its_key(keys):
    made = keyed_hash("TOKEN_KEY", b"token")

    assert made == "2:" + hmac.new(NEW, b"token", hashlib.sha256).hexdigest()


def test_a_hash_of_a_former_key_is_still_found(keys):
    keys["TOKEN_KEY"] = {1: OLD}
    stored = keyed_hash("TOKEN_KEY", b"token")

    keys["TOKEN_KEY"] = {2: NEW, 1: OLD}

    assert stored in keyed_hashes("TOKEN_KEY", b"token")
    assert stored not in keyed_hashes("TOKEN_KEY", b"other")


@given(st.binary(max_size=200), st.binary(max_size=50))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sealed_data_opens_in_its_context_only(keys, data, context):
    sealed = encrypt(data, context)

    assert decrypt(sealed, context) == data
    with pytest.raises(Undecipherable):
        decrypt(sealed, context + b"x")


def test_the_same_data_is_never_sealed_alike(keys):
    assert encrypt(b"data", b"") != encrypt(b"data", b"")


def test_data_sealed_under_a_former_key_opens_until_that_key_is_gone(keys):
    keys["FIELD_KEY"] = {1: OLD}
    sealed = encrypt(b"data", b"")

    keys["FIELD_KEY"] = {2: NEW, 1: OLD}
    assert decrypt(sealed, b"") == b"data"

    keys["FIELD_KEY"] = {2: NEW}
    with pytest.raises(Undecipherable):
        decrypt(sealed, b"")


def test_a_version_with_another_key_does_not_open(keys):
    sealed = encrypt(b"data", b"")
    keys["FIELD_KEY"] = {2: OLD}

    with pytest.raises(Undecipherable):
        decrypt(sealed, b"")


def test_a_change_anywhere_is_noticed(keys):
    sealed = encrypt(b"data", b"context")

    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Undecipherable):
            decrypt(bytes(changed), b"context")


def test_what_is_cut_off_is_undecipherable(keys):
    sealed = encrypt(b"data", b"context")

    for length in range(len(sealed)):
        with pytest.raises(Undecipherable):
            decrypt(sealed[:length], b"context")
