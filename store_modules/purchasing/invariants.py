"""Purchase orders and their receipts (domain.md, section 7)."""

CHECKS = {
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
}
