"""Stock and its movements (domain.md, section 4)."""

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
}
