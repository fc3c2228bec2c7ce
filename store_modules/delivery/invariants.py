"""The cash of delivery companies (domain.md, section 17)."""

CHECKS = {
    "C1 a courier's order is remitted by one accepted line": """
        SELECT o.id FROM orders_order o
        WHERE o.remittance_status = 'remitted' AND o.delivery_company_id IS NOT NULL
          AND 1 <> (SELECT count(*) FROM delivery_settlementline line
            WHERE line.order_id = o.id AND line.is_accepted AND line.remits)
        UNION ALL SELECT line.id FROM delivery_settlementline line
        JOIN orders_order o ON o.id = line.order_id
        WHERE line.is_accepted AND line.remits AND o.remittance_status <> CASE WHEN EXISTS (
          SELECT 1 FROM delivery_cashentry entry
          WHERE entry.order_id = o.id AND entry.kind = 'collected'
        ) THEN 'remitted' ELSE 'not_applicable' END
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
        UNION ALL SELECT entry.id FROM delivery_cashentry entry
        JOIN orders_order o ON o.id = entry.order_id
        LEFT JOIN delivery_settlementline line ON line.id = entry.line_id
        LEFT JOIN delivery_settlement settlement ON settlement.id = line.settlement_id
        WHERE entry.company_id IS DISTINCT FROM o.delivery_company_id
          OR entry.store_id <> o.store_id
          OR (entry.kind = 'collected' AND NOT EXISTS (
            SELECT 1 FROM orders_orderpayment paid WHERE paid.order_id = o.id
              AND paid.kind = 'payment' AND paid.method = 'cod' AND paid.amount = entry.amount))
          OR (entry.kind <> 'collected' AND (line.is_accepted IS NOT TRUE
            OR line.order_id <> o.id OR settlement.company_id <> entry.company_id))
    """,
    "C3 one company has an order's parcel": """
        SELECT order_id FROM delivery_dispatch WHERE state IN ('requested', 'accepted')
        GROUP BY order_id HAVING count(*) > 1
    """,
}
