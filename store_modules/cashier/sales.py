"""Sales over the counter, and goods that come back over it."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.cashier.drawer import (
    active_session,
    locked_session,
    settings_of_till,
    take_out_of,
)
from store_modules.cashier.models import (
    CashierSession,
    CashierSettings,
    DrawerEntry,
    Sale,
    SaleRefund,
)
from store_modules.catalog import stock
from store_modules.catalog.models import StockMovement
from store_modules.customers.services import count_order
from store_modules.discounts import services as discounts
from store_modules.orders import money, returns
from store_modules.orders.credits import (
    amount_due,
    count_for_customer,
    credit_units,
    credited,
)
from store_modules.orders.figures import counted_anew, put_in
from store_modules.orders.lifecycle import take_present_costs
from store_modules.orders.locking import locked_order
from store_modules.orders.models import (
    Channel,
    FulfillmentType,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
)
from store_modules.orders.placement import (
    amounts_of,
    discounts_of,
    event_row,
    item_rows,
    outbox_row,
    paid_at_once,
)
from store_modules.orders.quoting import (
    Buyer,
    OrderLine,
    Quote,
    discounted,
    gather,
    settled_lines,
    terms_of,
    totals_with,
)
from store_modules.orders.status import FulfillmentStatus, PaymentStatus, Status
from store_modules.stores.models import FeePayer, StoreSettings
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict, NotFound, Refusal, refuse
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.money import format_money, round_money, round_to_multiple
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.writing import insert

ZERO = Decimal(0)
CASH = DrawerEntry.Method.CASH


def session_for(actor: Actor, session_id: UUID | None) -> CashierSession:
    """The named session, else the caller's own open one."""
    if session_id is None:
        session = active_session(actor)
        if session is None:
            raise Conflict("no_active_session", "Open a session first.")
        return session
    named = CashierSession.objects.filter(store_id=actor.store_id, pk=session_id).first()
    if named is None:
        raise refuse("sessionId", "not_found", "There is no such session.")
    if named.closed_at is not None:
        raise Conflict("session_closed", "This session is closed already.")
    found: CashierSession = named
    return found


# Pricing


def quote_sale(actor: Actor, till: CashierSettings, values: Mapping[str, Any]) -> Quote:
    """Price a sale without storing anything: line discounts first, then rules and the code."""
    items = values["items"]
    customer_id = values.get("customer_id") or till.default_customer_id
    shelf = gather(actor.store_id, items, area_id=None, customer_id=customer_id)
    if values.get("customer_id") and shelf.buyer is None:
        raise refuse("customerId", "not_found", "There is no such customer in this store.")
    kind = {**values, "fulfillment_type": FulfillmentType.WAREHOUSE}
    lines = settled_lines(shelf, kind, Channel.POS)
    check_overrides(actor, items, lines)
    currency = shelf.trade.currency
    own = line_discounts(lines, values["line_discounts"], till, currency)
    priced = discounted(
        actor,
        shelf,
        lines,
        Channel.POS,
        code=values.get("discount_code"),
        phone=shelf.buyer.phone if shelf.buyer else None,
        fee=lambda _: ZERO,
        own=own,
    )
    payments = values["payments"]
    all_cash = all(payment["method"] == CASH for payment in payments)
    method = PaymentMethod.CASH if all_cash else PaymentMethod.CARD
    terms = terms_of(shelf.trade, method, ZERO, FeePayer.CUSTOMER)
    if till.cash_rounding is not None and all_cash:
        terms = replace(terms, cash_rounding=till.cash_rounding)
    totals = totals_with(lines, priced, terms)
    quote = Quote(
        shelf=shelf,
        lines=lines,
        totals=totals,
        fee_source="server",
        fee_payer=FeePayer.CUSTOMER,
        risk_flags=(),
        discounts=priced.applied,
        code=next((one.offer.code for one in priced.applied if one.offer.code), None),
    )
    check_margin(till, quote)
    check_payments(payments, totals.total, currency)
    return quote


def check_overrides(
    actor: Actor, items: Sequence[Mapping[str, Any]], lines: Sequence[OrderLine]
) -> None:
    """Another price than the catalogue's needs the store's permission."""
    changed = [
        place
        for place, (item, line) in enumerate(zip(items, lines, strict=True))
        if item.get("unit_price") is not None
        and (line.article is None or line.article.price != item["unit_price"])
    ]
    if changed:
        trade = StoreSettings.objects.get(store_id=actor.store_id)
        if not trade.allow_price_override:
            field = f"items.{changed[0]}.unitPrice"
            raise refuse(field, "price_override", "This store sells at its listed prices.")


def line_discounts(
    lines: Sequence[OrderLine],
    wanted: Sequence[Mapping[str, Any]],
    till: CashierSettings,
    currency: str,
) -> list[Decimal]:
    """What the cashier takes off each line, by percent or amount, up to the till's limit."""
    by_sku = {line.sku.upper(): place for place, line in enumerate(lines)}
    by_id = {line.article.id: place for place, line in enumerate(lines) if line.article}
    off = [ZERO] * len(lines)
    for number, one in enumerate(wanted):
        place = by_id.get(one["product_id"]) if one.get("product_id") else None
        if place is None and one.get("sku"):
            place = by_sku.get(one["sku"].upper())
        if place is None:
            raise refuse(f"lineDiscounts.{number}.sku", "not_found", "It is not in this sale.")
        line = lines[place]
        subtotal = line.subtotal(currency)
        percent = one.get("percent")
        if percent is not None:
            amount = round_money(subtotal * percent / 100, currency)
        else:
            amount = min(one["amount"], subtotal)
            percent = amount * 100 / subtotal if subtotal else ZERO
        if percent > till.max_discount_percent:
            message = f"At most {till.max_discount_percent.normalize():f} percent."
            raise refuse(f"lineDiscounts.{number}", "discount_too_high", message)
        off[place] = amount
    return off


def check_margin(till: CashierSettings, quote: Quote) -> None:
    if till.allow_negative_margin:
        return
    for place, (line, amounts) in enumerate(zip(quote.lines, quote.totals.lines, strict=True)):
        cost = line.article.cost if line.article else None
        if cost is not None and amounts.total < cost * line.quantity:
            raise refuse(f"items.{place}", "negative_margin", "It would be sold below its cost.")


def check_payments(payments: Sequence[Mapping[str, Any]], total: Decimal, currency: str) -> None:
    """Together they are the total; only cash is handed over in larger notes."""
    for place, payment in enumerate(payments):
        tendered = payment.get("tendered")
        if tendered is None:
            continue
        if payment["method"] != CASH and tendered != payment["amount"]:
            raise refuse(f"payments.{place}.tendered", "invalid", "Only cash gives change.")
        if tendered < payment["amount"]:
            raise refuse(f"payments.{place}.tendered", "invalid", "Less than the amount.")
    if sum((payment["amount"] for payment in payments), ZERO) != total:
        message = "The payments are not the total."
        raise Refusal(
            "payments_mismatch",
            message,
            errors={"payments": [message]},
            details={"total": format_money(total, currency)},
        )


# Selling


def known_sale(store_id: UUID, client_sale_id: UUID) -> UUID | None:
    """The order of a sale that the device sent before."""
    sale = Sale.objects.of(store_id).filter(client_sale_id=client_sale_id)
    found: UUID | None = sale.values_list("order_id", flat=True).first()
    return found


@transaction.atomic
def sell(
    actor: Actor,
    session: CashierSession,
    values: Mapping[str, Any],
    quote: Quote,
    *,
    number: str,
) -> Order:
    """Store a priced sale: paid, handed over, out of stock. Raises Conflict `session_closed`,
    `insufficient_stock`, and the constraint `sale_once` for a sale that is known."""
    hold_open(session)
    now = timezone.now()
    order = sale_row(actor, values, quote, number, now)
    count_customer(order, now)
    discounts.redeem(
        order.store_id,
        order.pk,
        quote.discounts,
        phone=order.customer_phone,
        customer_id=order.customer_id,
    )
    lines = item_rows(order, quote)
    for line in lines:
        line.quantity_delivered = line.quantity
    movements = take_from_shelf(actor, order, lines)
    payments = values["payments"]
    change = sum(((p.get("tendered") or p["amount"]) - p["amount"] for p in payments), ZERO)
    insert(
        [order],
        lines,
        movements,
        [payment_row(order, actor, payment, now) for payment in payments if payment["amount"]],
        [event_row(order, actor, OrderEvent.Kind.CREATED, to_status=order.status)],
        [outbox_row(order, "order.created"), *paid_at_once(order)],
        [
            Sale(
                order_id=order.pk,
                store_id=order.store_id,
                session=session,
                client_sale_id=values["client_sale_id"],
                payments=[shown_payment(payment, order.currency_code) for payment in payments],
                change=change,
            )
        ],
        [entry_row(order, actor, session, payment) for payment in payments if payment["amount"]],
    )
    put_in(order.pk)
    return order


def hold_open(session: CashierSession) -> None:
    """The session is not closed while the sale is under way; sales do not wait for each other."""
    with prepared() as cursor:
        cursor.execute(
            "SELECT closed_at FROM cashier_cashiersession WHERE id = %s FOR SHARE", [session.pk]
        )
        (closed_at,) = cursor.fetchone()
    if closed_at is not None:
        raise Conflict("session_closed", "This session is closed already.")


def sale_row(
    actor: Actor, values: Mapping[str, Any], quote: Quote, number: str, now: datetime
) -> Order:
    payments = values["payments"]
    largest = max(payments, key=lambda payment: payment["amount"], default=None)
    buyer: Buyer | None = quote.shelf.buyer
    trade = quote.shelf.trade
    return Order(
        id=uuid7(),
        store_id=actor.store_id,
        number=number,
        public_id=secrets.token_urlsafe(16),
        channel=Channel.POS,
        status=Status.DELIVERED,
        fulfillment_status=FulfillmentStatus.DELIVERED,
        payment_status=PaymentStatus.PAID,
        payment_method=largest["method"] if largest else PaymentMethod.CASH,
        fulfillment_type=FulfillmentType.WAREHOUSE,
        customer_id=buyer.id if buyer else None,
        customer_name=buyer.name if buyer else "",
        customer_phone=buyer.phone if buyer else None,
        notes=values.get("notes"),
        items_count=len(quote.lines),
        units_count=sum(line.quantity for line in quote.lines),
        currency_code=trade.currency,
        tax_rate=trade.tax_rate,
        prices_include_tax=trade.prices_include_tax,
        amount_paid=quote.totals.total,
        placed_at=now,
        confirmed_at=now,
        shipped_at=now,
        delivered_at=now,
        **discounts_of(quote),
        **amounts_of(quote.totals),
    )


def count_customer(order: Order, now: datetime) -> None:
    if order.customer_id:
        net = order.subtotal - order.discount_total
        known = count_order(order.customer_id, orders_count=1, delivered_count=1, total_spent=net)
        if not known:
            raise refuse("customerId", "not_found", "There is no such customer in this store.")


def take_from_shelf(actor: Actor, order: Order, lines: Sequence[OrderItem]) -> list[StockMovement]:
    """Pieces leave the shelf at once; the movements of it."""
    demand: dict[UUID, int] = {}
    for line in lines:
        if line.inventory_item_id:
            demand[line.inventory_item_id] = demand.get(line.inventory_item_id, 0) + line.quantity
    left, short = stock.take(demand)
    if short:
        skus = {line.inventory_item_id: line.sku for line in lines}
        raise stock.insufficient(
            {
                "sku": skus[shortage.item_id],
                "requested": demand[shortage.item_id],
                "available": shortage.available,
            }
            for shortage in short
        )
    take_present_costs(lines)  # a receipt that held the shelf may have changed them
    return [
        StockMovement(
            id=uuid7(),
            store_id=order.store_id,
            item_id=line.inventory_item_id,
            product_id=line.product_id,
            delta=-line.quantity,
            reason=stock.Reason.POS_SALE,
            balance_after=left[line.inventory_item_id],
            unit_cost=line.unit_cost,
            ref_type="order",
            ref_id=order.pk,
            actor_kind=actor.kind,
            actor_id=actor.id,
        )
        for line in lines
        if line.inventory_item_id and line.product_id
    ]


def payment_row(
    order: Order, actor: Actor, payment: Mapping[str, Any], now: datetime
) -> OrderPayment:
    return OrderPayment(
        store_id=order.store_id,
        order_id=order.pk,
        kind=OrderPayment.Kind.PAYMENT,
        method=payment["method"],
        amount=payment["amount"],
        reference=payment.get("reference"),
        at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def entry_row(
    order: Order, actor: Actor, session: CashierSession, payment: Mapping[str, Any]
) -> DrawerEntry:
    return DrawerEntry(
        store_id=order.store_id,
        session=session,
        kind=DrawerEntry.Kind.SALE,
        method=payment["method"],
        amount=payment["amount"],
        order_id=order.pk,
        actor_id=actor.id,
    )


def shown_payment(payment: Mapping[str, Any], currency: str) -> dict[str, Any]:
    tendered = payment.get("tendered") or payment["amount"]
    return {
        "method": payment["method"],
        "amount": format_money(payment["amount"], currency),
        "tendered": format_money(tendered, currency),
        "change": format_money(tendered - payment["amount"], currency),
        "reference": payment.get("reference"),
    }


# Refunds


@transaction.atomic
def refund_sale(
    actor: Actor,
    order_id: UUID,
    *,
    lines: Sequence[Mapping[str, Any]],
    method: str,
    restock: bool,
    reason: str | None,
) -> SaleRefund:
    """Goods back, money out of the caller's open session. Raises Conflict `no_active_session` or
    `drawer_short`, Refusal `over_return` for more than was sold and not given back."""
    sale = Sale.objects.of(actor.store_id).filter(order=order_id).first()
    if sale is None:
        raise NotFound
    mine = session_for(actor, None)
    order = locked_order(actor.store_id, order_id)
    items = {item.pk: item for item in order.items.all()}
    counts = units_back(items, lines)
    session = locked_session(actor.store_id, mine.pk)
    with counted_anew(order):
        values = credit_units(order, items.values(), counts)
        for pk, count in counts.items():
            items[pk].quantity_returned += count
        put_back = [
            {
                "item_id": pk,
                "restock": count if restock else 0,
                "damaged": 0 if restock else count,
                "lost": 0,
            }
            for pk, count in counts.items()
        ]
        count_for_customer(order, total_spent=-sum(values.values(), ZERO))
        returns.put_away(
            actor,
            order,
            items,
            put_back,
            values,
            from_customer=True,
            reason=stock.Reason.POS_REFUND,
        )
        everything = all(i.quantity_returned == i.quantity for i in items.values())
        amount = money_back(order, items.values(), method, everything=everything)
        money.check_refund_limit(actor, order, amount)
        if method == CASH:
            take_out_of(session, amount)
        if amount:
            money.book_refund(order, actor, amount, method, reason=reason)
        returns.finish_if_all_is_back(order, items.values())
        returns.save_change(order, actor, items.values(), OrderEvent.Kind.RETURN, put_back)
    return booked_refund(actor, sale, session, order, amount, method, restock, counts)


def units_back(
    items: Mapping[UUID, OrderItem], lines: Sequence[Mapping[str, Any]]
) -> dict[UUID, int]:
    """Units by line id; without lines all that the customer still has."""
    if not lines:
        counts = {pk: i.quantity - i.quantity_returned for pk, i in items.items()}
        counts = {pk: count for pk, count in counts.items() if count}
        if not counts:
            raise refuse("lines", "over_return", "Everything came back already.")
        return counts
    by_sku = {item.sku.upper(): pk for pk, item in items.items()}
    wanted: dict[UUID, int] = {}
    for place, line in enumerate(lines):
        pk = line.get("item_id") or by_sku.get((line.get("sku") or "").upper())
        if pk is None or pk not in items:
            raise refuse(f"lines.{place}.itemId", "not_found", "There is no such line.")
        if pk in wanted:
            raise refuse(f"lines.{place}.itemId", "invalid", "A line stands twice.")
        left = items[pk].quantity - items[pk].quantity_returned
        if line["quantity"] > left:
            message = f"Only {left} of this line can come back."
            raise refuse(f"lines.{place}.quantity", "over_return", message)
        wanted[pk] = line["quantity"]
    return wanted


def money_back(
    order: Order, items: Iterable[OrderItem], method: str, *, everything: bool
) -> Decimal:
    """What the customer gets for what was credited: all that is left when everything came back,
    else in whole notes where it is cash. What rounding gave or kept before is made up for, so that
    all refunds together are within half a note of the goods. Nothing where it was given back by
    itself before."""
    if everything:
        order.returns_total = order.total
    owed = max(-amount_due(order), ZERO)
    if everything or not owed:
        return owed
    exact = max(owed - (order.returns_total - credited(order, items)), ZERO)
    paid = order.amount_paid - order.amount_refunded
    amount: Decimal = min(round_to_multiple(exact, note_of(order, method)), paid)
    order.returns_total += amount - owed
    return amount


def note_of(order: Order, method: str) -> Decimal:
    """What a refund is rounded to: the till's smallest note, where it is cash."""
    if method != CASH:
        return ZERO
    trade = StoreSettings.objects.get(store_id=order.store_id)
    till = settings_of_till(order.store_id)
    note: Decimal = trade.cash_rounding if till.cash_rounding is None else till.cash_rounding
    return note


def booked_refund(
    actor: Actor,
    sale: Sale,
    session: CashierSession,
    order: Order,
    amount: Decimal,
    method: str,
    restock: bool,
    counts: Mapping[UUID, int],
) -> SaleRefund:
    if amount:
        DrawerEntry.objects.create(
            store_id=order.store_id,
            session=session,
            kind=DrawerEntry.Kind.REFUND,
            method=method,
            amount=amount,
            order_id=order.pk,
            actor_id=actor.id,
        )
    refund: SaleRefund = SaleRefund.objects.create(
        store_id=order.store_id,
        sale=sale,
        session=session,
        method=method,
        amount=amount,
        restock=restock,
        lines=[{"itemId": str(pk), "quantity": count} for pk, count in counts.items()],
    )
    return refund
