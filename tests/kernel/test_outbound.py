"""Which addresses the server calls for a merchant: reliability.md, section 5."""

import contextlib
import ipaddress
import socket

import pytest

from storeplatform.kernel import outbound
from tests.fakes import Receiver, self_signed

FORBIDDEN = [
    "http://example.com/", "https://example.com:22/", "https://example.com:80/",
    "https://user:password@example.com/", "https://user@example.com/", "https://@example.com/",
    "https://example.com./", "https://localhost./", "https://127.0.0.1./", "https://example..com/",
    "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0177.0.0.1/",
    "https://0x7f000001/", "https://0x7f.0.0.1/", "https://127.0.0.0x1/", "https://017700000001/",
    "https://localhost/", "https://0/", "https://0.0.0.0/", "https://10.0.0.1/",
    "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://192.0.2.1/",
    "https://198.18.0.1/", "https://240.0.0.1/", "https://192.0.0.192/", "https://192.88.99.1/",
    "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::8.8.8.8]/", "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fc00::1]/", "https://[fd00::1]/",
    "https://[ff02::1]/", "https://[fec0::1]/", "https://[2001:db8::1]/", "https://[::1",
    "https://[3fff::1]/", "https://[2001:2::1]/", "https://[2001:20::1]/",
    "https://\uff11\uff12\uff17.0.0.1/", "https://\u24dbocalhost/", "https://exa mple.com/", "https://example.com\\@x/",
    "https://example.com/\n", "https://example.com/#part", "https://example.com:99999/",
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/", "https:",
    "https:///", "", "javascript:alert(1)", "https://" + "a" * 2048 + ".com/",
]  # fmt: skip


@pytest.fixture
def live(settings):
    """As in production: loopback is no exception."""
    settings.OUTBOUND_LOOPBACK = False


def name_is(monkeypatch, *answers):
    """Every name resolves to the first of `answers`, later to the next ones."""
    left = list(answers)

    def resolve(host, port, **_):
        found = left.pop(0) if len(left) > 1 else left[0]
        with contextlib.suppress(ValueError):
            found = [str(ipaddress.ip_address(host))]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_address_that_is_not_plainly_public_is_refused(live, monkeypatch, url):
    name_is(monkeypatch, ["127.0.0.1"])

    with pytest.raises(outbound.NotAllowed):
        outbound.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?x=1", "https://EXAMPLE.com", "https://example.com:8443/a",
        "https://8.8.8.8/", "https://[2606:4700:4700::1111]/", "https://xn--mgbh0fb.example/",
        "https://a_b.example.com/",
    ],
)  # fmt: skip
def test_a_public_address_is_allowed(live, monkeypatch, url):
    name_is(monkeypatch, ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])

    assert outbound.check_url(url).scheme == "https"


@pytest.mark.parametrize("hidden", ["10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1"])
def test_one_private_address_among_public_ones_is_enough_to_refuse(live, monkeypatch, hidden):
    name_is(monkeypatch, ["93.184.215.14", hidden])

    with pytest.raises(outbound.NotAllowed):
        outbound.check_url("https://example.com/")


def test_a_name_that_changes_its_address_after_the_check_is_caught(live, monkeypatch):
    name_is(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    outbound.check_url("https://rebinding.example/")

    with pytest.raises(outbound.NotAllowed):
        outbound.post("https://rebinding.example/", b"{}", {}, seconds=2)


def test_the_connection_goes_to_the_address_that_was_checked(settings, monkeypatch):
    """A second look-up would give another address: there is none."""
    lookups = []
    receiver = Receiver()
    original = socket.getaddrinfo

    def once(host, port, *rest, **named):
        lookups.append(host)
        return original("127.0.0.1", port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    try:
        reply = outbound.post(receiver.url, b"{}", {}, seconds=5)
    finally:
        receiver.stop()

    assert reply.status == 200
    assert [name for name in lookups if name == "localhost"] == ["localhost"]


def test_tls_is_checked_against_the_name(monkeypatch):
    server, client = self_signed()
    foreign, _ = self_signed()
    monkeypatch.setattr(outbound, "trusted", lambda: client)
    good, bad = Receiver(tls=server), Receiver(tls=foreign)
    try:
        assert outbound.post(good.url, b"{}", {}, seconds=5).status == 200
        with pytest.raises(ConnectionError):
            outbound.post(bad.url, b"{}", {}, seconds=5)
        with pytest.raises(ConnectionError):
            outbound.post(good.url.replace("localhost", "127.0.0.1"), b"{}", {}, seconds=5)
    finally:
        good.stop()
        bad.stop()


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_a_request_ends_in_time_however_slow_the_answer_is(mode):
    receiver = Receiver()
    receiver.mode = mode
    try:
        with pytest.raises(TimeoutError):
            outbound.post(receiver.url, b"{}", {}, seconds=0.7)
    finally:
        receiver.stop()


def test_an_answer_in_crumbs_costs_little():
    """Each chunk and each hint costs the sender more than a large answer does."""
    receiver = Receiver()
    try:
        receiver.mode = "crumbs"
        reply = outbound.post(receiver.url, b"{}", {}, seconds=5)
        receiver.mode = "hints"
        with pytest.raises(ConnectionError):
            outbound.post(receiver.url, b"{}", {}, seconds=5)
    finally:
        receiver.stop()

    assert (reply.status, reply.body) == (200, b"x" * 2048)


def test_redirects_are_not_followed_and_large_answers_not_read(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    receiver = Receiver()
    try:
        receiver.mode = "redirect"
        assert outbound.post(receiver.url, b"{}", {}, seconds=5).status == 302
        receiver.mode = "huge"
        assert len(outbound.post(receiver.url, b"{}", {}, seconds=5).body) == outbound.MAX_ANSWER
    finally:
        receiver.stop()

    assert len(receiver.received) == 2
