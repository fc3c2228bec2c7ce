"""Print templates (domain.md, section 9)."""

CHECKS = {
    "H2 one template of a type is its default": """
        SELECT store_id FROM printing_printtemplate GROUP BY store_id, type
        HAVING count(*) FILTER (WHERE is_default) <> 1
    """,
}
