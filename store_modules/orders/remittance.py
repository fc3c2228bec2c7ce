"""The end of a COD order's cash: a delivery company brought it (domain.md, section 17)."""

from decimal import Decimal

from django.utils import timezone

from store_modules.orders.figures import counted_anew
from store_modules.orders.models import Order, OrderEvent
from store_modules.orders.placement import event_row, outbox_row
from store_modules.orders.status import RemittanceStatus
from storeplatform.kernel.money import format_money
from storeplatform.kernel.tenancy import Actor


def settle(order: Order, actor: Actor, *, fee: Decimal, reference: str, remits: bool) -> None:
    """Book a company's fee as the locked order's delivery cost and, where it brought cash that it
    had of it, the order as remitted. A parcel that was paid otherwise costs its fee only."""
    remits = remits and order.remittance_status != RemittanceStatus.NOT_APPLICABLE
    with counted_anew(order):
        order.delivery_cost = fee
        if remits:
            order.remittance_status = RemittanceStatus.REMITTED
            order.remitted_at = timezone.now()
        order.version += 1
        order.updated_at = timezone.now()
        order.save()
    data = {"settlement": reference, "fee": format_money(fee, order.currency_code)}
    event_row(order, actor, OrderEvent.Kind.PAYMENT, data=data).save(force_insert=True)
    kind = "payment.remitted" if remits else "order.updated"
    outbox_row(order, kind).save(force_insert=True)
