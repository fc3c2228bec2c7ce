"""What happened in a session: the X report while it is open, the Z report afterwards."""

from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Sum

from store_modules.cashier.drawer import cash_in
from store_modules.cashier.models import CashierSession, DrawerEntry
from storeplatform.kernel.money import format_money

Kind = DrawerEntry.Kind
ZERO = Decimal(0)


def report(session: CashierSession, currency: str, *, shows_expected: bool) -> dict[str, Any]:
    """The report's figures, without the session and its movements."""

    def money(amount: Decimal | None) -> str:
        return format_money(amount or ZERO, currency)

    entries = session.entries.order_by().values("kind", "method")
    sums = {(row["kind"], row["method"]): row for row in entries.annotate(total=Sum("amount"))}

    def total(kind: str, method: str | None = None) -> Decimal:
        found = [r["total"] for (k, m), r in sums.items() if k == kind and method in (None, m)]
        return sum(found, ZERO)

    sales = session.sales.aggregate(
        count=Count("*"),
        total=Sum("order__total"),
        discount=Sum("order__discount_total"),
        tax=Sum(F("order__tax_total") + F("order__tax_included")),
    )
    opening = session.expected_opening
    expected = cash_in(session) if session.closed_at is None else session.expected_cash
    return {
        "kind": "X" if session.closed_at is None else "Z",
        "salesCount": sales["count"],
        "salesTotal": money(sales["total"]),
        "discountTotal": money(sales["discount"]),
        "taxTotal": money(sales["tax"]),
        "refundsCount": session.refunds.count(),
        "refundsTotal": money(total(Kind.REFUND)),
        "byMethod": [
            {
                "method": method,
                "sales": money(total(Kind.SALE, method)),
                "refunds": money(total(Kind.REFUND, method)),
            }
            for method in DrawerEntry.Method.values
        ],
        "payInTotal": money(total(Kind.PAY_IN)),
        "payOutTotal": money(total(Kind.PAY_OUT)),
        "openingDifference": None
        if opening is None
        else format_money(session.opening_float - opening, currency),
        "expectedCash": money(expected) if shows_expected else None,
    }
