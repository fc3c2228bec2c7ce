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
    "O3 units of a line add up": """
        SELECT line.id FROM orders_orderitem line LEFT JOIN (
          SELECT item_id, sum(restock) AS restock, sum(damaged) AS damaged, sum(lost) AS lost
          FROM orders_checkin GROUP BY item_id
        ) back ON back.item_id = line.id
        WHERE line.quantity_delivered > line.quantity
          OR line.quantity_returned > line.quantity_delivered
          OR line.quantity_credited > line.quantity
          OR line.quantity_restocked <> coalesce(back.restock, 0)
          OR line.quantity_damaged <> coalesce(back.damaged, 0)
          OR line.quantity_lost <> coalesce(back.lost, 0)
    """,
    "O4 finished orders hold no stock": """
        SELECT o.id FROM orders_order o JOIN orders_orderitem line ON line.order_id = o.id
        WHERE o.status IN ('cancelled', 'returned', 'delivered') AND line.quantity_reserved > 0
    """,
    "O6 cash of a COD order is where its status says": """
        SELECT id FROM orders_order WHERE (payment_method <> 'cod'
            AND remittance_status <> 'not_applicable')
          OR (remittance_status IN ('with_courier', 'remitted') AND NOT EXISTS (
            SELECT 1 FROM orders_orderpayment paid
            WHERE paid.order_id = orders_order.id AND paid.method = 'cod'))
    """,
    "C1 a courier's order is remitted by one accepted line": """
        SELECT o.id FROM orders_order o
        WHERE o.remittance_status = 'remitted' AND o.delivery_company_id IS NOT NULL
          AND 1 <> (SELECT count(*) FROM delivery_settlementline line
            WHERE line.order_id = o.id AND line.is_accepted AND line.remits)
        UNION ALL SELECT line.id FROM delivery_settlementline line
        JOIN orders_order o ON o.id = line.order_id
        WHERE line.is_accepted AND line.remits AND o.remittance_status <> 'remitted'
    """,
    "C2 a courier's cash is what it collected and did not bring": """
        SELECT o.id FROM orders_order o LEFT JOIN (
          SELECT order_id, sum(amount) AS amount FROM delivery_cashentry GROUP BY order_id
        ) entry ON entry.order_id = o.id
        WHERE (o.remittance_status IN ('with_courier', 'disputed'))
            <> (coalesce(entry.amount, 0) > 0)
          OR entry.amount < 0
        UNION ALL SELECT line.id FROM delivery_settlementline line LEFT JOIN (
          SELECT line_id, sum(amount) FILTER (WHERE kind = 'remitted') AS amount
          FROM delivery_cashentry GROUP BY line_id
        ) entry ON entry.line_id = line.id
        WHERE line.is_accepted AND line.remits AND line.collected <> -coalesce(entry.amount, 0)
    """,
    "C3 one company has an order's parcel": """
        SELECT order_id FROM delivery_dispatch WHERE state IN ('requested', 'accepted')
        GROUP BY order_id HAVING count(*) > 1
    """,
    "D1 uses of codes are their redemptions": """
        SELECT offer.id FROM discounts_discountcode offer WHERE used_count > usage_limit
          OR used_count <> (
            SELECT count(*) FROM discounts_redemption WHERE code_id = offer.id)
    """,
    "D1 uses of rules are their redemptions": """
        SELECT offer.id FROM discounts_discountrule offer WHERE used_count > usage_limit
          OR used_count <> (
            SELECT count(*) FROM discounts_redemption WHERE rule_id = offer.id)
    """,
    "D3 orders that were never sent use no discount": """
        SELECT use.id FROM discounts_redemption use
        LEFT JOIN orders_order o ON o.id = use.order_id
        WHERE o.id IS NULL OR o.status IN ('draft', 'cancelled')
    """,
    "D4 discounts leave nothing below zero": """
        SELECT id FROM orders_order
        WHERE delivery_discount > delivery_fee OR delivery_discount < 0 OR total < 0
        UNION ALL SELECT id FROM orders_orderitem
        WHERE discount_amount < 0 OR discount_amount > line_subtotal
    """,
    "T1 a drawer holds what its entries say": """
        SELECT session.id FROM cashier_cashiersession session LEFT JOIN (
          SELECT session_id, sum(CASE WHEN kind IN ('sale', 'pay_in') THEN amount ELSE -amount END)
            AS moved FROM cashier_drawerentry WHERE method = 'cash' GROUP BY session_id
        ) drawer ON drawer.session_id = session.id
        WHERE session.opening_float + coalesce(drawer.moved, 0) < 0 OR (
          session.closed_at IS NOT NULL AND (
            session.expected_cash <> session.opening_float + coalesce(drawer.moved, 0)
            OR session.variance <> session.counted_cash - session.expected_cash))
    """,
    "T2 a sale's payments are its total and stand in its drawer": """
        SELECT sale.order_id FROM cashier_sale sale JOIN orders_order o ON o.id = sale.order_id
        LEFT JOIN (
          SELECT order_id, sum(amount) FILTER (WHERE kind = 'sale') AS taken,
            sum(amount) FILTER (WHERE kind = 'refund') AS given
          FROM cashier_drawerentry GROUP BY order_id
        ) drawer ON drawer.order_id = sale.order_id
        LEFT JOIN (
          SELECT sale_id, sum(amount) AS given FROM cashier_salerefund GROUP BY sale_id
        ) refund ON refund.sale_id = sale.order_id
        WHERE o.total <> coalesce(drawer.taken, 0)
          OR coalesce(drawer.given, 0) <> coalesce(refund.given, 0)
    """,
    "T3 at most thirty pins, numbered from 0": """
        SELECT store_id FROM cashier_pinneditem GROUP BY store_id
        HAVING count(*) > 30 OR max(position) <> count(*) - 1
          OR count(DISTINCT position) <> count(*)
    """,
    "H1 one package size of a store is its default": """
        SELECT store_id FROM shipping_packagesize WHERE deleted_at IS NULL GROUP BY store_id
        HAVING count(*) FILTER (WHERE is_default) <> 1
    """,
    "H2 one template of a type is its default": """
        SELECT store_id FROM printing_printtemplate GROUP BY store_id, type
        HAVING count(*) FILTER (WHERE is_default) <> 1
    """,
    "B1 purchase orders follow from their lines": """
        SELECT purchase.id FROM purchasing_purchaseorder purchase LEFT JOIN (
          SELECT purchase_id, sum(line_total) AS amount, sum(received_quantity) AS arrived,
            bool_and(received_quantity = quantity) AS complete
          FROM purchasing_purchaseitem GROUP BY purchase_id
        ) line ON line.purchase_id = purchase.id
        WHERE line.amount IS NULL
          OR purchase.total_amount <> line.amount - purchase.discount + purchase.additional_fees
          OR (purchase.status = 'received') <> line.complete
          OR (purchase.status IN ('draft', 'ordered', 'cancelled') AND line.arrived > 0)
    """,
    "B2 what arrived is what the receipts and the ledger say": """
        SELECT purchase.id FROM purchasing_purchaseorder purchase LEFT JOIN (
          SELECT purchase_id, sum(value) AS value FROM purchasing_purchasereceipt
          GROUP BY purchase_id
        ) receipt ON receipt.purchase_id = purchase.id
        LEFT JOIN (
          SELECT purchase_id, sum(received_quantity) AS arrived FROM purchasing_purchaseitem
          GROUP BY purchase_id
        ) line ON line.purchase_id = purchase.id
        LEFT JOIN (
          SELECT ref_id, sum(delta) AS moved FROM catalog_stockmovement
          WHERE ref_type = 'purchase_order' GROUP BY ref_id
        ) ledger ON ledger.ref_id = purchase.id
        WHERE purchase.received_value <> coalesce(receipt.value, 0)
          OR coalesce(line.arrived, 0) <> coalesce(ledger.moved, 0)
    """,
    "B3 at most three attachments": """
        SELECT purchase_id FROM purchasing_attachment GROUP BY purchase_id HAVING count(*) > 3
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
