"""Package sizes (domain.md, section 9)."""

CHECKS = {
    "H1 one package size of a store is its default": """
        SELECT store_id FROM shipping_packagesize WHERE deleted_at IS NULL GROUP BY store_id
        HAVING count(*) FILTER (WHERE is_default) <> 1
    """,
}
