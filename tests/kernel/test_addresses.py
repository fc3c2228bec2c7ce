"""Where a request comes from: platform.md, section 3."""

import pytest

from chat.signalr.settings import Settings
from chat.signalr.transports import Request
from integrations.mcp.gateway import address_of
from storeplatform.kernel.addresses import client_address, forwarded_for, network_of
from tests.clients import ApiClient


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
        ("fe80::1%eth0", "", 0, "fe80::1"),
        ("10.0.0.1", "[fe80::1%25eth0]:443", 1, "fe80::1"),
        ("10.0.0.1", "[::ffff:203.0.113.7]:443", 1, "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, " * 5000, 1, "10.0.0.1"),
    ],
)
def test_an_address_is_the_clients_and_spelled_in_one_way(peer, forwarded_for, trusted, address):
    assert client_address(peer, forwarded_for, trusted) == address


def test_lines_of_several_proxies_are_one_list():
    headers = [
        (b"x-forwarded-for", b"198.51.100.9"),  # the client's own
        (b"host", b"shop.example"),
        (b"x-forwarded-for", b"203.0.113.7"),
    ]

    assert client_address("10.0.0.1", forwarded_for(headers), 1) == "203.0.113.7"
    assert forwarded_for([]) == ""


def test_hubs_and_agents_read_the_lines_of_all_proxies(settings):
    settings.TRUSTED_PROXY_COUNT = 2
    scope = {
        "type": "http",
        "path": "/hubs/store-conversations",
        "query_string": b"",
        "client": ("10.0.0.1", 4711),
        "headers": [
            (b"x-forwarded-for", b"198.51.100.9"),
            (b"x-forwarded-for", b"203.0.113.7"),
            (b"x-forwarded-for", b"10.0.0.2"),
        ],
    }

    assert Request(scope, None, None, Settings(trusted_proxies=2)).address == "203.0.113.7"
    assert address_of(scope) == "203.0.113.7"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::"),
        ("2001:db8:0:2::1", "2001:db8:0:2::"),
        ("", ""),
    ],
)
def test_a_client_is_counted_by_what_it_cannot_choose(address, network):
    assert network_of(address) == network


def test_another_address_of_the_same_network_is_no_way_around_a_limit(db, settings):
    settings.TRUSTED_PROXY_COUNT, settings.RATE_LIMITS = 1, "on"
    store = ApiClient("/api/v1/store", Authorization="Bearer wrong")

    answers = [
        store.get("/customers", X_Forwarded_For=f"2001:db8::{number:x}").status_code
        for number in range(1, 30)
    ]

    assert 429 in answers
    assert store.get("/customers", X_Forwarded_For="2001:db8:0:1::1").status_code == 401
