"""Pricing an order: one read of all that it needs, then plain arithmetic. Nothing is stored.

What may change before the order is placed is guarded there: stock by its locks, the customer and
the external reference by their constraints, discounts by their counters.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import asin, cos, radians, sin, sqrt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from store_modules.catalog.skus import repeated_skus
from store_modules.discounts import pricing
from store_modules.discounts import services as discounts
from store_modules.geography.services import find_address
from store_modules.orders.models import Channel, FulfillmentType, Order, PaymentMethod, Source
from store_modules.orders.status import Status
from store_modules.orders.totals import Line, Terms, Totals, totals_of
from store_modules.shipping import services as shipping
from store_modules.shipping.choosing import Box, Parcel, choose
from store_modules.stores.models import FeePayer
from storeplatform.kernel.cache import ShortMemory
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict, Refusal, refuse
from storeplatform.kernel.money import round_money
from storeplatform.kernel.tenancy import Actor

ZERO = Decimal(0)
FAR_FROM_AREA_KM = 50
HIGH_REFUSAL = (3, Decimal("0.5"))  # outcomes, rate
LARGE_TIMES = 5  # the store's usual order


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
    orders: int
    tags: Sequence[str]


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
    category_ids: Sequence[UUID] | None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Everything one order needs, as one query found it."""

    store_id: UUID
    trade: Trade
    place: Place | None
    buyer: Buyer | None
    by_sku: Mapping[str, Article]
    by_id: Mapping[UUID, Article]
    has_discount_rules: bool
    has_shipping_rules: bool
    has_packages: bool
    ordered_lately: bool  # the same person, some of the same goods, within a day

    def article(self, item: Mapping[str, Any]) -> Article | None:
        if item.get("product_id"):
            return self.by_id.get(item["product_id"])
        return self.by_sku.get(item["sku"].upper())


GATHER = """
SELECT trade.currency_code, trade.country_code, trade.cash_rounding, trade.default_delivery_fee,
  trade.delivery_fee_payer, trade.tax_rate, trade.prices_include_tax, trade.require_catalog_items,
  trade.auto_confirm_orders, trade.require_otp_for_storefront, trade.storefront_payment_methods,
  EXISTS (SELECT 1 FROM discounts_discountrule rule WHERE rule.store_id = %(store)s
    AND rule.is_active AND rule.deleted_at IS NULL),
  EXISTS (SELECT 1 FROM shipping_shippingrule rule WHERE rule.store_id = %(store)s
    AND rule.is_active),
  EXISTS (SELECT 1 FROM shipping_packagesize package WHERE package.store_id = %(store)s
    AND package.deleted_at IS NULL),
  EXISTS (SELECT 1 FROM orders_order former JOIN orders_orderitem line ON line.order_id = former.id
    WHERE former.store_id = %(store)s AND {former}
      AND former.created_at > now() - interval '1 day' AND former.status <> 'cancelled'
      AND (upper(line.sku) = ANY(%(skus)s) OR line.product_id = ANY(%(ids)s))),
  area.id, area.name, province.code, province.name, area.lat, area.lng,
  area.is_active AND province.is_active AND NOT province.is_group,
  buyer.id, buyer.name, buyer.primary_phone, buyer.secondary_phone, buyer.email, buyer.is_blocked,
  buyer.delivered_count, buyer.refused_count, buyer.orders_count, buyer.tags,
  product.id, product.sku, product.name, product.product_type, product.price, product.cost_price,
  product.weight_grams, product.track_inventory, product.is_active, item.id,
  category.path
FROM stores_storesettings trade
LEFT JOIN geography_area area ON area.id = %(area)s
LEFT JOIN geography_province province ON province.code = area.province_id
LEFT JOIN customers_customer buyer ON buyer.store_id = trade.store_id
  AND buyer.deleted_at IS NULL AND {buyer}
LEFT JOIN catalog_product product ON product.store_id = trade.store_id
  AND product.deleted_at IS NULL AND {products}
LEFT JOIN catalog_inventoryitem item ON item.product_id = product.id
LEFT JOIN catalog_category category ON category.id = product.category_id
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
    former = (
        "former.customer_id = %(customer)s" if customer_id else "former.customer_phone = %(phone)s"
    )
    with prepared() as cursor:
        cursor.execute(
            GATHER.format(buyer=buyer, products=products, former=former),
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
    articles = [Article(*row[32:]) for row in rows if row[32] is not None]
    return Shelf(
        store_id=store_id,
        trade=Trade(*first[:11]),
        place=Place(*first[15:21]) if first[21] else None,
        buyer=Buyer(*first[22:32]) if first[22] else None,
        by_sku={article.sku.upper(): article for article in articles if article.sku},
        by_id={article.id: article for article in articles},
        has_discount_rules=first[11],
        has_shipping_rules=first[12],
        has_packages=first[13],
        ordered_lately=first[14],
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

    def subtotal(self, currency: str) -> Decimal:
        return round_money(self.unit_price * self.quantity, currency)


@dataclass(frozen=True, slots=True)
class Quote:
    """An order priced but not placed."""

    shelf: Shelf
    lines: Sequence[OrderLine]
    totals: Totals
    fee_source: str
    fee_payer: str
    risk_flags: Sequence[str]
    discounts: Sequence[pricing.Applied] = ()
    code: str | None = None
    box: Box | None = None


def quote(
    actor: Actor,
    values: Mapping[str, Any],
    channel: Channel,
    *,
    standing: Order | None = None,
) -> Quote:
    """Price an order's input without storing anything. Raises Refusal for what it cannot be.
    An order that is `standing` already is priced anew as of the time when it was placed: with its
    taxes, as what came through its channel, and without its own uses of discounts."""
    items = values["items"]
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
    if standing:
        trade = replace(
            shelf.trade,
            tax_rate=standing.tax_rate,
            prices_include_tax=standing.prices_include_tax,
        )
        shelf = replace(shelf, trade=trade)
    day = values.get("scheduled_for")
    if day and day < timezone.now().astimezone(ZoneInfo(actor.store.timezone or "UTC")).date():
        raise refuse("scheduledFor", "invalid", "A day from today on.")
    lines = settled_lines(shelf, values, channel)
    payer = values.get("delivery_fee_payer") if channel != Channel.STOREFRONT else None
    payer = payer or shelf.trade.fee_payer
    box = box_of(actor, shelf, values)
    delivery = Delivery(actor, shelf, values, channel, lines, box)
    store_pays = payer == FeePayer.STORE
    priced = discounted(
        actor,
        shelf,
        lines,
        channel,
        code=values.get("discount_code"),
        phone=customer.get("primary_phone") or (shelf.buyer.phone if shelf.buyer else None),
        fee=lambda net: ZERO if store_pays else delivery.fee(net),
        standing=standing,
    )
    terms = terms_of(shelf.trade, values["payment_method"], delivery.settled(priced), payer)
    totals = totals_with(lines, priced, terms)
    flags = risk_flags(shelf, values, channel, totals.total) if standing is None else []
    return Quote(
        shelf=shelf,
        lines=lines,
        totals=totals,
        fee_source=delivery.source,
        fee_payer=payer,
        risk_flags=flags,
        discounts=priced.applied,
        code=next((one.offer.code for one in priced.applied if one.offer.code), None),
        box=box,
    )


def totals_with(lines: Sequence[OrderLine], priced: pricing.Priced, terms: Terms) -> Totals:
    """The totals of lines whose discounts are settled."""
    return totals_of(
        [
            Line(line.quantity, line.unit_price, discount=discount)
            for line, discount in zip(lines, priced.lines, strict=True)
        ],
        replace(terms, delivery_discount=priced.delivery_discount),
    )


def discounted(
    actor: Actor,
    shelf: Shelf,
    lines: Sequence[OrderLine],
    channel: Channel,
    *,
    code: str | None,
    phone: str | None,
    fee: Callable[[Decimal], Decimal],
    standing: Order | None = None,
    own: Sequence[Decimal] = (),
) -> pricing.Priced:
    """What rules, the code and the lines' `own` discounts take off. Refuses a code that does not
    hold, on the field `discountCode`."""
    currency = shelf.trade.currency
    owns = own or [ZERO] * len(lines)
    if not shelf.has_discount_rules and not code:
        net = sum((line.subtotal(currency) for line in lines), ZERO)
        return pricing.Priced(tuple(owns), fee=fee(net - sum(owns, ZERO)))
    now = standing.placed_at if standing else timezone.now()
    but_order = standing.pk if standing else None
    offer = None
    if code:
        kept_id = code_of(standing, code) if standing else None
        offer = discounts.find_code(
            actor.store_id, code, phone=phone, but_order=but_order, kept_id=kept_id
        )
        if offer is None:
            raise refuse_code("not_found")
    rules = (
        discounts.rules_for(actor.store_id, now, phone=phone, but_order=but_order)
        if shelf.has_discount_rules
        else []
    )
    buyer = shelf.buyer
    try:
        return pricing.price(
            [
                pricing.Line(
                    subtotal=line.subtotal(currency),
                    quantity=line.quantity,
                    product_id=line.article.id if line.article else None,
                    category_ids=frozenset(line.article.category_ids or ())
                    if line.article
                    else frozenset(),
                    own_discount=discount,
                )
                for line, discount in zip(lines, owns, strict=True)
            ],
            rules,
            offer,
            fee=fee,
            currency=currency,
            now=now,
            customer=pricing.Customer(
                orders_before(standing, buyer) if standing else buyer.orders,
                frozenset(buyer.tags),
            )
            if buyer
            else pricing.Customer(is_anonymous=phone is None),
            channel=standing.channel if standing else channel,
        )
    except pricing.CodeRefused as refused:
        raise refuse_code(refused.reason) from None


def code_of(order: Order, code: str) -> UUID | None:
    """The id of the code that an order was placed with, if it is this one."""
    used = [one for one in order.discounts if one["source"] == "code"]
    return next((UUID(one["id"]) for one in used if one["code"] == code.strip().upper()), None)


def orders_before(order: Order, buyer: Buyer) -> int:
    """How many orders a customer placed before one that stands."""
    earlier = Order.objects.of(order.store_id).filter(
        customer_id=buyer.id, placed_at__lt=order.placed_at
    )
    return earlier.exclude(status=Status.DRAFT).exclude(pk=order.pk).count()


CODE_REFUSALS = {
    "not_found": "There is no such code.",
    "inactive": "The code is switched off.",
    "not_started": "The code does not hold yet.",
    "expired": "The code has expired.",
    "usage_limit_reached": "The code was used up.",
    "customer_limit_reached": "This customer has used the code up.",
    "min_order_value_not_met": "The order is too small for the code.",
    "not_eligible": "The code does not hold for this order.",
    "code_not_combinable": "The code does not go with the discount that applies already.",
}


def refuse_code(reason: str) -> Refusal:
    return refuse("discountCode", reason, CODE_REFUSALS[reason])


def refuse_repeats(skus: Iterable[str]) -> None:
    """One line a product, whether it was named by SKU or by id."""
    if repeated := repeated_skus(skus):
        raise Refusal("validation_error", "items contains duplicate SKUs.", skus=repeated)


def settled_lines(shelf: Shelf, values: Mapping[str, Any], channel: Channel) -> Sequence[OrderLine]:
    """The order's lines with their prices; every line that cannot be is told at once."""
    lines, refused = [], []
    for place, item in enumerate(values["items"]):
        try:
            lines.append(line_of(shelf, item, place, values, channel))
        except Refusal as refusal:
            refused.append(refusal)
    if refused:
        errors = {name: told for one in refused for name, told in one.errors.items()}
        raise Refusal(refused[0].code, refused[0].message, errors=errors)
    refuse_repeats(line.sku for line in lines)
    return lines


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
    kept_sku = item.get("kept_sku")  # of a line that stands in the order already
    if article is None:
        if item.get("product_id") and kept_sku:  # the product is gone, the line stays as it is
            return OrderLine(
                None, kept_sku, item["name"], item.get("note"), item["quantity"], price or ZERO,
                Source.CLIENT,
            )  # fmt: skip
        if item.get("product_id"):
            raise refuse(f"items.{place}.productId", "not_found", "There is no such product.")
        return ad_hoc_line(shelf.trade, item, place, price, values["fulfillment_type"])
    if not kept_sku and (not article.is_active or article.product_type == "parent"):
        raise refuse(f"items.{place}.sku", "not_sellable", "This product is not for sale.")
    if article.price is None and channel in (Channel.STOREFRONT, Channel.POS):
        raise refuse(f"items.{place}.sku", "not_sellable", "This product has no price.")
    if price is None and article.price is None:
        raise refuse(f"items.{place}.unitPrice", "required", "The product has no price; give one.")
    return OrderLine(
        article=article,
        sku=kept_sku or article.sku,
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


def box_of(actor: Actor, shelf: Shelf, values: Mapping[str, Any]) -> Box | None:
    """The package that the order goes in: the named one, else the store's default."""
    package_id = values.get("package_size_id")
    if not shelf.has_packages and not package_id:
        return None
    return shipping.box_for(actor.store_id, package_id, kept=bool(values.get("keeps_package")))


class Delivery:
    """The fee that the caller names, else by the store's shipping rules, else its default."""

    def __init__(
        self,
        actor: Actor,
        shelf: Shelf,
        values: Mapping[str, Any],
        channel: Channel,
        lines: Sequence[OrderLine],
        box: Box | None,
    ) -> None:
        self.actor, self.shelf, self.values, self.lines, self.box = (
            actor, shelf, values, lines, box,
        )  # fmt: skip
        self.given: Decimal | None = (
            values.get("delivery_fee") if channel != Channel.STOREFRONT else None
        )
        self.source = Source.SERVER if self.given is None else Source.CLIENT

    def settled(self, priced: pricing.Priced) -> Decimal:
        """The fee of a priced order, also where the store bears it."""
        if priced.fee:
            return priced.fee
        currency = self.shelf.trade.currency
        subtotal = sum((line.subtotal(currency) for line in self.lines), ZERO)
        return self.fee(subtotal - sum(priced.lines, ZERO))

    def fee(self, net: Decimal) -> Decimal:
        """What delivering goods worth `net` costs."""
        if self.given is not None:
            return self.given
        currency = self.shelf.trade.currency
        fee = self.by_rule(net, currency) if self.shelf.has_shipping_rules else None
        if fee is None:
            fee = self.shelf.trade.default_fee
        if fee is None:
            raise Refusal("no_shipping_rule", "No delivery fee is set for this place.")
        return round_money(fee + (self.box.extra_fee if self.box else ZERO), currency)

    def by_rule(self, net: Decimal, currency: str) -> Decimal | None:
        place = self.shelf.place
        assert place is not None  # checked while pricing
        weight = sum(line.article.weight * line.quantity for line in self.lines if line.article)
        parcel = Parcel(
            province_code=place.province_code,
            area_id=place.area_id,
            weight=weight,
            value=net,
            mode=self.values.get("delivery_mode") or "standard",
            company_id=self.values.get("delivery_company_id"),
            box=self.box,
        )
        choice = choose(shipping.rules_for(self.actor.store_id), parcel, currency)
        return choice.fee if choice.rule else None


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


def risk_flags(
    shelf: Shelf, values: Mapping[str, Any], channel: Channel, total: Decimal
) -> list[str]:
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
    if shelf.ordered_lately:
        flags.append("duplicate_recent")
    usual = USUAL_TOTAL.get(shelf.store_id, usual_total)
    if usual and total > LARGE_TIMES * usual:
        flags.append("unusually_large")
    return flags


USUAL = """
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY total) FROM (
  SELECT total FROM orders_order WHERE store_id = %s AND NOT is_credit_only
    AND status NOT IN ('draft', 'cancelled')
  ORDER BY created_at DESC, id DESC LIMIT 200
) latest HAVING count(*) >= 10
"""
USUAL_TOTAL: ShortMemory[UUID, Decimal | None] = ShortMemory()


def usual_total(store_id: UUID) -> Decimal | None:
    """The median of the store's latest two hundred orders; None below ten."""
    with prepared() as cursor:
        cursor.execute(USUAL, [store_id])
        row = cursor.fetchone()
    median: Decimal | None = row[0] if row else None
    return median


def distance_km(pin: tuple[Any, Any], centre: tuple[Any, Any]) -> float:
    """Great-circle distance of two (latitude, longitude) in degrees."""
    a_lat, a_lng, b_lat, b_lng = (radians(float(degrees)) for degrees in (*pin, *centre))
    half = sin((b_lat - a_lat) / 2) ** 2
    half += cos(a_lat) * cos(b_lat) * sin((b_lng - a_lng) / 2) ** 2
    return 12742 * asin(sqrt(half))
