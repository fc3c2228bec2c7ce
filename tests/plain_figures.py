"""The reports worked out the slow way: straight from orders, payments, check-ins, expenses and
receipts, in Python, a bucket at a time. It shares nothing with the reports but definitions."""

from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from zoneinfo import ZoneInfo

from store_modules.catalog.models import InventoryItem, Product
from store_modules.customers.models import Customer
from store_modules.expenses.models import Expense
from store_modules.orders.models import Order
from store_modules.purchasing.models import PurchaseReceipt

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WITH_COST = {"cogs", "profit", "grossProfit", "grossMargin", "netProfit", "costIncomplete"}


class Plain:
    """What a store's reports on the days from `first` to `last` must say."""

    def __init__(self, store, first, last, granularity):
        self.trade = store.settings
        self.zone = ZoneInfo(self.trade.timezone)
        self.digits = Decimal(1).scaleb(-2)
        self.start, self.end = self.midnight(first), self.midnight(last + timedelta(days=1))
        length = last - first + timedelta(days=1)
        self.before = (self.midnight(first - length), self.start)
        self.granularity = granularity
        self.orders = list(
            Order.objects.filter(store=store).prefetch_related("items", "payments", "check_ins")
        )
        for o in self.orders:
            o.lines, o.money = list(o.items.all()), list(o.payments.all())
            o.came = list(o.check_ins.all())
        self.expenses = list(Expense.objects.filter(store=store))
        self.receipts = list(PurchaseReceipt.objects.filter(store=store))
        self.products = {p.pk: p for p in Product.objects.filter(store=store)}
        self.stock = {i.product_id: i for i in InventoryItem.objects.filter(store=store)}
        self.customers = dict(Customer.objects.filter(store=store).values_list("pk", "name"))

    def midnight(self, day):
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def edges(self):
        """The bounds of the buckets: every hour of the period, kept where a bucket begins."""
        starts = [self.start]
        at = self.start + timedelta(hours=1)
        while at < self.end:
            if self.begins_a_bucket(at):
                starts.append(at)
            at += timedelta(hours=1)
        return list(zip(starts, [*starts[1:], self.end], strict=True))

    def begins_a_bucket(self, at):
        if self.granularity == "hour":
            return True
        local, earlier = at.astimezone(self.zone), (at - timedelta(hours=1)).astimezone(self.zone)
        if local.date() == earlier.date():
            return False
        if self.granularity == "week":
            return DAYS[local.weekday()] == self.trade.week_starts_on
        return self.granularity == "day" or local.day == 1

    def money(self, amount):
        return str(Decimal(amount).quantize(self.digits, ROUND_HALF_UP))

    def rounded(self, amount):
        return amount.quantize(self.digits, ROUND_HALF_UP)

    def report(self, name):
        figures = getattr(self, name)
        return {
            "totals": figures(self.start, self.end),
            "buckets": [
                {"bucketStart": a.astimezone(self.zone).isoformat(timespec="seconds")}
                | {k: v for k, v in figures(a, b).items() if k not in self.only_in_totals}
                for a, b in self.edges()
            ],
            "previous": figures(*self.before),
        }

    only_in_totals = {
        "cashWithCourier", "shareOfRevenue", "refusalRate", "deliveredOrders", "refusedOrders",
    }  # fmt: skip

    # What happened from `a` to `b`

    def placed(self, a, b):
        return [
            o
            for o in self.orders
            if a <= o.placed_at < b and o.status != "draft" and not o.is_credit_only
        ]

    def counted(self, a, b):
        return [o for o in self.placed(a, b) if o.status != "cancelled"]

    def came(self, a, b):
        return [(o, c) for o in self.orders for c in o.came if a <= c.at < b]

    def delivered(self, a, b):
        return [o for o in self.orders if o.delivered_at and a <= o.delivered_at < b]

    def payments(self, a, b):
        return [(o, p) for o in self.orders for p in o.money if a <= p.at < b]

    def spent(self, a, b):
        return [e for e in self.expenses if a <= self.midnight(e.date) < b]

    # The reports

    def sales(self, a, b):
        placed, counted = self.placed(a, b), self.counted(a, b)
        gross = sum(o.subtotal for o in counted)
        discounts = sum(o.discount_total for o in counted)
        returns = sum(c.value for _, c in self.came(a, b))
        delivery = sum(o.delivery_fee - o.delivery_discount for o in counted)
        tax, rounding = sum(o.tax_total for o in counted), sum(o.rounding for o in counted)
        net = gross - discounts - returns
        total = net + delivery + tax + rounding
        cancelled = len(placed) - len(counted)
        confirmed = [
            o for o in placed if o.confirmed_at or o.status not in ("pending", "cancelled")
        ]
        return {
            "ordersCount": len(counted),
            "unitsSold": sum(i.quantity for o in counted for i in o.lines),
            "grossSales": self.money(gross),
            "discounts": self.money(discounts),
            "returns": self.money(returns),
            "netSales": self.money(net),
            "deliveryCharged": self.money(delivery),
            "tax": self.money(tax),
            "rounding": self.money(rounding),
            "totalSales": self.money(total),
            "averageOrderValue": self.money((total + returns) / len(counted)) if counted else None,
            "cancelledCount": cancelled,
            "cancelledRate": rate(cancelled, len(placed)),
            "confirmedRate": rate(len(confirmed), len(placed)),
        }

    def breakdown(self, column):
        counts, nets = defaultdict(int), defaultdict(Decimal)
        for o in self.placed(self.start, self.end):
            if o.status != "cancelled" or column == "status":
                counts[getattr(o, column)] += 1
            if o.status != "cancelled":
                nets[getattr(o, column)] += o.subtotal - o.discount_total
        for o, c in self.came(self.start, self.end):
            nets[getattr(o, column)] -= c.value
        return {
            key or None: (counts[key], self.money(nets[key]))
            for key in {*counts, *nets}
            if counts[key] or nets[key]
        }

    def revenue(self, a, b):
        delivered = self.delivered(a, b)
        lines = [(o, i) for o in delivered for i in o.lines]
        revenue = sum(
            self.rounded(i.line_total * i.quantity_delivered / i.quantity) for _, i in lines
        )
        cogs = Decimal(0)
        for o, i in lines:
            restocked = sum(c.restock for c in o.came if c.item_id == i.pk and c.from_customer)
            cogs += self.rounded((i.unit_cost or Decimal(0)) * (i.quantity_delivered - restocked))
        income = sum(o.delivery_fee - o.delivery_discount for o in delivered)
        cost = sum(o.delivery_cost for o in delivered)
        money = self.payments(a, b)
        refunds = sum(p.amount for _, p in money if p.kind == "refund")
        cash = [p for _, p in money if p.kind == "payment" and p.method in ("cod", "cash")]
        remitted = [o for o in self.orders if o.remitted_at and a <= o.remitted_at < b]
        expenses = sum(e.amount for e in self.spent(a, b))
        purchases = sum(r.value for r in self.receipts if a <= r.received_at < b)
        gross = revenue - refunds - cogs
        without = sum(1 for _, i in lines if i.unit_cost is None and i.quantity_delivered)
        return {
            "deliveredRevenue": self.money(revenue),
            "deliveryIncome": self.money(income),
            "deliveryCost": self.money(cost),
            "deliveryMargin": self.money(income - cost),
            "refunds": self.money(refunds),
            "cogs": self.money(cogs),
            "grossProfit": self.money(gross),
            "grossMargin": rate(gross, revenue - refunds),
            "expenses": self.money(expenses),
            "purchases": self.money(purchases),
            "netProfit": self.money(gross + income - cost - expenses),
            "cashCollected": self.money(sum(p.amount for p in cash)),
            "cashRemitted": self.money(sum(collected(o) for o in remitted)),
            "cashWithCourier": self.money(self.with_courier(b)),
            "linesWithoutCost": without,
            "costIncomplete": without > 0,
        }

    def with_courier(self, at):
        return sum(
            collected(o, at)
            for o in self.orders
            if o.delivery_company_id and not (o.remitted_at and o.remitted_at < at)
        )

    def expenses_(self, a, b):
        total = sum(e.amount for e in self.spent(a, b))
        income = sum(
            self.rounded(i.line_total * i.quantity_delivered / i.quantity)
            for o in self.delivered(a, b)
            for i in o.lines
        )
        return {"total": self.money(total), "shareOfRevenue": rate(total, income)}

    def categories(self):
        amounts = defaultdict(Decimal)
        for e in self.spent(self.start, self.end):
            amounts[e.category] += e.amount
        return {
            key: (self.money(amount), rate(amount, sum(amounts.values())))
            for key, amount in amounts.items()
        }

    def product_sums(self, a, b):
        """(units, net, cogs, units back, net back, lines without cost) by product id or SKU."""
        sums = defaultdict(lambda: [Decimal(0)] * 6)

        def add(item, *parts):
            key = item.product_id or item.sku.upper()
            sums[key] = [x + y for x, y in zip(sums[key], parts, strict=True)]

        for o in self.counted(a, b):
            for i in o.lines:
                cost = self.rounded((i.unit_cost or Decimal(0)) * i.quantity)
                add(i, i.quantity, i.line_total, cost, 0, 0, i.unit_cost is None)
        for o, c in self.came(a, b):
            i = next(i for i in o.lines if i.pk == c.item_id)
            cost = self.rounded((i.unit_cost or Decimal(0)) * c.restock)
            add(i, 0, -c.value, -cost, c.restock + c.damaged + c.lost, c.value, 0)
        return sums

    def products_(self, a, b):
        sums = self.product_sums(a, b).values()
        return self.product(*(sum(parts) for parts in zip(*sums, strict=True))) if sums else (
            self.product(*[Decimal(0)] * 6)
        )  # fmt: skip

    def product(self, units, net, cogs, back, returned, without):
        return {
            "units": int(units),
            "net": self.money(net),
            "cogs": self.money(cogs),
            "profit": self.money(net - cogs),
            "returnsUnits": int(back),
            "returnsNet": self.money(returned),
            "returnRate": rate(back, units),
            "costIncomplete": without > 0,
        }

    def items(self):
        sums = self.product_sums(self.start, self.end)
        total = sum(parts[1] for parts in sums.values())
        days = (
            self.end.astimezone(self.zone).date() - self.start.astimezone(self.zone).date()
        ).days
        shown = {}
        for key, parts in sums.items():
            product, shelf = self.products.get(key), self.stock.get(key)
            tracked = product is not None and product.track_inventory
            lasts = None
            if tracked and parts[0] > 0:
                available = shelf.quantity_on_hand - shelf.quantity_reserved
                lasts = (available * Decimal(days) / parts[0]).quantize(
                    Decimal("0.1"), ROUND_HALF_UP
                )
            shown[product.sku if product else key] = self.product(*parts) | {
                "productId": str(key) if product else None,
                "sku": product.sku if product else key,
                "name": product.name if product else key,
                "share": rate(parts[1], total),
                "onHand": shelf.quantity_on_hand if tracked else None,
                "daysOfStock": None if lasts is None else str(lasts),
            }
        return shown

    def people(self, a, b):
        """A customer is active in the bucket of the first order in the whole period."""
        first_orders, back = self.first_orders(self.before if b <= self.start else None)
        active = {pk: of for pk, of in first_orders.items() if a <= min(of) < b}
        back = back & active.keys()
        count, new = sum(map(len, active.values())), len(active) - len(back)
        placed = self.placed(a, b)
        delivered = sum(1 for o in placed if o.delivered_at)
        refused = sum(
            1
            for o in placed
            if o.status in ("returning", "returned") and not o.delivered_at and o.shipped_at
        )
        return {
            "activeCustomers": len(active),
            "newCustomers": new,
            "returningCustomers": len(back),
            "returningRate": rate(len(back), len(active)),
            "ordersCount": count,
            "repeatOrders": count - new,
            "deliveredOrders": delivered,
            "refusedOrders": refused,
            "refusalRate": rate(refused, delivered + refused),
        }

    @cache  # noqa: B019  # lives as long as its test
    def first_orders(self, period):
        """When each customer of a period ordered in it, and who had ordered before."""
        a, b = period or (self.start, self.end)
        orders = defaultdict(list)
        for o in self.counted(a, b):
            if o.customer_id:
                orders[o.customer_id].append(o.placed_at)
        return orders, {o.customer_id for o in self.counted(LONG_AGO, a)}

    def best_customers(self):
        counts, nets = defaultdict(int), defaultdict(Decimal)
        for o in self.counted(self.start, self.end):
            counts[o.customer_id] += 1
            nets[o.customer_id] += o.subtotal - o.discount_total
        for o, c in self.came(self.start, self.end):
            nets[o.customer_id] -= c.value
        return {
            str(pk): (self.customers[pk], count, self.money(nets[pk]))
            for pk, count in counts.items()
            if pk
        }

    def places(self):
        found = defaultdict(lambda: (set(), []))
        for o in self.counted(self.start, self.end):
            if o.customer_id:
                found[o.province_code or None][0].add(o.customer_id)
                found[o.province_code or None][1].append(o)
        return {key: (len(who), len(orders)) for key, (who, orders) in found.items()}


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def collected(order, before=None):
    """Cash that a customer paid at the door."""
    return sum(
        p.amount
        for p in order.money
        if p.method == "cod" and p.kind == "payment" and (before is None or p.at < before)
        if not order.delivery_company_id or at_the_door(order, p)
    )


def at_the_door(order, payment):
    """Whether a delivery company took it: what was booked by hand it never had."""
    with_cash = order.remittance_status != "not_applicable"
    return with_cash and order.delivered_at and payment.at >= order.delivered_at


def rate(part, of):
    if not of:
        return None
    return str((Decimal(part) / Decimal(of)).quantize(Decimal("0.0001"), ROUND_HALF_UP))
