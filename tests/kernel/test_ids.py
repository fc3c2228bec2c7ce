"""UUIDv7: RFC 9562, section 5.7."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122

import pytest
import time_machine

from storeplatform.kernel import ids
from storeplatform.kernel.ids import uuid7


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch):
    """What these tests do to the clock of ids ends with them."""
    monkeypatch.setattr(ids, "_last", 0)


def test_an_id_has_the_layout_of_version_seven():
    before = time.time_ns() // 1_000_000

    made = uuid7()

    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_rise_within_a_millisecond_and_past_its_counter():
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False):
        made = [uuid7() for _ in range(10_000)]

    assert made == sorted(set(made))


def test_ids_rise_when_the_clock_jumps_back():
    with time_machine.travel("2030-01-02T00:00:00Z", tick=False):
        before = uuid7()

    with time_machine.travel("2030-01-01T00:00:00Z", tick=False):
        after = uuid7()

    assert after > before


def test_threads_never_share_an_id():
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [uuid7() for _ in range(2000)], range(8)))

    stamps = [made.int >> 64 for batch in batches for made in batch]
    assert len(set(stamps)) == len(stamps)
    assert all(batch == sorted(batch) for batch in batches)
