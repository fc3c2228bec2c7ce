"""Where the store's reports learn of an order: what it adds is taken out before a change and put
back after it, in the same transaction. The reports fill the ports."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from store_modules.orders.models import Order
from storeplatform.kernel.ports import Port

take_out: Port[[UUID], None] = Port("take_order_out_of_figures")
put_in: Port[[UUID], None] = Port("put_order_into_figures")


@contextmanager
def counted_anew(order: Order) -> Iterator[None]:
    """Around every change of a stored order; save it inside."""
    take_out(order.pk)
    yield
    put_in(order.pk)
