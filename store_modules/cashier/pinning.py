"""Products pinned to the till's first screen: at most thirty, in an order of the store's own."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from store_modules.cashier.drawer import settings_of_till
from store_modules.cashier.models import CashierSettings, PinnedItem
from store_modules.catalog.models import Product
from storeplatform.kernel.errors import NotFound, Refusal, refuse

MAX_PINNED = 30


def lock_pins(store_id: UUID) -> list[PinnedItem]:
    """The store's pins; changes of them wait for each other."""
    settings = settings_of_till(store_id)
    CashierSettings.objects.select_for_update(of=("self",)).get(pk=settings.pk)
    return list(PinnedItem.objects.of(store_id))


@transaction.atomic
def pin(store_id: UUID, product_id: UUID) -> PinnedItem:
    """Raises Refusal `too_many_pinned`, Conflict `already_pinned` by its constraint."""
    sellable = Product.objects.sellable().of(store_id).filter(pk=product_id, is_active=True)
    if not sellable.select_for_update(of=("self",), no_key=True):  # it is not deleted meanwhile
        raise refuse("productId", "not_found", "There is no such product for sale.")
    pins = lock_pins(store_id)
    taken = any(one.product_id == product_id for one in pins)
    if len(pins) >= MAX_PINNED and not taken:
        message = f"At most {MAX_PINNED} products are pinned."
        raise Refusal("too_many_pinned", message, productId=[message])
    position = pins[-1].position + 1 if pins else 0
    pinned: PinnedItem = PinnedItem.objects.create(
        store_id=store_id, product_id=product_id, position=position
    )
    return pinned


@transaction.atomic
def unpin(store_id: UUID, pinned_id: UUID) -> None:
    """By the product's id, or by the pin's own, which old clients know."""
    pins = lock_pins(store_id)
    left = [one for one in pins if pinned_id not in (one.product_id, one.pk)]
    if len(left) == len(pins):
        raise NotFound("not_found", "This product is not pinned.")
    PinnedItem.objects.of(store_id).exclude(pk__in=[one.pk for one in left]).delete()
    number(left)


@transaction.atomic
def reorder(store_id: UUID, product_ids: Sequence[UUID]) -> None:
    """The pinned products in a new order; the list names each of them once."""
    pins = {one.product_id: one for one in lock_pins(store_id)}
    if sorted(product_ids, key=str) != sorted(pins, key=str):
        raise refuse("productIds", "not_a_permutation", "Name each pinned product once.")
    number([pins[product_id] for product_id in product_ids])


def number(pins: Sequence[PinnedItem]) -> None:
    for position, one in enumerate(pins):
        one.position = position
    PinnedItem.objects.bulk_update(pins, ["position"])


def forget_product(product_id: UUID) -> None:
    """A product that is gone is pinned nowhere."""
    pin = PinnedItem.objects.filter(product=product_id).first()
    if pin is not None:
        unpin(pin.store_id, product_id)
