"""Rows to measure on, written by the database itself."""

from uuid import UUID

from django.db import connection

from store_modules.discounts.models import DiscountCode

PRODUCTS = """
INSERT INTO catalog_product (id, store_id, version, created_at, updated_at, product_type, sku, name,
  image_urls, tags, price, cost_price, currency_code, weight_grams, track_inventory, is_active)
SELECT gen_random_uuid(), %(store)s, 1, now() - n * interval '1 second', now(), 'simple', 'B' || n,
  'Bench product ' || n, '{}', '{}', 10000, 6000, 'IQD', 100, true, true
FROM generate_series(1, %(count)s) n
"""
ITEMS = """
INSERT INTO catalog_inventoryitem (id, store_id, version, created_at, updated_at, product_id,
  location, quantity_on_hand, quantity_reserved)
SELECT gen_random_uuid(), store_id, 1, now(), now(), id, 'main', 100000000, 0
FROM catalog_product WHERE store_id = %(store)s
"""
ORDERS = """
INSERT INTO orders_order (id, store_id, version, created_at, updated_at, number, public_id, channel,
  status, fulfillment_status, payment_status, remittance_status, payment_method, fulfillment_type,
  delivery_mode, customer_name, customer_phone, area_id, province_code, province_name, area_name,
  metadata, risk_flags, attempts, otp_verified, is_credit_only, items_count, units_count,
  currency_code, discounts, order_discount, tax_rate, prices_include_tax, subtotal, discount_total,
  delivery_fee, delivery_fee_source, delivery_fee_payer, delivery_discount, delivery_cost,
  tax_total, tax_included, rounding, total, returns_total, amount_paid, amount_refunded, placed_at)
SELECT gen_random_uuid(), %(store)s, 1, now() - n * interval '30 seconds', now(), 'SEED-' || n,
  left(md5(random()::text || n), 22), 'api', 'pending', 'unassigned', 'unpaid',
  'awaiting_collection', 'cod', 'warehouse', 'standard', 'Seed ' || n, '+964773' ||
  lpad((n %% 10000000)::text, 7, '0'), %(area)s, 'IQ-BG', 'Baghdad', 'Baghdad', '{}', '{}', '[]',
  false, false, 1, 1, 'IQD', '[]', 0, 0, true, 10000, 0, 5000, 'server', 'customer', 0, 0, 0, 0, 0,
  15000, 0, 0, 0, now() - n * interval '30 seconds'
FROM generate_series(%(first)s, %(last)s) n
"""


def products(store_id: UUID, count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(PRODUCTS, {"store": store_id, "count": count})
        cursor.execute(ITEMS, {"store": store_id})
        cursor.execute("VACUUM ANALYZE")


def code(store_id: UUID, word: str) -> None:
    DiscountCode.objects.create(
        store_id=store_id, code=word, name=word, type="percentage", value=10, scope="order"
    )


def orders(store_id: UUID, area_id: UUID, first: int, last: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        numbers = {"store": store_id, "area": area_id, "first": first, "last": last}
        cursor.execute(ORDERS, numbers)
        cursor.execute("VACUUM ANALYZE orders_order")
