"""What each order adds to the figures: the one definition that the kept figures, their rebuilding
and the plain query all use.

A contribution is a row with the instant it belongs to (`at`), its dimensions and its measures.
"""

ORDER_DIMENSIONS = ("basis", "status", "channel", "province_code", "payment_method")
ORDER_MEASURES = (
    "orders", "cancelled", "confirmed", "units", "gross", "discounts", "returns", "delivery",
    "delivery_cost", "tax", "rounding", "delivered_net", "cogs", "lines_without_cost", "refunds",
    "cash_collected", "cash_remitted",
)  # fmt: skip
PRODUCT_DIMENSIONS = ("product_id", "sku")
PRODUCT_MEASURES = (
    "units", "net", "cogs", "returned_units", "returned_net", "lines_without_cost",
)  # fmt: skip


def part(
    at: str, dimensions: dict[str, str], measures: dict[str, str], names: tuple[str, ...]
) -> str:
    """The SELECT list of one kind of contribution; what it does not name is 0."""
    columns = [
        "o.store_id",
        f"{at} AS at",
        *(f"{sql} AS {name}" for name, sql in dimensions.items()),
    ]
    columns += [f"{measures.get(name, '0')} AS {name}" for name in names]
    return "SELECT " + ", ".join(columns)


OF_ORDER = {
    "status": "o.status",
    "channel": "o.channel",
    "province_code": "o.province_code",
    "payment_method": "o.payment_method",
}
OF_NONE = dict.fromkeys(OF_ORDER, "''")
COUNTS = "(o.status <> 'cancelled')::int"


def money_of(column: str) -> str:
    return f"CASE WHEN o.status = 'cancelled' THEN 0 ELSE {column} END"


def order_parts(digits: int) -> list[tuple[str, str, str]]:
    """Each kind of contribution: its SELECT, its FROM and WHERE, and the instant's column."""

    def select(basis: str, at: str, where_from: dict[str, str], measures: dict[str, str]) -> str:
        return part(at, {"basis": f"'{basis}'", **where_from}, measures, ORDER_MEASURES)

    placed = select(
        "placed",
        "o.placed_at",
        OF_ORDER,
        {
            "orders": COUNTS,
            "cancelled": "(o.status = 'cancelled')::int",
            "confirmed": "(o.status NOT IN ('pending', 'cancelled')"
            " OR o.confirmed_at IS NOT NULL)::int",
            "units": money_of("o.units_count"),
            "gross": money_of("o.subtotal"),
            "discounts": money_of("o.discount_total"),
            "delivery": money_of("o.delivery_fee - o.delivery_discount"),
            "tax": money_of("o.tax_total"),
            "rounding": money_of("o.rounding"),
        },
    )
    returned = select("returned", "came.at", OF_ORDER, {"returns": "came.value"})
    delivered = select(
        "delivered",
        "o.delivered_at",
        OF_NONE,
        {
            "delivered_net": "goods.net",
            "delivery": "o.delivery_fee - o.delivery_discount",
            "delivery_cost": "o.delivery_cost",
            "cogs": "goods.cogs",
            "lines_without_cost": "goods.without_cost",
        },
    )
    paid = select(
        "paid",
        "money.at",
        OF_NONE,
        {
            "refunds": "CASE WHEN money.kind = 'refund' THEN money.amount ELSE 0 END",
            "cash_collected": "CASE WHEN money.kind = 'payment' AND money.method IN ('cod', 'cash')"
            " THEN money.amount ELSE 0 END",
        },
    )
    remitted = select("paid", "o.remitted_at", OF_NONE, {"cash_remitted": "cash.amount"})
    goods = (
        "CROSS JOIN LATERAL (SELECT"  # noqa: S608  # our own names and a number
        f" sum(round(line.line_total * line.quantity_delivered / line.quantity, {digits})) AS net,"
        " coalesce(sum(line.unit_cost * (line.quantity_delivered - coalesce(back.restocked, 0))),"
        " 0) AS cogs,"
        " count(*) FILTER (WHERE line.unit_cost IS NULL AND line.quantity_delivered > 0)"
        " AS without_cost"
        " FROM orders_orderitem line LEFT JOIN LATERAL (SELECT sum(came.restock) AS restocked"
        " FROM orders_checkin came WHERE came.item_id = line.id AND came.from_customer) back"
        " ON line.quantity_returned > 0 WHERE line.order_id = o.id) goods"
    )
    cash = (
        "CROSS JOIN LATERAL (SELECT sum(money.amount) AS amount FROM orders_orderpayment money"
        " WHERE money.order_id = o.id AND money.method = 'cod' AND money.kind = 'payment') cash"
    )
    return [
        (
            placed,
            "FROM orders_order o WHERE o.status <> 'draft' AND NOT o.is_credit_only",
            "o.placed_at",
        ),
        (
            returned,
            "FROM orders_checkin came JOIN orders_order o ON o.id = came.order_id WHERE true",
            "came.at",
        ),
        (
            delivered,
            f"FROM orders_order o {goods} WHERE o.delivered_at IS NOT NULL",
            "o.delivered_at",
        ),
        (
            paid,
            "FROM orders_orderpayment money JOIN orders_order o ON o.id = money.order_id"
            " WHERE true",
            "money.at",
        ),
        (
            remitted,
            f"FROM orders_order o {cash}"
            " WHERE o.remitted_at IS NOT NULL AND cash.amount IS NOT NULL",
            "o.remitted_at",
        ),
    ]


def product_parts(digits: int) -> list[tuple[str, str, str]]:
    identity = {"product_id": "line.product_id", "sku": "upper(line.sku)"}
    sold = part(
        "o.placed_at",
        identity,
        {
            "units": "line.quantity",
            "net": "line.line_total",
            "cogs": "coalesce(line.unit_cost * line.quantity, 0)",
            "lines_without_cost": "(line.unit_cost IS NULL)::int",
        },
        PRODUCT_MEASURES,
    )
    back = part(
        "came.at",
        identity,
        {
            "cogs": "-coalesce(line.unit_cost * came.restock, 0)",
            "returned_units": "came.restock + came.damaged + came.lost",
            "returned_net": "came.value",
        },
        PRODUCT_MEASURES,
    )
    return [
        (
            sold,
            "FROM orders_order o JOIN orders_orderitem line ON line.order_id = o.id"
            " WHERE o.status NOT IN ('draft', 'cancelled') AND NOT o.is_credit_only",
            "o.placed_at",
        ),
        (
            back,
            "FROM orders_checkin came JOIN orders_order o ON o.id = came.order_id"
            " JOIN orders_orderitem line ON line.id = came.item_id WHERE true",
            "came.at",
        ),
    ]


def whole(parts: list[tuple[str, str, str]], condition: str, *, between: bool = False) -> str:
    """All contributions of the orders that meet a condition on `o`; `between` adds the range
    [%(start)s, %(end)s) of their instants."""
    selects = []
    for select, rest, at in parts:
        time = f" AND {at} >= %(start)s AND {at} < %(end)s" if between else ""
        selects.append(f"{select} {rest} AND {condition}{time}")
    return " UNION ALL ".join(selects)
