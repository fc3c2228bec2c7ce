"""Drawers and sales (domain.md, section 11)."""

CHECKS = {
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
}
