"""Uses of discounts (domain.md, section 8)."""

CHECKS = {
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
}
