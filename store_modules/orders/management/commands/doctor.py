"""Checks over the whole database what must always hold; changes nothing (reliability.md, §1)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

# What is checked, and the statement that finds the rows which break it.
CHECKS = {
    "S1/S2 stock within bounds": """
        SELECT id FROM catalog_inventoryitem
        WHERE quantity_on_hand < 0 OR quantity_reserved < 0 OR quantity_reserved > quantity_on_hand
    """,
    "S3 on hand is the sum of its movements": """
        SELECT item.id FROM catalog_inventoryitem item LEFT JOIN (
          SELECT item_id, sum(delta) AS moved FROM catalog_stockmovement GROUP BY item_id
        ) ledger ON ledger.item_id = item.id
        WHERE item.quantity_on_hand <> coalesce(ledger.moved, 0)
    """,
    "S4 reserved is the sum of open lines": """
        SELECT item.id FROM catalog_inventoryitem item LEFT JOIN (
          SELECT inventory_item_id, sum(quantity_reserved) AS held FROM orders_orderitem
          WHERE quantity_reserved > 0 GROUP BY inventory_item_id
        ) open ON open.inventory_item_id = item.id
        WHERE item.quantity_reserved <> coalesce(open.held, 0)
    """,
    "O1 totals follow from the lines": """
        SELECT o.id FROM orders_order o JOIN (
          SELECT order_id, sum(line_subtotal) AS subtotal, sum(discount_amount) AS discount
          FROM orders_orderitem GROUP BY order_id
        ) line ON line.order_id = o.id
        WHERE o.subtotal <> line.subtotal OR o.discount_total <> line.discount
          OR o.total <> o.subtotal - o.discount_total + o.delivery_fee - o.delivery_discount
             + o.tax_total + o.rounding
    """,
    "O2 payments are what was booked": """
        SELECT o.id FROM orders_order o LEFT JOIN (
          SELECT order_id, sum(amount) FILTER (WHERE kind = 'payment') AS paid,
            sum(amount) FILTER (WHERE kind = 'refund') AS refunded
          FROM orders_orderpayment GROUP BY order_id
        ) money ON money.order_id = o.id
        WHERE o.amount_paid <> coalesce(money.paid, 0)
          OR o.amount_refunded <> coalesce(money.refunded, 0)
    """,
    "O4 finished orders hold no stock": """
        SELECT o.id FROM orders_order o JOIN orders_orderitem line ON line.order_id = o.id
        WHERE o.status IN ('cancelled', 'returned', 'delivered') AND line.quantity_reserved > 0
    """,
    "P1 one code proves one order": """
        SELECT order_id FROM otp_otpchallenge WHERE order_id IS NOT NULL
        GROUP BY order_id HAVING count(*) > 1
    """,
    "R1 lines belong to their order's store": """
        SELECT line.id FROM orders_orderitem line JOIN orders_order o ON o.id = line.order_id
        LEFT JOIN catalog_product product ON product.id = line.product_id
        WHERE line.store_id <> o.store_id OR product.store_id <> o.store_id
    """,
    "R6 every order has told of itself": """
        SELECT o.id FROM orders_order o WHERE o.channel <> 'import'
          AND o.created_at > now() - interval '7 days'
          AND NOT EXISTS (SELECT 1 FROM kernel_outboxevent e
            WHERE e.subject_id = o.id AND e.type = 'order.created')
    """,
}
SHOWN = 20


class Command(BaseCommand):
    help = "Verify stock, money and events over the whole database; exits 1 with the faulty ids."

    def handle(self, *_: Any, **__: Any) -> None:
        broken = 0
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            for name, statement in CHECKS.items():
                cursor.execute(statement)
                ids = [str(row[0]) for row in cursor.fetchall()]
                broken += len(ids)
                state = "ok" if not ids else f"{len(ids)} broken: {', '.join(ids[:SHOWN])}"
                self.stdout.write(f"{name}: {state}")
        if broken:
            raise CommandError(f"{broken} rows break an invariant.")
