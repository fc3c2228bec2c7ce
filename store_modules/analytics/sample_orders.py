"""Finished orders of the past in any number, written by the database itself, to measure and to show
reports on. They have no effect on stock, codes or notifications, like imported ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from store_modules.stores.models import StoreSettings
from storeplatform.kernel.money import minor_units
from storeplatform.kernel.numbers import take_numbers

BATCH = 10_000
ORDERS_PER_CUSTOMER = 4

GOODS = """
CREATE TEMP TABLE goods ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY id) - 1 AS good, id AS product_id, sku, name, price,
  cost_price AS unit_cost, weight_grams
FROM catalog_product
WHERE store_id = %(store)s AND deleted_at IS NULL AND price > 0 AND product_type <> 'parent'
"""
CUSTOMERS = """
INSERT INTO customers_customer (id, store_id, version, created_at, updated_at, name, primary_phone,
  tags, is_blocked, currency_code, orders_count, delivered_count, refused_count, returned_count,
  total_spent)
SELECT gen_random_uuid(), %(store)s, 1, now(), now(), 'Sample customer ' || n,
  '+96478' || lpad(n::text, 8, '0'), '{}', false, %(currency)s, 0, 0, 0, 0, 0
FROM generate_series(1, %(customers)s) n
ON CONFLICT (store_id, primary_phone) WHERE deleted_at IS NULL DO NOTHING
"""
BUYERS = """
CREATE TEMP TABLE buyers ON COMMIT DROP AS
SELECT n, known.id, known.name, known.primary_phone, area.id AS area_id, area.name AS area_name,
  area.province_id, area.province_name
FROM generate_series(1, %(customers)s) n
JOIN customers_customer known ON known.store_id = %(store)s AND known.deleted_at IS NULL
  AND known.primary_phone = '+96478' || lpad(n::text, 8, '0')
JOIN (
  SELECT area.*, province.name AS province_name, row_number() OVER (ORDER BY area.id) - 1 AS place,
    count(*) OVER () AS count
  FROM geography_area area JOIN geography_province province ON province.code = area.province_id
  WHERE province.country_code = %(country)s AND area.is_active
) area ON area.place = n %% area.count
"""
# `fate` decides how an order ended, `rest` what is left to chance besides.
MADE = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n, drawn.placed_at, drawn.fate, drawn.rest, sample_id(drawn.placed_at) AS id,
  CASE WHEN drawn.fate < 0.78 THEN 'delivered' WHEN drawn.fate < 0.86 THEN 'cancelled'
    WHEN drawn.fate < 0.93 THEN 'refused' WHEN drawn.fate < 0.96 THEN 'given back'
    ELSE 'partly' END AS ending,
  CASE WHEN drawn.rest < 0.15 THEN 'pos' WHEN drawn.rest < 0.55 THEN 'storefront'
    WHEN drawn.rest < 0.85 THEN 'api' WHEN drawn.rest < 0.95 THEN 'dashboard'
    ELSE 'bulk' END AS channel,
  1 + floor(%(customers)s * power(random(), 1.5))::int AS buyer,
  2 + floor(random() * 4)::int AS lines,
  floor((SELECT count(*) FROM goods) * power(random(), 2))::int AS first_good,
  least(drawn.placed_at + (1 + random() * 3) * interval '1 day', %(until)s) AS arrived_at
FROM generate_series(%(first)s, %(last)s) n
CROSS JOIN LATERAL (
  SELECT %(since)s + (%(until)s - %(since)s) * ((n - 1 + random()) / %(count)s) AS placed_at,
    random() AS fate, random() AS rest, n AS own
) drawn
"""
LINES = """
CREATE TEMP TABLE lines ON COMMIT DROP AS
SELECT made.id AS order_id, made.ending, sample_id(made.placed_at) AS id, place.place, goods.*,
  drawn.quantity, goods.price * drawn.quantity AS subtotal,
  CASE WHEN made.rest BETWEEN 0.30 AND 0.40
    THEN round(goods.price * drawn.quantity * 0.10, %(digits)s) ELSE 0 END AS discount,
  CASE WHEN made.ending = 'partly' AND place.place > 0 OR made.ending = 'refused' THEN 0
    WHEN made.ending = 'cancelled' THEN 0 ELSE drawn.quantity END AS delivered,
  made.ending IN ('refused', 'given back') OR made.ending = 'partly' AND place.place > 0 AS back,
  made.arrived_at
FROM made
CROSS JOIN LATERAL generate_series(0, made.lines - 1) AS place(place)
JOIN goods ON goods.good = (made.first_good + place.place) %% (SELECT count(*) FROM goods)
CROSS JOIN LATERAL (SELECT 1 + floor(random() * 3)::int AS quantity, place.place AS own) drawn
"""
STORED_ORDERS = """
INSERT INTO orders_order (id, store_id, version, created_at, updated_at, number, public_id, channel,
  status, fulfillment_status, payment_status, remittance_status, payment_method, fulfillment_type,
  delivery_mode, customer_id, customer_name, customer_phone, area_id, province_code, province_name,
  area_name, metadata, risk_flags, attempts, otp_verified, is_credit_only, items_count, units_count,
  currency_code, discounts, order_discount, tax_rate, prices_include_tax, subtotal, discount_total,
  delivery_fee, delivery_fee_source, delivery_fee_payer, delivery_discount, delivery_cost,
  tax_total, tax_included, rounding, total, returns_total, amount_paid, amount_refunded, placed_at,
  confirmed_at, shipped_at, delivered_at, returned_at, cancelled_at, remitted_at)
SELECT made.id, %(store)s, 1, made.placed_at, made.arrived_at,
  CASE WHEN till.sold THEN 'POS-' ELSE 'ORD-' END || (%(number)s + made.n - %(first)s),
  left(md5(made.id::text), 22), made.channel, fate.status,
  CASE fate.status WHEN 'cancelled' THEN 'cancelled' WHEN 'delivered' THEN 'delivered'
    ELSE 'returned_to_store' END,
  CASE WHEN fate.paid = 0 THEN CASE fate.status WHEN 'cancelled' THEN 'voided' ELSE 'unpaid' END
    WHEN fate.refunded > 0 THEN 'partially_refunded' ELSE 'paid' END,
  CASE WHEN way.method = 'cod' AND fate.paid > 0 THEN 'remitted' ELSE 'not_applicable' END,
  way.method, 'warehouse', 'standard', buyers.id, buyers.name, buyers.primary_phone,
  CASE WHEN till.sold THEN NULL ELSE buyers.area_id END,
  CASE WHEN till.sold THEN '' ELSE buyers.province_id END,
  CASE WHEN till.sold THEN '' ELSE buyers.province_name END,
  CASE WHEN till.sold THEN '' ELSE buyers.area_name END,
  '{}', '{}', '[]', made.channel = 'storefront', false, goods.lines, goods.units, %(currency)s,
  '[]', 0, 0, true, goods.subtotal, goods.discount, fee.amount, 'server', 'customer', 0, 0, 0, 0, 0,
  total.amount, fate.credit, fate.paid, fate.refunded, made.placed_at,
  CASE WHEN fate.status <> 'cancelled' THEN made.placed_at END,
  CASE WHEN fate.status <> 'cancelled' THEN made.placed_at END,
  CASE WHEN goods.delivered > 0 THEN came.at END,
  CASE WHEN fate.status = 'returned' THEN made.arrived_at END,
  CASE WHEN fate.status = 'cancelled' THEN made.arrived_at END,
  CASE WHEN way.method = 'cod' AND fate.paid > 0 THEN came.at END
FROM made
JOIN buyers ON buyers.n = made.buyer
JOIN (
  SELECT order_id, count(*) AS lines, sum(quantity) AS units, sum(subtotal) AS subtotal,
    sum(discount) AS discount, sum(delivered) AS delivered,
    coalesce(sum(subtotal - discount) FILTER (WHERE back), 0) AS back
  FROM lines GROUP BY order_id
) goods ON goods.order_id = made.id
CROSS JOIN LATERAL (
  SELECT made.channel = 'pos' AND made.ending IN ('delivered', 'given back') AS sold
) till
CROSS JOIN LATERAL (SELECT CASE WHEN till.sold THEN 0 ELSE %(fee)s END AS amount) fee
CROSS JOIN LATERAL (SELECT goods.subtotal - goods.discount + fee.amount AS amount) total
CROSS JOIN LATERAL (
  SELECT CASE WHEN till.sold THEN made.placed_at ELSE made.arrived_at END AS at
) came
CROSS JOIN LATERAL (
  SELECT CASE WHEN till.sold THEN CASE WHEN made.rest < 0.1 THEN 'cash' ELSE 'card' END
    WHEN made.rest < 0.80 THEN 'cod' WHEN made.rest < 0.90 THEN 'card'
    ELSE 'bank_transfer' END AS method
) way
CROSS JOIN LATERAL (
  SELECT CASE made.ending WHEN 'refused' THEN 'returned' WHEN 'given back' THEN 'returned'
      WHEN 'partly' THEN 'partially_delivered' ELSE made.ending END AS status,
    CASE WHEN made.ending = 'cancelled' THEN total.amount ELSE goods.back END AS credit,
    CASE made.ending WHEN 'delivered' THEN total.amount WHEN 'given back' THEN total.amount
      WHEN 'partly' THEN total.amount - goods.back ELSE 0 END AS paid,
    CASE made.ending WHEN 'given back' THEN goods.back ELSE 0 END AS refunded
) fate
"""
STORED_LINES = """
INSERT INTO orders_orderitem (id, store_id, order_id, place, product_id, sku, name, quantity,
  unit_price, price_source, unit_cost, weight_grams, line_subtotal, discount_amount, line_total,
  quantity_reserved, quantity_delivered, quantity_returned, quantity_restocked, quantity_damaged,
  quantity_lost, quantity_credited)
SELECT id, %(store)s, order_id, place, product_id, sku, name, quantity, price, 'server', unit_cost,
  weight_grams, subtotal, discount, subtotal - discount, 0, delivered,
  CASE WHEN ending = 'given back' THEN quantity ELSE 0 END, CASE WHEN back THEN quantity ELSE 0 END,
  0, 0, CASE WHEN back THEN quantity ELSE 0 END
FROM lines
"""
PAYMENTS = """
INSERT INTO orders_orderpayment (id, store_id, order_id, kind, method, amount, at, actor_kind,
  actor_id)
SELECT sample_id(o.delivered_at), o.store_id, o.id, money.kind, o.payment_method, money.amount,
  money.at, 'system', ''
FROM made JOIN orders_order o ON o.id = made.id
CROSS JOIN LATERAL (VALUES ('payment', o.amount_paid, o.delivered_at),
  ('refund', o.amount_refunded, o.returned_at)) AS money(kind, amount, at)
WHERE money.amount > 0
"""
CHECK_INS = """
INSERT INTO orders_checkin (id, store_id, order_id, item_id, restock, damaged, lost, value,
  from_customer, at, actor_kind, actor_id)
SELECT sample_id(arrived_at), %(store)s, order_id, id, quantity, 0, 0, subtotal - discount,
  ending = 'given back', arrived_at, 'system', ''
FROM lines WHERE back
"""
EVENTS = """
INSERT INTO orders_orderevent (id, store_id, order_id, kind, from_status, to_status, data,
  actor_kind, actor_id, actor_label)
SELECT sample_id(made.placed_at), o.store_id, o.id, 'created', '', o.status, '{}', 'system', '',
  'sample orders'
FROM made JOIN orders_order o ON o.id = made.id
"""
COUNTERS = """
UPDATE customers_customer known SET orders_count = of.orders, delivered_count = of.delivered,
  refused_count = of.refused, returned_count = of.returned, total_spent = of.spent,
  first_order_at = of.first_at, last_order_at = of.last_at
FROM (
  SELECT customer_id, count(*) AS orders,
    count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered,
    count(*) FILTER (WHERE status = 'returned' AND delivered_at IS NULL) AS refused,
    count(*) FILTER (WHERE status = 'returned') AS returned,
    coalesce(sum(subtotal - discount_total - returns_total)
      FILTER (WHERE delivered_at IS NOT NULL), 0) AS spent,
    min(placed_at) AS first_at, max(placed_at) AS last_at
  FROM orders_order WHERE store_id = %(store)s AND status <> 'draft' AND NOT is_credit_only
  GROUP BY customer_id
) of
WHERE known.store_id = %(store)s AND known.id = of.customer_id
"""
# Ids in the order of time, as the application makes them.
SAMPLE_ID = """
CREATE OR REPLACE FUNCTION pg_temp.sample_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
  || substr(random.hex, 1, 3) || '8' || substr(random.hex, 4, 15))::uuid
  FROM (SELECT replace(gen_random_uuid()::text, '-', '') AS hex) random $$
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many orders, placed evenly over the days up to an instant."""

    store_id: UUID
    count: int
    days: int
    until: datetime


def make_orders(sample: Sample) -> Iterator[int]:
    """Write a sample's orders; yields how many stand after each batch. The store needs its settings
    and a product with a price. The figures are not touched: rebuild them afterwards."""
    trade = StoreSettings.objects.get(store_id=sample.store_id)
    number = take_numbers(sample.store_id, "order", sample.count)[0]
    values = {
        "store": sample.store_id,
        "currency": trade.currency_code,
        "country": trade.country_code,
        "digits": minor_units(trade.currency_code),
        "fee": trade.default_delivery_fee or 0,
        "count": sample.count,
        "since": sample.until - timedelta(days=sample.days),
        "until": sample.until,
        "customers": max(1, sample.count // ORDERS_PER_CUSTOMER),
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SAMPLE_ID)
        cursor.execute(CUSTOMERS, values)
        for first in range(1, sample.count + 1, BATCH):
            last = min(first + BATCH - 1, sample.count)
            with transaction.atomic():
                part = values | {"first": first, "last": last, "number": number + first - 1}
                for statement in (
                    GOODS, BUYERS, MADE, LINES, STORED_ORDERS, STORED_LINES, PAYMENTS, CHECK_INS,
                    EVENTS,
                ):  # fmt: skip
                    cursor.execute(statement.replace("sample_id(", "pg_temp.sample_id("), part)
            yield last
        cursor.execute(COUNTERS, values)
