"""One-time codes (domain.md, section 6.6)."""

CHECKS = {
    "P1 one code proves one order": """
        SELECT order_id FROM otp_otpchallenge WHERE order_id IS NOT NULL
        GROUP BY order_id HAVING count(*) > 1
    """,
}
