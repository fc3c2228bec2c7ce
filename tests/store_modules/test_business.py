"""Some days of a shop at random against a model in plain Python that knows nothing of it but the
public API: stock, moving-average cost, the drawer's cash, and the reports day by day, to the last
cent, with what comes back on another day than it was sold (domain.md, sections 7 and 10 to 12)."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

import time_machine

from tests.clients import client_of
from tests.factories import a_store

CAIRO = ZoneInfo("Africa/Cairo")
START = datetime(2026, 4, 21, 15, tzinfo=UTC)  # on the 24th its clocks skip midnight
RATE, NOTE = Decimal("0.0725"), Decimal("0.05")
PER_MILLE = Decimal("0.001")


def cents(amount):
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def notes(amount):
    return (amount / NOTE).quantize(Decimal(1), ROUND_HALF_UP) * NOTE


def shares(amount, weights):
    """`amount` in cents by weight, the largest remainders first."""
    whole, units = sum(weights), int(amount * 100)
    parts = [int(units * weight // whole) for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda n: (-(units * weights[n] % whole), n))
    for place in by_rest[: units - sum(parts)]:
        parts[place] += 1
    return [Decimal(part) / 100 for part in parts]


@dataclass
class Product:
    id: str
    sku: str
    price: Decimal
    cost: Decimal | None
    on_hand: int

    def arrive(self, count, unit):
        if not self.on_hand or self.cost is None:
            self.cost = unit
        else:
            whole = self.on_hand * self.cost + count * unit
            self.cost = (whole / (self.on_hand + count)).quantize(PER_MILLE / 10, ROUND_HALF_UP)
        self.on_hand += count


@dataclass
class Line:
    product: Product
    count: int
    total: Decimal
    cost: Decimal
    kept: int
    restocked: int = 0

    def worth(self, count):
        return cents(self.total * count / self.count)


@dataclass
class Sale:
    id: str
    day: str
    lines: dict
    net: Decimal
    tax: Decimal
    total: Decimal
    given: Decimal = Decimal(0)


@dataclass
class Purchase:
    id: str
    total: Decimal
    lines: dict = field(default_factory=dict)  # by item: [product, quantity, landed, arrived]


class Shop:
    """The shop, and what must be so in it."""

    def __init__(self, seed):
        self.random, self.now = random.Random(seed), START
        self.days = defaultdict(lambda: defaultdict(Decimal))
        self.sales, self.purchases, self.total = [], [], defaultdict(Decimal)
        with time_machine.travel(self.now, tick=False):
            self.store = a_store(
                currency_code="USD", timezone=CAIRO.key, tax_rate=RATE * 100, cash_rounding=NOTE,
                prices_include_tax=False,
            )  # fmt: skip
            api = client_of(self.store)
            opened = api.post("/cashier/sessions/open", {"openingFloat": "200"}).json()
            self.session, self.cash = f"/cashier/sessions/{opened['id']}", Decimal(200)
            self.supplier = api.post("/suppliers", {"name": "S"}).json()["id"]
            self.products = [
                self.product(api, f"P-{n}", price, cost)
                for n, (price, cost) in enumerate([("9.99", "4.1"), ("0.35", None), ("120", "71")])
            ]

    def product(self, api, sku, price, cost):
        body = {"sku": sku, "name": sku, "price": price, "costPrice": cost, "quantityOnHand": 8}
        made = api.post("/products", body).json()
        return Product(made["id"], sku, Decimal(price), cost and Decimal(cost), 8)

    def go(self, steps):
        deeds = [self.sell] * 5 + [self.take_back] * 4 + [self.buy] * 2 + [self.receive] * 3
        deeds += [self.move_cash, self.spend, self.adjust]
        for _ in range(steps):
            self.now += timedelta(minutes=self.random.randrange(5, 160))
            with time_machine.travel(self.now, tick=False):
                self.api = client_of(self.store)
                self.random.choice(deeds)()

    def post(self, path, body, status=201):
        answer = self.api.post(path, body)
        assert answer.status_code == status, (path, body, answer.content)
        return answer.json()

    def book(self, day=None, **amounts):
        day = day or str(self.now.astimezone(CAIRO).date())
        for name, amount in amounts.items():
            self.days[day][name] += amount

    def some(self):
        chosen = self.random.sample(self.products, self.random.randrange(1, 4))
        return [(product, self.random.randrange(1, 5)) for product in chosen]

    # What happens

    def sell(self):
        lines, off = self.some(), {}
        for product, count in lines:
            percent = Decimal(self.random.choice([0, 0, 5, 12.5, 33]))
            off[product.sku] = percent, cents(product.price * count * percent / 100)
        gross = sum(product.price * count for product, count in lines)
        net = gross - sum(amount for _, amount in off.values())
        tax, method = cents(net * RATE), self.random.choice(["cash", "card"])
        total = notes(net + tax) if method == "cash" else net + tax
        paid = {"method": method, "amount": str(total)}
        if method == "cash":
            paid["tendered"] = str(total + self.random.randrange(20))
        body = {
            "items": [{"sku": product.sku, "quantity": count} for product, count in lines],
            "lineDiscounts": [{"sku": sku, "percent": str(p)} for sku, (p, _) in off.items() if p],
            "payments": [paid], "clientSaleId": str(uuid4()),
        }  # fmt: skip
        if any(product.on_hand < count for product, count in lines):
            assert self.post("/cashier/sales", body, 409)["code"] == "insufficient_stock"
            return
        made = self.post("/cashier/sales", body)
        places = {item["sku"]: item["id"] for item in made["items"]}
        sale = Sale(made["id"], str(self.now.astimezone(CAIRO).date()), {}, net, tax, total)
        for product, count in lines:
            product.on_hand -= count
            own = product.price * count - off[product.sku][1]
            cost = product.cost or Decimal(0)
            sale.lines[places[product.sku]] = Line(product, count, own, cost, count)
            self.book(units=count)
        self.sales.append(sale)
        self.book(
            orders=1, gross=gross, discounts=gross - net, tax=tax, rounding=total - net - tax,
            delivered=net, collected=total if method == "cash" else 0,
        )  # fmt: skip
        self.cash += total if method == "cash" else 0
        self.total["sales"] += total

    def take_back(self):
        open_ones = [sale for sale in self.sales if any(line.kept for line in sale.lines.values())]
        if not open_ones:
            return
        sale = self.random.choice(open_ones)
        counts = {pk: self.random.randrange(line.kept + 1) for pk, line in sale.lines.items()}
        back = {pk: count for pk, count in counts.items() if count}
        if not back:
            return
        method, restock = self.random.choice(["cash", "card"]), self.random.random() < 0.7
        kept = {pk: line.kept - back.get(pk, 0) for pk, line in sale.lines.items()}
        goods = sum(line.total - line.worth(kept[pk]) for pk, line in sale.lines.items())
        credit = min(goods + cents(sale.tax * goods / sale.net), sale.total)
        amount = max(credit - sale.given, Decimal(0))
        if not any(kept.values()):
            amount = sale.total - sale.given
        elif method == "cash":
            amount = min(notes(amount), sale.total - sale.given)
        lines = [{"itemId": pk, "quantity": count} for pk, count in back.items()]
        body = {"lines": lines, "method": method, "restock": restock}
        path = f"/cashier/sales/{sale.id}/refund"
        if method == "cash" and amount > self.cash:
            assert self.post(path, body, 409)["code"] == "drawer_short"
            return
        sale.given += amount
        assert self.post(path, body)["amountRefunded"] == str(cents(sale.given))
        for pk, count in back.items():
            line = sale.lines[pk]
            self.book(returns=line.worth(line.kept) - line.worth(kept[pk]))
            line.kept = kept[pk]
            line.restocked += count if restock else 0
            line.product.on_hand += count if restock else 0
        self.book(refunds=amount)
        self.cash -= amount if method == "cash" else 0
        self.total["refunds"] += amount

    def move_cash(self):
        kind, amount = self.random.choice(["pay_in", "pay_out"]), self.random.randrange(1, 300)
        enough = kind == "pay_in" or amount <= self.cash
        body = {"type": kind, "amount": str(amount), "reason": "x"}
        self.post(f"{self.session}/movements", body, 201 if enough else 409)
        if enough:
            self.cash += amount if kind == "pay_in" else -amount

    def spend(self):
        amount = Decimal(self.random.randrange(1, 9999)) / 100
        day = str(self.now.astimezone(CAIRO).date() - timedelta(days=self.random.randrange(3)))
        body = {"amount": str(amount), "category": "rent", "date": day}
        if from_the_drawer := self.random.random() < 0.5:
            body["cashierSessionId"] = self.session.rpartition("/")[2]
        if from_the_drawer and amount > self.cash:
            self.post("/expenses", body, 409)
            return
        self.post("/expenses", body)
        self.book(day, expenses=amount)
        self.cash -= amount if from_the_drawer else 0

    def buy(self):
        lines = [(p, count * 3, Decimal(self.random.randrange(1, 9000)) / 100)
                 for p, count in self.some()]  # fmt: skip
        values = [count * cost for _, count, cost in lines]
        fees = Decimal(self.random.randrange(2000)) / 100
        off = min(Decimal(self.random.choice([0, 7, 31])), sum(values))
        made = self.post("/purchase-orders", {
            "supplierId": self.supplier, "additionalFees": str(fees), "discount": str(off),
            "items": [{"productId": product.id, "quantity": count, "unitCost": str(cost)}
                      for product, count, cost in lines],
        })  # fmt: skip
        purchase = Purchase(made["id"], sum(values) - off + fees)
        assert made["totalAmount"] == str(cents(purchase.total))
        landed = [
            value + fee - less
            for value, fee, less in zip(
                values, shares(fees, values), shares(off, values), strict=True
            )
        ]
        for item, (product, count, _), whole in zip(made["items"], lines, landed, strict=True):
            purchase.lines[item["id"]] = [product, count, whole, 0]
        self.post(f"/purchase-orders/{purchase.id}/order", {}, 200)
        self.purchases.append(purchase)

    def receive(self):
        if not self.purchases:
            return
        purchase = self.random.choice(self.purchases)
        got = {}
        for pk, (_, count, _, arrived) in purchase.lines.items():
            if more := self.random.randrange(count - arrived + 1):
                got[pk] = more
        if not got:
            return
        items = [{"itemId": pk, "quantity": count} for pk, count in got.items()]
        made = self.post(f"/purchase-orders/{purchase.id}/receive", {"items": items}, 200)
        for pk, more in got.items():
            product, count, whole, arrived = line = purchase.lines[pk]
            product.arrive(more, (whole / count).quantize(PER_MILLE / 10, ROUND_HALF_UP))
            line[3] += more
            value = cents(whole * (arrived + more) / count) - cents(whole * arrived / count)
            self.book(purchases=value)
            self.total["purchased"] += value
        if all(arrived == count for _, count, _, arrived in purchase.lines.values()):
            assert (made["status"], made["receivedValue"]) == (
                "received", str(cents(purchase.total)),
            )  # fmt: skip
            self.purchases.remove(purchase)

    def adjust(self):
        product, delta = self.random.choice(self.products), self.random.choice([-3, -1, 2, 4])
        enough = product.on_hand + delta >= 0
        body = {"sku": product.sku, "delta": delta, "reason": "manual"}
        self.post("/inventory/adjust", body, 200 if enough else 409)
        product.on_hand += delta if enough else 0

    def goods_sold(self):
        """What goods cost counts on the day of their sale, less what came back into stock."""
        for sale in self.sales:
            for line in sale.lines.values():
                self.book(sale.day, cogs=cents(line.cost * (line.count - line.restocked)))


def test_a_shops_days_are_what_a_model_says_to_the_last_cent(db):
    shop = Shop(20)
    shop.go(75)
    shop.goods_sold()
    first, last = START.astimezone(CAIRO).date() - timedelta(days=2), shop.now.astimezone(CAIRO)
    period = {"from": str(first), "to": str(last.date()), "granularity": "day"}
    names = {
        "sales": {
            "ordersCount": "orders", "unitsSold": "units", "grossSales": "gross",
            "discounts": "discounts", "returns": "returns", "tax": "tax", "rounding": "rounding",
        },
        "revenue": {
            "deliveredRevenue": "delivered", "refunds": "refunds", "cogs": "cogs",
            "expenses": "expenses", "purchases": "purchases", "cashCollected": "collected",
        },
    }  # fmt: skip
    with time_machine.travel(shop.now, tick=False):
        api = client_of(shop.store)
        for report, members in names.items():
            for bucket in api.post(f"/analytics/{report}", period).json()["buckets"]:
                day = bucket["bucketStart"][:10]
                found = {mine: Decimal(bucket[theirs]) for theirs, mine in members.items()}
                assert found == {mine: shop.days[day][mine] for mine in found}, day
        revenue = api.post("/analytics/revenue", period).json()["totals"]
        cash = api.get(f"{shop.session}/report").json()
        shown = {one["sku"]: one for one in api.get("/products").json()["items"]}
        supplier = api.get(f"/suppliers/{shop.supplier}").json()

    whole = defaultdict(Decimal)
    for amounts in shop.days.values():
        for name, amount in amounts.items():
            whole[name] += amount
    profit = whole["delivered"] - whole["refunds"] - whole["cogs"] - whole["expenses"]
    assert Decimal(revenue["netProfit"]) == profit
    assert Decimal(cash["expectedCash"]) == shop.cash
    assert Decimal(cash["salesTotal"]) == shop.total["sales"]
    assert Decimal(cash["refundsTotal"]) == shop.total["refunds"]
    assert Decimal(supplier["totalPurchased"]) == shop.total["purchased"]
    assert {p.sku: (p.on_hand, str(cents(p.cost))) for p in shop.products} == {
        sku: (one["quantityOnHand"], one["costPrice"]) for sku, one in shown.items()
    }
    assert len(shop.sales) > 10
    assert all(whole[name] for name in (*names["sales"].values(), *names["revenue"].values()))
    assert len({day for day, amounts in shop.days.items() if amounts["orders"]}) > 3
