"""Kept figures against the slow way (domain.md, 12 and 21.8): whatever happens to a store's orders,
its reports say what its orders say, however the time is cut, and so do figures made anew."""

import random
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from store_modules.analytics import figures
from store_modules.analytics.contributions import KINDS
from store_modules.analytics.models import CustomerFigure, DayFigure, ProductFigure
from store_modules.customers.models import Customer
from store_modules.delivery.models import DeliveryCompany
from store_modules.orders.figures import counted_anew
from store_modules.orders.models import Order
from tests.clients import client_of, key_client_of
from tests.factories import a_product, a_store, an_area, an_order_body
from tests.plain_figures import Plain

TABLES = (DayFigure, ProductFigure, CustomerFigure)
PHONES = [f"+96477012345{n:02}" for n in range(9)]
# Zone, and the midnight in the middle of what is looked at: a day of 23 hours, one of 25, the turn
# of a month, a day that begins before everybody else's.
PLACES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Asia/Baghdad", "2026-05-01"),
    ("Pacific/Kiritimati", "2026-03-01"),
]


class Walk:
    """A store in which something happens at random, some hours after the other."""

    def __init__(self, zone, start, seed):
        self.random = random.Random(seed)
        self.store = a_store(
            currency_code="USD", timezone=zone, default_delivery_fee=5, tax_rate="7.25",
            prices_include_tax=False, cash_rounding="0.05", require_otp_for_storefront=False,
        )  # fmt: skip
        self.now = start
        with time_machine.travel(self.now, tick=False):
            self.products = [
                a_product(self.store, price=price, cost_price=cost, quantity=10_000)
                for price, cost in (("9.99", "3.3333"), ("120", None), ("0.35", "0.1"))
            ]
            api = client_of(self.store)
            api.post("/cashier/sessions/open", {"openingFloat": "100"})
            code = {"code": "TEN", "type": "percentage", "value": "10", "name": "Ten"}
            api.post("/discounts/codes", code)
            self.key = key_client_of(self.store)
            self.supplier = api.post("/suppliers", {"name": "S"}).json()["id"]
        self.deeds = [
            *[self.place] * 8, *[self.move_on] * 9, *[self.check_in] * 3, *[self.send_back] * 4,
            self.edit, self.cancel, self.cancel, self.pay, self.refund, self.bring_in,
            *[self.sell] * 2, self.take_back, self.spend, self.buy, self.settle, self.sum_up,
            self.merge,
        ]  # fmt: skip

    def go(self, steps):
        for _ in range(steps):
            self.now += timedelta(minutes=self.random.randrange(5, 320))
            with time_machine.travel(self.now, tick=False):
                self.api = client_of(self.store)
                self.random.choice(self.deeds)()

    def fine(self, answer):
        assert answer.status_code < 500, answer.content
        return answer.json() if answer.status_code < 300 else None

    def lines(self, most=3):
        chosen = self.random.sample(self.products, self.random.randrange(1, most + 1))
        return [(product, self.random.randrange(1, 4)) for product in chosen]

    def an_order(self, *statuses):
        orders = Order.objects.filter(store=self.store).order_by("number")
        found = list(orders.filter(status__in=statuses) if statuses else orders)
        return self.random.choice(found) if found else None

    def units(self, order):
        return [
            {"itemId": str(i.pk), "quantity": self.random.randrange(i.quantity + 1)}
            for i in order.items.all()
        ]

    def place(self):
        channel = self.random.choice(["dashboard", "draft", "api", "bulk", "storefront"])
        body = an_order_body(self.store, *self.lines()) | {
            "customer": {"name": "Sara", "primaryPhone": self.random.choice(PHONES)},
            "payment_method": self.random.choice(["cod", "cod", "card", "prepaid"]),
            "addressProvinceCode": (place := self.random.choice(["IQ-BG", "IQ-BA"])),
            "addressAreaId": str(an_area(place).pk),
        }
        if channel == "storefront":
            self.fine(self.key.post("/orders/storefront", body | {"payment_method": "cod"}))
            return
        if self.random.random() < 0.2:
            body["items"].append({"sku": "Odd-1", "name": "Odd", "unitPrice": "7", "quantity": 2})
            body["fulfillmentType"] = "from_to"
        if self.random.random() < 0.3:
            body["discountCode"] = "ten"
        if self.random.random() < 0.2:
            body["deliveryFeePayer"] = "store"
        if channel in ("dashboard", "draft"):
            self.fine(self.api.post("/orders", body | {"isDraft": channel == "draft"}))
        elif channel == "api":
            self.fine(self.key.post("/orders", body))
        else:
            self.fine(self.key.post("/orders/bulk", {"orders": [body, body]}))

    def move_on(self):
        ways = {
            "draft": ["pending"], "pending": ["confirmed"], "confirmed": ["processing", "shipped"],
            "processing": ["shipped"], "returning": ["shipped"],
            "shipped": ["delivered", "delivered", "partially_delivered", "returning"],
        }  # fmt: skip
        if (order := self.an_order(*ways)) is None:
            return
        if order.status == "shipped" and self.random.random() < 0.4:
            Order.objects.filter(pk=order.pk).update(
                delivery_company_id=DeliveryCompany.objects.get(slug="boxy").pk
            )
        body = {"to": self.random.choice(ways[order.status]), "reason": "refused"}
        if body["to"] == "partially_delivered":
            body["lines"] = self.units(order)
        self.fine(self.api.post(f"/orders/{order.pk}/transition", body))

    def check_in(self):
        if order := self.an_order("returning", "partially_delivered"):
            lines = [
                {
                    "itemId": line["itemId"],
                    self.random.choice(["restock", "damaged", "lost"]): count,
                }
                for line in self.units(order)
                if (count := line["quantity"])
            ]
            self.fine(self.api.post(f"/orders/{order.pk}/check-in", {"lines": lines}))

    def send_back(self):
        """A customer gives back some of an order, step by step."""
        open_ones = self.api.get("/return-requests?status=pending,approved,received").json()[
            "items"
        ]
        if open_ones and self.random.random() < 0.8:
            one = self.random.choice(open_ones)
            deed = {"pending": "approve", "approved": "receive", "received": "complete"}
            self.fine(self.api.post(f"/return-requests/{one['id']}/{deed[one['status']]}"))
        elif order := self.an_order("delivered", "partially_delivered"):
            lines = [line for line in self.units(order) if line["quantity"]]
            self.fine(self.api.post("/return-requests", {"orderId": order.pk, "lines": lines}))

    def edit(self):
        if order := self.an_order("draft", "pending", "confirmed"):
            items = [{"sku": p.sku, "quantity": count} for p, count in self.lines()]
            self.fine(self.api.put(f"/orders/{order.pk}", {"items": items}))

    def cancel(self):
        if order := self.an_order("draft", "pending", "confirmed", "processing"):
            self.fine(self.api.post(f"/orders/{order.pk}/cancel"))

    def pay(self):
        if order := self.an_order("pending", "confirmed", "delivered"):
            body = {"amount": "5", "method": self.random.choice(["card", "cash"])}
            self.fine(self.api.post(f"/orders/{order.pk}/payments", body))

    def refund(self):
        if order := self.an_order("cancelled", "delivered", "returned"):
            body = {"amount": "4.5", "method": "card", "reason": "sorry"}
            self.fine(self.api.post(f"/orders/{order.pk}/refunds", body))

    def bring_in(self):
        rows = []
        for status in ("delivered", "returned", "cancelled", "credit"):
            past = self.now - timedelta(minutes=self.random.randrange(1, 9000))
            row = an_order_body(self.store) | {
                "customer": {"name": "Ali", "primaryPhone": self.random.choice(PHONES)},
                "payment_method": "cash", "placedAt": past.isoformat(), "externalRef": str(uuid4()),
                "status": "returned" if status == "credit" else status,
                "items": [{"sku": p.sku, "quantity": q, "lineTotal": "11.11"}
                          for p, q in self.lines()],
            }  # fmt: skip
            rows.append(row | ({"creditOnly": True} if status == "credit" else {}))
        self.fine(self.key.post("/orders/bulk", {"mode": "import", "orders": rows}))

    def sell(self):
        items = [{"sku": p.sku, "quantity": count} for p, count in self.lines()]
        body = {"items": items, "payments": [], "clientSaleId": str(uuid4())}
        if self.random.random() < 0.5 and (customer := Customer.objects.live().first()):
            body["customerId"] = customer.pk
        method = self.random.choice(["cash", "card"])
        body["payments"] = [{"method": method, "amount": "0"}]
        total = self.api.post("/cashier/sales", body).json()["total"]
        body["payments"] = [{"method": method, "amount": total}]
        assert self.api.post("/cashier/sales", body).status_code == 201

    def take_back(self):
        sales = Order.objects.filter(store=self.store, channel="pos").exclude(status="returned")
        if order := sales.order_by("number").first():
            lines = [
                {"itemId": line["itemId"], "quantity": line["quantity"]}
                for line in self.units(order)
                if line["quantity"]
            ]
            body = {"lines": lines, "method": "card", "restock": self.random.random() < 0.5}
            self.fine(self.api.post(f"/cashier/sales/{order.pk}/refund", body))

    def spend(self):
        day = (self.now - timedelta(days=self.random.randrange(5))).date()
        category = self.random.choice(["rent", "fees", "own-slug"])
        body = {"amount": "12.34", "category": category, "date": day.isoformat()}
        self.fine(self.api.post("/expenses", body))

    def buy(self):
        item = {"productId": self.products[0].pk, "quantity": 7, "unitCost": "3.47"}
        body = {"supplierId": self.supplier, "items": [item], "receiveNow": True}
        self.fine(self.api.post("/purchase-orders", body))

    def settle(self):
        """A courier hands over the cash of an order."""
        waiting = Order.objects.filter(store=self.store, remittance_status="with_courier")
        if order := waiting.order_by("number").first():
            with counted_anew(order):
                order.remittance_status, order.remitted_at = "remitted", timezone.now()
                order.save()

    def merge(self):
        if self.random.random() < 0.3 and Customer.objects.live().count() > 4:
            one, other = Customer.objects.live().order_by("primary_phone")[:2]
            body = {"intoCustomerId": other.pk}
            assert self.api.post(f"/customers/{one.pk}/merge", body).status_code == 200

    def sum_up(self):
        figures.sum_up()


def kept():
    """All figures without their ids."""
    return [
        sorted(
            map(str, table.objects.values_list("day", *kind.dimensions, *kind.measures)),
        )
        for table, kind in zip(TABLES, KINDS, strict=True)
    ]


@pytest.mark.parametrize(("zone", "day"), PLACES)
def test_guide_analytics_reports_say_what_the_orders_say(db, zone, day):
    middle = date.fromisoformat(day)
    start = datetime(middle.year, middle.month, middle.day, tzinfo=UTC) - timedelta(days=6)
    walk = Walk(zone, start, f"{zone} {day}")
    walk.go(120)

    first, last = middle - timedelta(days=3), middle + timedelta(days=4)
    with time_machine.travel(walk.now, tick=False):
        compare(walk, middle - timedelta(days=1), middle, "hour")
        for granularity in ("day", "week", "month"):
            compare(walk, first, last, granularity)
    figures.sum_up()
    upkept = kept()
    figures.rebuild(walk.store.pk)

    assert Order.objects.values("status").distinct().count() >= 6
    assert {channel for (channel,) in Order.objects.values_list("channel")} >= {
        "api", "bulk", "storefront", "dashboard", "pos", "import",
    }  # fmt: skip
    assert all(upkept)
    assert kept() == upkept


def test_a_day_may_be_worth_more_than_any_amount(db):
    store = a_store(timezone="UTC", default_delivery_fee=0)
    api = client_of(store)
    product = a_product(store, price=60_000_000_000_000)
    day = timezone.now().date()
    for _ in range(2):
        made = api.post("/orders", an_order_body(store, (product, 1), payment_method="card"))
        assert made.status_code == 201, made.content
    row = an_order_body(store) | {
        "payment_method": "card", "placedAt": timezone.now().isoformat(), "status": "delivered",
        "items": [
            {"sku": f"S{n}", "name": "S", "quantity": 10_000_000, "lineTotal": "1"}
            for n in range(200)
        ],
    }  # fmt: skip
    rows = [row | {"externalRef": name} for name in ("one", "two")]
    made = key_client_of(store).post("/orders/bulk", {"mode": "import", "orders": rows})
    assert made.status_code == 201, made.content

    figures.sum_up()

    days = {"from": day - timedelta(days=1), "to": day + timedelta(days=1)}
    sales = api.post("/analytics/sales", days).json()
    assert sales["totals"]["unitsSold"] == 4_000_000_002
    assert sales["totals"]["grossSales"] == "120000000000400"
    assert sum(int(part["netSales"]) for part in sales["byStatus"]) == 120_000_000_000_400
    figures.rebuild(store.pk)
    assert api.post("/analytics/sales", days).json()["totals"] == sales["totals"]


def compare(walk, first, last, granularity):
    """Every member of every report, in the totals, each bucket and the period before."""
    plain = Plain(walk.store, first, last, granularity)
    body = {"from": first, "to": last, "granularity": granularity}
    names = {
        "sales": "sales", "revenue": "revenue", "expenses": "expenses_", "products": "products_",
        "customers": "people",
    }  # fmt: skip
    found = {}
    for name, method in names.items():
        answer = client_of(walk.store).post(f"/analytics/{name}", body)
        assert answer.status_code == 200, answer.content
        report = found[name] = answer.json()
        expected = plain.report(method)
        assert report["totals"] == expected["totals"], name
        assert report["buckets"] == expected["buckets"], name
        assert report["previousPeriod"]["totals"] == expected["previous"], name
    for name, column in (
        ("byStatus", "status"), ("byChannel", "channel"), ("byProvince", "province_code"),
        ("byPaymentMethod", "payment_method"),
    ):  # fmt: skip
        parts = {p["key"]: (p["ordersCount"], p["netSales"]) for p in found["sales"][name]}
        assert parts == plain.breakdown(column), name
    categories = found["expenses"]["byCategory"]
    assert {c["key"]: (c["total"], c["share"]) for c in categories} == plain.categories()
    assert {item["sku"]: item for item in found["products"]["items"]} == plain.items()
    best = found["customers"]["topCustomers"]
    assert {
        c["customerId"]: (c["name"], c["ordersCount"], c["net"]) for c in best
    } == plain.best_customers()
    places = found["customers"]["byProvince"]
    assert {p["key"]: (p["customers"], p["ordersCount"]) for p in places} == plain.places()
