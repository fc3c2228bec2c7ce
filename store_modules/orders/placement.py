"""Placing an order: one read of all that it needs, plain arithmetic, then the writes under locks.

Reading happens before the transaction. What may change in between is guarded inside it: stock by
its locks, the customer and the external reference by their constraints.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from math import asin, cos, radians, sin, sqrt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from store_modules.catalog import stock
from store_modules.catalog.skus import repeated_skus
from store_modules.geography.services import find_address
from store_modules.orders.models import (
    Channel,
    FulfillmentType,
    Order,
    OrderEvent,
    OrderItem,
    OrderPayment,
    PaymentMethod,
    Source,
)
from store_modules.orders.status import PaymentStatus, RemittanceStatus, Status
from store_modules.orders.totals import Line, Terms, Totals, totals_of
from store_modules.stores.models import FeePayer
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict, NotFound, Refusal
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.money import format_money, round_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.problems import on_violation
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.writing import insert

ZERO = Decimal(0)
FAR_FROM_AREA_KM = 50
HIGH_REFUSAL = (3, Decimal("0.5"))  # outcomes, rate


def refuse(field: str, code: str, message: str) -> Refusal:
    return Refusal(code, message, errors={field: [message]})


@on_violation("order_external_ref_taken")
def who_has_the_reference(values: dict[str, str]) -> dict[str, Any]:
    found = Order.objects.filter(store_id=values["store_id"], external_ref=values["external_ref"])
    return {"orderId": found.values_list("pk", flat=True).first()}


# What is read


@dataclass(frozen=True, slots=True)
class Trade:
    """The store's settings that an order depends on."""

    currency: str
    country: str
    cash_rounding: Decimal
    default_fee: Decimal | None
    fee_payer: str
    tax_rate: Decimal
    prices_include_tax: bool
    require_catalog_items: bool
    auto_confirm: bool
    require_otp: bool
    storefront_methods: Sequence[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parcel goes."""

    area_id: UUID
    area_name: str
    province_code: str
    province_name: str
    lat: Decimal | None
    lng: Decimal | None


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer that the store knows already."""

    id: UUID
    name: str
    phone: str | None
    secondary_phone: str | None
    email: str | None
    is_blocked: bool
    delivered: int
    refused: int


@dataclass(frozen=True, slots=True)
class Article:
    """A product with its inventory row."""

    id: UUID
    sku: str
    name: str
    product_type: str
    price: Decimal | None
    cost: Decimal | None
    weight: int
    tracked: bool
    is_active: bool
    item_id: UUID | None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Everything one order needs, as one query found it."""

    trade: Trade
    place: Place | None
    buyer: Buyer | None
    by_sku: Mapping[str, Article]
    by_id: Mapping[UUID, Article]

    def article(self, item: Mapping[str, Any]) -> Article | None:
        if item.get("product_id"):
            return self.by_id.get(item["product_id"])
        return self.by_sku.get(item["sku"].upper())


GATHER = """
SELECT trade.currency_code, trade.country_code, trade.cash_rounding, trade.default_delivery_fee,
  trade.delivery_fee_payer, trade.tax_rate, trade.prices_include_tax, trade.require_catalog_items,
  trade.auto_confirm_orders, trade.require_otp_for_storefront, trade.storefront_payment_methods,
  area.id, area.name, province.code, province.name, area.lat, area.lng,
  area.is_active AND province.is_active AND NOT province.is_group,
  buyer.id, buyer.name, buyer.primary_phone, buyer.secondary_phone, buyer.email, buyer.is_blocked,
  buyer.delivered_count, buyer.refused_count,
  product.id, product.sku, product.name, product.product_type, product.price, product.cost_price,
  product.weight_grams, product.track_inventory, product.is_active, item.id
FROM stores_storesettings trade
LEFT JOIN geography_area area ON area.id = %(area)s
LEFT JOIN geography_province province ON province.code = area.province_id
LEFT JOIN customers_customer buyer ON buyer.store_id = trade.store_id
  AND buyer.deleted_at IS NULL AND {buyer}
LEFT JOIN catalog_product product ON product.store_id = trade.store_id
  AND product.deleted_at IS NULL AND {products}
LEFT JOIN catalog_inventoryitem item ON item.product_id = product.id
WHERE trade.store_id = %(store)s
"""


def gather(
    store_id: UUID,
    items: Sequence[Mapping[str, Any]],
    *,
    area_id: UUID | None,
    phone: str | None = None,
    customer_id: UUID | None = None,
) -> Shelf:
    """One query for the settings, the area, the customer and the products of an order."""
    skus = [item["sku"].upper() for item in items if item.get("sku")]
    ids = [item["product_id"] for item in items if item.get("product_id")]
    by_sku, by_id = "upper(product.sku) = ANY(%(skus)s)", "product.id = ANY(%(ids)s)"
    products = f"({by_sku} OR {by_id})" if skus and ids else by_id if ids else by_sku
    buyer = "buyer.id = %(customer)s" if customer_id else "buyer.primary_phone = %(phone)s"
    with prepared() as cursor:
        cursor.execute(
            GATHER.format(buyer=buyer, products=products),
            {
                "store": store_id,
                "area": area_id,
                "phone": phone,
                "customer": customer_id,
                "skus": skus,
                "ids": ids,
            },
        )
        rows = cursor.fetchall()
    if not rows:
        raise Conflict(
            "settings_not_initialized", "Set the store's currency first: POST /settings."
        )
    first = rows[0]
    articles = [Article(*row[26:]) for row in rows if row[26] is not None]
    return Shelf(
        trade=Trade(*first[:11]),
        place=Place(first[11], first[12], first[13], first[14], first[15], first[16])
        if first[17]
        else None,
        buyer=Buyer(*first[18:26]) if first[18] else None,
        by_sku={article.sku.upper(): article for article in articles},
        by_id={article.id: article for article in articles},
    )


# What is worked out


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line with its price settled."""

    article: Article | None
    sku: str
    name: str
    note: str | None
    quantity: int
    unit_price: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Quote:
    """An order priced but not placed."""

    shelf: Shelf
    lines: Sequence[OrderLine]
    totals: Totals
    fee_source: str
    fee_payer: str
    risk_flags: Sequence[str]


def quote(actor: Actor, values: Mapping[str, Any], channel: Channel) -> Quote:
    """Price an order's input without storing anything. Raises Refusal for what it cannot be."""
    items = values["items"]
    refuse_repeats(items)
    customer = values.get("customer") or {}
    shelf = gather(
        actor.store_id,
        items,
        area_id=values.get("address_area_id"),
        phone=customer.get("primary_phone"),
        customer_id=values.get("customer_id"),
    )
    if values.get("customer_id") and shelf.buyer is None:
        raise refuse("customerId", "not_found", "There is no such customer in this store.")
    shelf = with_checked_place(shelf, values)
    day = values.get("scheduled_for")
    if day and day < timezone.now().astimezone(ZoneInfo(actor.store.timezone or "UTC")).date():
        raise refuse("scheduledFor", "invalid", "A day from today on.")
    lines = [line_of(shelf, item, place, values, channel) for place, item in enumerate(items)]
    fee, fee_source = delivery_fee(shelf.trade, values, channel)
    payer = values.get("delivery_fee_payer") if channel != Channel.STOREFRONT else None
    payer = payer or shelf.trade.fee_payer
    totals = totals_of(
        [Line(line.quantity, line.unit_price) for line in lines],
        terms_of(shelf.trade, values["payment_method"], fee, payer),
    )
    return Quote(shelf, lines, totals, fee_source, payer, risk_flags(shelf, values, channel))


def refuse_repeats(items: Sequence[Mapping[str, Any]]) -> None:
    """One line an SKU: the repeated ones are listed as first written."""
    repeated = repeated_skus([item["sku"] for item in items if item.get("sku")])
    ids = [item["product_id"] for item in items if item.get("product_id")]
    repeated += sorted({str(found) for found in ids if ids.count(found) > 1})
    if repeated:
        raise Refusal("validation_error", "items contains duplicate SKUs.", skus=repeated)


def with_checked_place(shelf: Shelf, values: Mapping[str, Any]) -> Shelf:
    """The shelf, when area and province meet; `find_address` says what is wrong when not."""
    code = values["address_province_code"].strip().upper()
    full = code if "-" in code else f"{shelf.trade.country}-{code}"
    if shelf.place is None or shelf.place.province_code != full:
        find_address(shelf.trade.country, code, values["address_area_id"])
        raise refuse("addressAreaId", "not_found", "There is no such area.")
    return shelf


def line_of(
    shelf: Shelf, item: Mapping[str, Any], place: int, values: Mapping[str, Any], channel: Channel
) -> OrderLine:
    from_storefront = channel == Channel.STOREFRONT
    price = None if from_storefront else item.get("unit_price")
    article = shelf.article(item)
    if article is None:
        if item.get("product_id"):
            raise refuse(f"items.{place}.productId", "not_found", "There is no such product.")
        return ad_hoc_line(shelf.trade, item, place, price, values["fulfillment_type"])
    if not article.is_active or article.product_type == "parent":
        raise refuse(f"items.{place}.sku", "not_sellable", "This product is not for sale.")
    if price is None and article.price is None:
        if from_storefront:
            raise refuse(f"items.{place}.sku", "not_sellable", "This product has no price.")
        raise refuse(f"items.{place}.unitPrice", "required", "The product has no price; give one.")
    return OrderLine(
        article=article,
        sku=article.sku,
        name=item.get("name") or article.name if not from_storefront else article.name,
        note=item.get("note"),
        quantity=item["quantity"],
        unit_price=price if price is not None else article.price or ZERO,
        source=Source.CLIENT if price is not None else Source.SERVER,
    )


def ad_hoc_line(
    trade: Trade,
    item: Mapping[str, Any],
    place: int,
    price: Decimal | None,
    fulfillment_type: str,
) -> OrderLine:
    """A line of something outside the catalogue: only where a courier fetches it from the store."""
    allowed = fulfillment_type == FulfillmentType.FROM_TO and not trade.require_catalog_items
    if not allowed or not item.get("name") or price is None:
        raise refuse(f"items.{place}.sku", "unknown_sku", "There is no product with this SKU.")
    return OrderLine(
        None, item["sku"], item["name"], item.get("note"), item["quantity"], price, Source.CLIENT
    )


def delivery_fee(trade: Trade, values: Mapping[str, Any], channel: Channel) -> tuple[Decimal, str]:
    """The fee the caller names, else the store's."""
    given = values.get("delivery_fee") if channel != Channel.STOREFRONT else None
    if given is not None:
        return given, Source.CLIENT
    if trade.default_fee is None:
        raise Refusal("no_shipping_rule", "No delivery fee is set for this place.")
    return round_money(trade.default_fee, trade.currency), Source.SERVER


def terms_of(trade: Trade, payment_method: str, fee: Decimal, payer: str) -> Terms:
    is_cash = payment_method in (PaymentMethod.COD, PaymentMethod.CASH)
    return Terms(
        currency=trade.currency,
        delivery_fee=fee,
        store_pays_delivery=payer == FeePayer.STORE,
        tax_rate=trade.tax_rate,
        prices_include_tax=trade.prices_include_tax,
        cash_rounding=trade.cash_rounding if is_cash else ZERO,
    )


def risk_flags(shelf: Shelf, values: Mapping[str, Any], channel: Channel) -> list[str]:
    """Advice, never a silent refusal (domain.md, section 18)."""
    flags = []
    buyer = shelf.buyer
    if buyer is not None:
        if buyer.is_blocked:
            if channel == Channel.STOREFRONT:
                raise Refusal("customer_blocked", "This customer cannot order here.")
            flags.append("customer_blocked")
        outcomes = buyer.delivered + buyer.refused
        least, rate = HIGH_REFUSAL
        if outcomes >= least and Decimal(buyer.refused) / outcomes >= rate:
            flags.append("high_refusal")
    if channel == Channel.STOREFRONT and not values.get("otp_code"):
        flags.append("unverified_phone")
    place, lat, lng = shelf.place, values.get("delivery_lat"), values.get("delivery_lng")
    centre = (place.lat, place.lng) if place else (None, None)
    if None not in (lat, lng, *centre) and distance_km((lat, lng), centre) > FAR_FROM_AREA_KM:
        flags.append("area_mismatch")
    return flags


def distance_km(pin: tuple[Any, Any], centre: tuple[Any, Any]) -> float:
    """Great-circle distance of two (latitude, longitude) in degrees."""
    a_lat, a_lng, b_lat, b_lng = (radians(float(degrees)) for degrees in (*pin, *centre))
    half = sin((b_lat - a_lat) / 2) ** 2
    half += cos(a_lat) * cos(b_lat) * sin((b_lng - a_lng) / 2) ** 2
    return 12742 * asin(sqrt(half))


# What is written


def order_number(store_id: UUID) -> str:
    """The next ORD number, taken outside the order's transaction."""
    return f"ORD-{take_numbers(store_id, 'order')[0]}"


def place_order(
    actor: Actor,
    values: Mapping[str, Any],
    priced: Quote,
    *,
    channel: Channel,
    number: str,
    otp_verified_at: datetime | None = None,
) -> Order:
    """Store a priced order and set its stock aside; call it inside the caller's transaction.
    Raises Conflict `insufficient_stock`, or `duplicate_external_ref` by its constraint."""
    is_draft = bool(values.get("is_draft"))
    now = timezone.now()
    customer = values.get("customer") or buyer_as_customer(priced.shelf.buyer)
    order = order_row(actor, values, priced, customer, channel=channel, number=number, now=now)
    order.customer_id = store_customer(actor, customer, priced, now, counts=not is_draft)
    if otp_verified_at:
        order.otp_verified, order.otp_verified_at = True, otp_verified_at
    settle_status(order, priced, is_draft=is_draft, now=now)
    lines = item_rows(order, priced)
    if not is_draft:
        set_aside(lines)
    if order.payment_method == PaymentMethod.PREPAID and channel != Channel.STOREFRONT:
        book_prepayment(order)
    insert(
        [order],
        lines,
        [payment_row(order, actor, now)] if order.amount_paid else [],
        created_events(order, actor),
        [outbox_row(order, "order.created")],
    )
    return order


def buyer_as_customer(buyer: Buyer | None) -> Mapping[str, Any]:
    if buyer is None:
        raise NotFound
    return {
        "name": buyer.name,
        "primary_phone": buyer.phone,
        "secondary_phone": buyer.secondary_phone,
        "email": buyer.email,
    }


def order_row(
    actor: Actor,
    values: Mapping[str, Any],
    priced: Quote,
    customer: Mapping[str, Any],
    *,
    channel: Channel,
    number: str,
    now: datetime,
) -> Order:
    place, totals, trade = priced.shelf.place, priced.totals, priced.shelf.trade
    assert place is not None  # checked while pricing
    return Order(
        id=uuid7(),
        store_id=actor.store_id,
        number=number,
        public_id=secrets.token_urlsafe(16),
        channel=channel,
        payment_method=values["payment_method"],
        fulfillment_type=values["fulfillment_type"],
        delivery_mode=values["delivery_mode"],
        customer_name=customer["name"],
        customer_phone=customer["primary_phone"],
        customer_secondary_phone=customer["secondary_phone"],
        customer_email=customer["email"],
        area_id=place.area_id,
        area_name=place.area_name,
        province_code=place.province_code,
        province_name=place.province_name,
        address=values.get("address"),
        landmark=values.get("landmark"),
        delivery_lat=values.get("delivery_lat"),
        delivery_lng=values.get("delivery_lng"),
        pickup=values.get("pickup"),
        notes=values.get("notes"),
        internal_notes=values.get("internal_notes") if channel != Channel.STOREFRONT else None,
        external_ref=values.get("external_ref") or None,
        scheduled_for=values.get("scheduled_for"),
        metadata=values.get("metadata") or {},
        risk_flags=list(priced.risk_flags),
        items_count=len(priced.lines),
        units_count=sum(line.quantity for line in priced.lines),
        currency_code=trade.currency,
        tax_rate=trade.tax_rate,
        prices_include_tax=trade.prices_include_tax,
        delivery_fee_source=priced.fee_source,
        delivery_fee_payer=priced.fee_payer,
        placed_at=now,
        **amounts_of(totals),
    )


def amounts_of(totals: Totals) -> dict[str, Decimal]:
    """The order's columns for its totals."""
    return {
        "subtotal": totals.subtotal,
        "discount_total": totals.discount_total,
        "delivery_fee": totals.delivery_fee,
        "delivery_discount": totals.delivery_discount,
        "delivery_cost": totals.delivery_cost,
        "tax_total": totals.tax_total,
        "tax_included": totals.tax_included,
        "rounding": totals.rounding,
        "total": totals.total,
    }


def settle_status(order: Order, priced: Quote, *, is_draft: bool, now: datetime) -> None:
    if is_draft:
        order.status = Status.DRAFT
    elif priced.shelf.trade.auto_confirm and not order.risk_flags:
        order.status, order.confirmed_at = Status.CONFIRMED, now
    else:
        order.status = Status.PENDING
    if order.payment_method == PaymentMethod.COD:
        order.remittance_status = RemittanceStatus.AWAITING_COLLECTION


def item_rows(order: Order, priced: Quote) -> list[OrderItem]:
    return [
        OrderItem(
            id=uuid7(),
            store_id=order.store_id,
            order_id=order.pk,
            place=place,
            product_id=line.article.id if line.article else None,
            inventory_item_id=line.article.item_id
            if line.article and line.article.tracked
            else None,
            sku=line.sku,
            name=line.name,
            note=line.note,
            quantity=line.quantity,
            unit_price=line.unit_price,
            price_source=line.source,
            unit_cost=line.article.cost if line.article else None,
            weight_grams=line.article.weight if line.article else 0,
            line_subtotal=amounts.subtotal,
            discount_amount=amounts.discount,
            line_total=amounts.total,
        )
        for place, (line, amounts) in enumerate(zip(priced.lines, priced.totals.lines, strict=True))
    ]


def set_aside(lines: Sequence[OrderItem]) -> None:
    """Reserve what the lines need, summed by inventory item, and note it on them."""
    demand: dict[UUID, int] = {}
    for line in lines:
        if line.inventory_item_id:
            demand[line.inventory_item_id] = (
                demand.get(line.inventory_item_id, 0) + line.quantity - line.quantity_reserved
            )
    if short := stock.reserve({item: count for item, count in demand.items() if count > 0}):
        skus = {line.inventory_item_id: line.sku for line in lines}
        raise stock.insufficient(
            {
                "sku": skus[shortage.item_id],
                "requested": demand[shortage.item_id],
                "available": shortage.available,
            }
            for shortage in short
        )
    for line in lines:
        if line.inventory_item_id:
            line.quantity_reserved = line.quantity


# Finds the customer by phone or makes one; fills what is empty, never overwrites a name.
STORE_CUSTOMER = """
INSERT INTO customers_customer AS known (id, store_id, version, created_at, updated_at, name,
  primary_phone, secondary_phone, email, tags, is_blocked, currency_code, orders_count,
  delivered_count, refused_count, returned_count, total_spent, first_order_at, last_order_at)
VALUES (%(id)s, %(store)s, 1, %(now)s, %(now)s, %(name)s, %(phone)s, %(secondary)s, %(email)s,
  '{}', false, %(currency)s, %(count)s, 0, 0, 0, 0, %(first)s, %(first)s)
ON CONFLICT (store_id, primary_phone) WHERE deleted_at IS NULL DO UPDATE SET
  secondary_phone = COALESCE(known.secondary_phone, EXCLUDED.secondary_phone),
  email = COALESCE(known.email, EXCLUDED.email),
  orders_count = known.orders_count + EXCLUDED.orders_count,
  first_order_at = COALESCE(known.first_order_at, EXCLUDED.first_order_at),
  last_order_at = COALESCE(EXCLUDED.last_order_at, known.last_order_at)
RETURNING id
"""


def store_customer(
    actor: Actor, customer: Mapping[str, Any], priced: Quote, now: datetime, *, counts: bool
) -> UUID:
    with prepared() as cursor:
        cursor.execute(
            STORE_CUSTOMER,
            {
                "id": uuid7(),
                "store": actor.store_id,
                "now": now,
                "name": customer["name"],
                "phone": customer["primary_phone"],
                "secondary": customer["secondary_phone"],
                "email": customer["email"],
                "currency": priced.shelf.trade.currency,
                "count": int(counts),
                "first": now if counts else None,
            },
        )
        customer_id: UUID = cursor.fetchone()[0]
    return customer_id


def book_prepayment(order: Order) -> None:
    order.amount_paid = order.total
    if order.total:
        order.payment_status = PaymentStatus.PAID


def payment_row(order: Order, actor: Actor, now: datetime) -> OrderPayment:
    return OrderPayment(
        store_id=order.store_id,
        order_id=order.pk,
        kind=OrderPayment.Kind.PAYMENT,
        method=order.payment_method,
        amount=order.amount_paid,
        at=now,
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def event_row(
    order: Order,
    actor: Actor,
    kind: str,
    *,
    from_status: str = "",
    to_status: str = "",
    reason: str | None = None,
    data: dict[str, Any] | None = None,
) -> OrderEvent:
    return OrderEvent(
        store_id=order.store_id,
        order_id=order.pk,
        kind=kind,
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        data=data or {},
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label,
    )


def created_events(order: Order, actor: Actor) -> list[OrderEvent]:
    created = Status.PENDING if order.status == Status.CONFIRMED else order.status
    events = [event_row(order, actor, OrderEvent.Kind.CREATED, to_status=created)]
    if order.status == Status.CONFIRMED:
        system = replace(actor, kind="system", id="", label="auto-confirm")
        events.append(
            event_row(
                order,
                system,
                OrderEvent.Kind.STATUS,
                from_status=created,
                to_status=order.status,
            )
        )
    return events


def outbox_row(order: Order, event_type: str) -> OutboxEvent:
    return OutboxEvent(
        store_id=order.store_id,
        type=event_type,
        subject_id=order.pk,
        sequence=order.version,
        data={
            "id": str(order.pk),
            "number": order.number,
            "externalRef": order.external_ref,
            "status": order.status,
            "total": format_money(order.total, order.currency_code),
            "currencyCode": order.currency_code,
        },
        request_id="",
    )
