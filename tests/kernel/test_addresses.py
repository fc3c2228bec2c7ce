"""Where a request comes from: platform.md, section 3."""

import pytest

from storeplatform.kernel.addresses import client_address


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "trusted", "address"),
    [
        ("203.0.113.7", "", 0, "203.0.113.7"),
        ("203.0.113.7", "10.1.1.1", 0, "203.0.113.7"),
        ("10.0.0.1", "198.51.100.9, 203.0.113.7", 1, "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", 2, "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7", 2, "10.0.0.1"),
        ("::ffff:203.0.113.7", "", 0, "203.0.113.7"),
        ("10.0.0.1", "::FFFF:cb00:7107", 1, "203.0.113.7"),
        ("2001:DB8::0:1", "", 0, "2001:db8::1"),
        ("", "", 0, ""),
        ("10.0.0.1", "203.0.113.7:4711", 1, "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::1]:443", 1, "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", 1, "2001:db8::1"),
        ("10.0.0.1", "unknown", 1, ""),
    ],
)
def test_an_address_is_the_clients_and_spelled_in_one_way(peer, forwarded_for, trusted, address):
    assert client_address(peer, forwarded_for, trusted) == address
