"""What each order adds to the figures: the one definition that keeping them, rebuilding them and
reading them live share (domain.md, section 12).

A contribution is a row with an instant, dimensions and measures. An order of the past that only
credits another one counts as goods that came back, not as an order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OF_ORDER = "o.id = %(order)s"
OF_STORE = "{store} = %(store)s"
COUNTED = "o.status NOT IN ('draft', 'cancelled') AND NOT o.is_credit_only"


@dataclass(frozen=True, slots=True)
class Contribution:
    """One kind of rows: where they come from (the order is `o`), the instant and the store of each,
    which together have an index, and the members that are not nothing, all in SQL. One that
    `follows_an_order` says what else changes with it, and has no part in the whole."""

    source: str
    at: str
    store: str
    members: dict[str, str]
    basis: str = ""
    follows_an_order: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A table of figures. Its contributions depend on the digits of the store's currency."""

    table: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    contributions: Callable[[int], list[Contribution]]

    @property
    def is_something(self) -> str:
        """Of a group: whether its measures are not all nothing."""
        return " OR ".join(f"sum({name}) <> 0" for name in self.measures)


def contributed(
    kind: Kind, digits: int, condition: str, *, bases: Iterable[str] = (), edge: str = ""
) -> str:
    """All contributions that meet a condition, of some bases or of all; `edge` bounds their
    instants to [%(start<edge>)s, %(end<edge>)s)."""
    wanted = set(bases)
    selects = []
    for one in kind.contributions(digits):
        if (wanted and one.basis not in wanted) or (one.follows_an_order and condition != OF_ORDER):
            continue
        columns = [f"{one.store} AS store_id", f"{one.at} AS at"]
        columns += [f"{one.members.get(name, NOTHING)} AS {name}" for name in kind.dimensions]
        columns += [f"{one.members.get(name, '0')} AS {name}" for name in kind.measures]
        time = f" AND {one.at} >= %(start{edge})s AND {one.at} < %(end{edge})s" if edge else ""
        selects.append(
            f"SELECT {', '.join(columns)} {one.source}"  # our own names
            f" AND {condition.format(store=one.store)}{time}"
        )
    return " UNION ALL ".join(selects)


NOTHING = "''"  # what a dimension is where a contribution has none
WHOSE = {
    "status": "o.status",
    "channel": "o.channel",
    "province_code": "o.province_code",
    "payment_method": "o.payment_method",
}


CHECKED_IN = (
    "FROM orders_checkin came JOIN orders_order o ON o.id = came.order_id"
    " JOIN orders_orderitem line ON line.id = came.item_id WHERE true"
)
UNITS_BACK = "came.restock + came.damaged + came.lost"


def unless_cancelled(column: str) -> str:
    return f"CASE WHEN o.status = 'cancelled' THEN 0 ELSE {column} END"


# Per order


def of_orders(digits: int) -> list[Contribution]:
    return [placed(digits), came_back(digits), delivered(digits), paid(), remitted()]


def placed(digits: int) -> Contribution:
    """Demand; a cancelled order is counted and is worth nothing. `cogs` is what the goods cost."""
    goods = (
        f"SELECT coalesce(sum(round(line.unit_cost * line.quantity, {digits})), 0) AS cogs,"  # noqa: S608
        " count(*) FILTER (WHERE line.unit_cost IS NULL) AS without_cost"
        " FROM orders_orderitem line WHERE line.order_id = o.id"
    )
    return Contribution(
        source=f"FROM orders_order o CROSS JOIN LATERAL ({goods}) goods"
        " WHERE o.status <> 'draft' AND NOT o.is_credit_only",
        at="o.placed_at",
        store="o.store_id",
        basis="placed",
        members={
            "basis": "'placed'",
            **WHOSE,
            "orders": "(o.status <> 'cancelled')::int",
            "cancelled": "(o.status = 'cancelled')::int",
            "confirmed": "(o.status NOT IN ('pending', 'cancelled')"
            " OR o.confirmed_at IS NOT NULL)::int",
            "units": unless_cancelled("o.units_count"),
            "gross": unless_cancelled("o.subtotal"),
            "discounts": unless_cancelled("o.discount_total"),
            "delivery": unless_cancelled("o.delivery_fee - o.delivery_discount"),
            "tax": unless_cancelled("o.tax_total"),
            "rounding": unless_cancelled("o.rounding"),
            "cogs": unless_cancelled("goods.cogs"),
            "lines_without_cost": unless_cancelled("goods.without_cost"),
            "delivered_orders": "(o.delivered_at IS NOT NULL)::int",
            "refused_orders": "(o.status IN ('returning', 'returned') AND o.shipped_at IS NOT NULL"
            " AND o.delivered_at IS NULL)::int",
        },
    )


def came_back(digits: int) -> Contribution:
    """Goods on the day when they are checked in, whoever had them."""
    return Contribution(
        source=CHECKED_IN,
        at="came.at",
        store="came.store_id",
        basis="returned",
        members={
            "basis": "'returned'",
            **WHOSE,
            "returns": "came.value",
            "returned_units": UNITS_BACK,
            "cogs": f"-coalesce(round(line.unit_cost * came.restock, {digits}), 0)",
        },
    )


def delivered(digits: int) -> Contribution:
    """What the customers received. The cost of what they gave back into stock is taken off here;
    the money that they got back is a refund."""
    goods = (
        "SELECT"  # noqa: S608  # our own names and a number
        f" sum(round(line.line_total * line.quantity_delivered / line.quantity, {digits})) AS net,"
        " coalesce(sum(round(line.unit_cost"
        f" * (line.quantity_delivered - coalesce(back.restocked, 0)), {digits})), 0) AS cogs,"
        " count(*) FILTER (WHERE line.unit_cost IS NULL AND line.quantity_delivered > 0)"
        " AS without_cost"
        " FROM orders_orderitem line LEFT JOIN LATERAL ("
        "SELECT sum(came.restock) AS restocked FROM orders_checkin came"
        " WHERE came.order_id = o.id AND came.item_id = line.id AND came.from_customer"
        ") back ON line.quantity_returned > 0 WHERE line.order_id = o.id"
    )
    return Contribution(
        source=f"FROM orders_order o CROSS JOIN LATERAL ({goods}) goods"
        " WHERE o.delivered_at IS NOT NULL",
        at="o.delivered_at",
        store="o.store_id",
        basis="delivered",
        members={
            "basis": "'delivered'",
            "delivered_net": "goods.net",
            "delivery": "o.delivery_fee - o.delivery_discount",
            "delivery_cost": "o.delivery_cost",
            "cogs": "goods.cogs",
            "lines_without_cost": "goods.without_cost",
        },
    )


# Cash that a delivery company took when it delivered; what was booked by hand it never had.
AT_THE_DOOR = (
    "money.kind = 'payment' AND money.method = 'cod' AND o.delivery_company_id IS NOT NULL"
    " AND o.remittance_status <> 'not_applicable' AND money.at >= o.delivered_at"
)


def paid() -> Contribution:
    """Money that moved; `cash` is what came in as notes, at the till or at the door."""
    is_payment = "money.kind = 'payment'"
    return Contribution(
        source="FROM orders_orderpayment money JOIN orders_order o ON o.id = money.order_id"
        " WHERE true",
        at="money.at",
        store="money.store_id",
        basis="paid",
        members={
            "basis": "'paid'",
            "refunds": "CASE WHEN money.kind = 'refund' THEN money.amount ELSE 0 END",
            "cash_collected": f"CASE WHEN {is_payment} AND money.method IN ('cod', 'cash')"
            " THEN money.amount ELSE 0 END",
            "cash_with_courier": f"CASE WHEN {AT_THE_DOOR} THEN money.amount ELSE 0 END",
        },
    )


def remitted() -> Contribution:
    """Cash on delivery that reached the store; of a settlement what the company brought of it, the
    rest is with nobody any more."""
    brought = (
        "SELECT -sum(entry.amount) FROM delivery_cashentry entry"
        " WHERE entry.order_id = o.id AND entry.kind = 'remitted'"
    )
    cash = (
        "SELECT sum(money.amount) AS amount FROM orders_orderpayment money"  # noqa: S608  # our own text
        " WHERE money.order_id = o.id AND money.method = 'cod' AND money.kind = 'payment'"
        f" AND (o.delivery_company_id IS NULL OR {AT_THE_DOOR})"
    )
    return Contribution(
        source=f"FROM orders_order o CROSS JOIN LATERAL ({cash}) cash"
        " WHERE o.remitted_at IS NOT NULL AND cash.amount IS NOT NULL",
        at="o.remitted_at",
        store="o.store_id",
        basis="paid",
        members={
            "basis": "'paid'",
            "cash_remitted": f"coalesce(({brought}), cash.amount)",
            "cash_with_courier": "CASE WHEN o.delivery_company_id IS NULL THEN 0"
            " ELSE -cash.amount END",
        },
    )


# Per product

PRODUCT = {
    "product_id": "line.product_id",
    "sku": "CASE WHEN line.product_id IS NULL THEN upper(line.sku) ELSE '' END",
}


def of_products(digits: int) -> list[Contribution]:
    ordered = Contribution(
        source="FROM orders_order o JOIN orders_orderitem line ON line.order_id = o.id"
        f" WHERE {COUNTED}",
        at="o.placed_at",
        store="o.store_id",
        members={
            **PRODUCT,
            "units": "line.quantity",
            "net": "line.line_total",
            "cogs": f"coalesce(round(line.unit_cost * line.quantity, {digits}), 0)",
            "lines_without_cost": "(line.unit_cost IS NULL)::int",
        },
    )
    back = Contribution(
        source=CHECKED_IN,
        at="came.at",
        store="came.store_id",
        members={
            **PRODUCT,
            "net": "-came.value",
            "cogs": f"-coalesce(round(line.unit_cost * came.restock, {digits}), 0)",
            "returned_units": UNITS_BACK,
            "returned_net": "came.value",
        },
    )
    return [ordered, back]


# Per customer


def other_order(sign: str) -> str:
    """The customer's counted orders before (`<`) or after (`>`) `o`."""
    return (
        f"FROM orders_order other WHERE other.customer_id = o.customer_id AND {COUNTED_OTHER}"
        f" AND (other.placed_at, other.id) {sign} (o.placed_at, o.id)"
    )


COUNTED_OTHER = COUNTED.replace("o.", "other.")
OF_A_CUSTOMER = f"{COUNTED} AND o.customer_id IS NOT NULL"
IS_FIRST = f"{OF_A_CUSTOMER} AND NOT EXISTS (SELECT 1 {other_order('<')})"


def of_customers(_: int) -> list[Contribution]:
    """What each customer ordered where; `firsts` is 1 on the day of the first order ever. When an
    order becomes a customer's first, the one after it is so no longer, and the other way round."""
    whose = {"customer_id": "o.customer_id", "province_code": "o.province_code"}
    ordered = Contribution(
        source=f"FROM orders_order o WHERE {OF_A_CUSTOMER}",
        at="o.placed_at",
        store="o.store_id",
        members={**whose, "orders": "1", "net": "o.subtotal - o.discount_total"},
    )
    back = Contribution(
        source=f"{CHECKED_IN} AND o.customer_id IS NOT NULL",
        at="came.at",
        store="came.store_id",
        members={**whose, "net": "-came.value"},
    )
    first = Contribution(
        source=f"FROM orders_order o WHERE {IS_FIRST}",
        at="o.placed_at",
        store="o.store_id",
        members={**whose, "firsts": "1"},
    )
    second = Contribution(
        source=f"FROM orders_order o CROSS JOIN LATERAL (SELECT other.* {other_order('>')}"
        f" ORDER BY other.placed_at, other.id LIMIT 1) later WHERE {IS_FIRST}",
        at="later.placed_at",
        store="o.store_id",
        members={
            "customer_id": "o.customer_id",
            "province_code": "later.province_code",
            "firsts": "-1",
        },
        follows_an_order=True,
    )
    return [ordered, back, first, second]


ORDERS = Kind(
    table="analytics_dayfigure",
    dimensions=("basis", "status", "channel", "province_code", "payment_method"),
    measures=(
        "orders", "cancelled", "confirmed", "delivered_orders", "refused_orders", "units", "gross",
        "discounts", "returns", "returned_units", "delivery", "delivery_cost", "tax", "rounding",
        "delivered_net", "cogs", "lines_without_cost", "refunds", "cash_collected",
        "cash_remitted", "cash_with_courier",
    ),
    contributions=of_orders,
)  # fmt: skip
PRODUCTS = Kind(
    table="analytics_productfigure",
    dimensions=("product_id", "sku"),
    measures=("units", "net", "cogs", "returned_units", "returned_net", "lines_without_cost"),
    contributions=of_products,
)
CUSTOMERS = Kind(
    table="analytics_customerfigure",
    dimensions=("customer_id", "province_code"),
    measures=("orders", "net", "firsts"),
    contributions=of_customers,
)
KINDS = (ORDERS, PRODUCTS, CUSTOMERS)
