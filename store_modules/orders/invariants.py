"""Orders, their lines, their stock and their money (domain.md, section 6)."""

CHECKS = {
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
