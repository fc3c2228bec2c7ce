"""Human numbers, ORD-1001: per store, rising, never reused (domain.md, 0.2)."""

from uuid import UUID

from storeplatform.kernel.database import prepared

FIRST = 1001

# The number may be lost with its order, never given twice: whatever commits with it flushes the
# log up to and past this statement, so this one need not wait for the disk itself.
TAKE = """
INSERT INTO kernel_counter AS counter (store_id, name, value) VALUES (%s, %s, %s)
ON CONFLICT (store_id, name) DO UPDATE SET value = counter.value + %s
RETURNING value, set_config('synchronous_commit', 'off', true)
"""


def take_numbers(store_id: UUID, name: str, count: int = 1) -> range:
    """`count` numbers in a row. Call it before the transaction that uses them: a number taken
    inside one would make a store's orders wait for each other's commits."""
    with prepared() as cursor:
        cursor.execute(TAKE, [store_id, name, FIRST + count - 1, count])
        (last, _) = cursor.fetchone()
    return range(last - count + 1, last + 1)
