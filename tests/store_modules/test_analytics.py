"""The five reports by hand (guide.md, "Analytics"; domain.md, section 12)."""

from datetime import date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine

from store_modules.analytics.periods import midnight, read_period
from store_modules.orders.figures import counted_anew
from store_modules.orders.models import Order
from tests.clients import client_of, key_client_of
from tests.factories import a_member, a_product, a_store, an_area, an_order_body

REPORTS = ["sales", "products", "customers", "expenses", "revenue"]
WEEK = {"from": "2026-01-05", "to": "2026-01-11", "granularity": "day"}
HEADING = {
    "currencyCode": "IQD", "timezone": "Asia/Baghdad", "granularity": "day",
    "from": "2026-01-05T00:00:00+03:00", "to": "2026-01-12T00:00:00+03:00",
}  # fmt: skip
ALI, SARA = (
    {"name": name, "primaryPhone": f"+964770000000{place}"}
    for place, name in enumerate(["Ali", "Sara"])
)


def at(moment):
    return time_machine.travel(moment, tick=False)


def ask(store, report, member=None, **body):
    answer = client_of(store, member).post(f"/analytics/{report}", WEEK | body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def moved(api, order, *steps):
    for step in steps:
        answer = api.post(f"/orders/{order['id']}/transition", {"to": step, "reason": "refused"})
        assert answer.status_code == 200, answer.content


@pytest.fixture
def week(db):
    """A week in Baghdad, the week before with one order of Ali's, and all that a report tells.

    Mugs are sold at 10,000 and cost 6,000; lamps are sold at 4,000 and nobody knows their cost.
    """
    store = a_store()
    with at("2025-12-31T09:00:00Z"):
        mug = a_product(store, sku="MUG", name="Mug", price=10_000, cost_price=6_000, quantity=100)
        lamp = a_product(store, sku="LAMP", name="Lamp", price=4_000, quantity=50)
        api = client_of(store)
        ordered = api.post("/orders", an_order_body(store, (mug, 1), customer=ALI)).json()
        moved(api, ordered, "confirmed", "shipped", "delivered")
    with at("2026-01-05T21:30:00Z"):  # the 6th in Baghdad
        api = client_of(store)
        api.post(
            "/discounts/codes", {"code": "TEN", "type": "percentage", "value": "10", "name": "T"}
        )
        body = an_order_body(store, (mug, 3), (lamp, 1), customer=ALI, discountCode="ten")
        first = api.post("/orders", body).json()  # 34,000 − 3,400 + 5,000
        second = api.post("/orders", an_order_body(store, (lamp, 2), customer=SARA)).json()
        third = api.post("/orders", an_order_body(store, (mug, 1), customer=SARA)).json()
        gone = api.post("/orders", an_order_body(store, (mug, 9))).json()
        moved(api, gone, "confirmed")
        api.post(f"/orders/{gone['id']}/cancel")
        api.post("/orders", an_order_body(store, (mug, 5), isDraft=True))
        moved(api, first, "confirmed", "shipped")
        moved(api, second, "confirmed", "shipped", "returning")
    with at("2026-01-08T09:00:00Z"):
        api = client_of(store)
        moved(api, first, "delivered")
        lines = [{"itemId": second["items"][0]["id"], "restock": 2}]
        api.post(f"/orders/{second['id']}/check-in", {"lines": lines})
        api.post("/cashier/sessions/open", {"openingFloat": "0"})
        sale = {
            "items": [{"sku": "MUG", "quantity": 2}], "clientSaleId": str(uuid4()),
            "payments": [{"method": "cash", "amount": "20000"}],
        }  # fmt: skip
        sold = api.post("/cashier/sales", sale).json()
        api.post("/expenses", {"amount": "7000", "category": "rent", "date": "2026-01-08"})
        api.post("/expenses", {"amount": "3000", "category": "fees", "date": "2026-01-09"})
        supplier = api.post("/suppliers", {"name": "S"}).json()["id"]
        item = {"productId": str(lamp.pk), "quantity": 10, "unitCost": "1500"}
        bought = {"supplierId": supplier, "items": [item], "receiveNow": True}
        assert api.post("/purchase-orders", bought).status_code == 201
    with at("2026-01-10T09:00:00Z"):
        api = client_of(store)
        lines = [{"sku": "MUG", "quantity": 1}]
        refund = {"lines": lines, "method": "cash", "restock": True}
        assert api.post(f"/cashier/sales/{sold['id']}/refund", refund).status_code == 201
    assert third["status"] == "pending"
    return store


def test_guide_analytics_sales_by_hand(week):
    report = ask(week, "sales")

    assert {name: report[name] for name in HEADING} == HEADING
    assert report["generatedAt"].endswith("Z")
    assert report["totals"] == {
        "ordersCount": 4,  # three of the dashboard, one at the till
        "unitsSold": 9,
        "grossSales": "72000",  # 34,000 + 8,000 + 10,000 + 20,000
        "discounts": "3400",
        "returns": "18000",  # the lamps that were refused, and a mug at the till
        "netSales": "50600",
        "deliveryCharged": "15000",
        "tax": "0",
        "rounding": "0",
        "totalSales": "65600",
        "averageOrderValue": "20900",  # 83,600 before returns
        "cancelledCount": 1,
        "cancelledRate": "0.2000",
        "confirmedRate": "0.8000",  # also the cancelled one; one still waits
    }
    buckets = report["buckets"]
    assert [(b["bucketStart"][:10], b["ordersCount"], b["netSales"]) for b in buckets] == [
        ("2026-01-05", 0, "0"), ("2026-01-06", 3, "48600"), ("2026-01-07", 0, "0"),
        ("2026-01-08", 1, "12000"), ("2026-01-09", 0, "0"), ("2026-01-10", 0, "-10000"),
        ("2026-01-11", 0, "0"),
    ]  # fmt: skip
    assert report["byStatus"] == [
        {"key": "delivered", "ordersCount": 2, "netSales": "40600"},
        {"key": "cancelled", "ordersCount": 1, "netSales": "0"},
        {"key": "pending", "ordersCount": 1, "netSales": "10000"},
        {"key": "returned", "ordersCount": 1, "netSales": "0"},
    ]
    assert report["byChannel"] == [
        {"key": "dashboard", "ordersCount": 3, "netSales": "40600"},
        {"key": "pos", "ordersCount": 1, "netSales": "10000"},
    ]
    assert report["byProvince"] == [
        {"key": "IQ-BG", "ordersCount": 3, "netSales": "40600"},
        {"key": None, "ordersCount": 1, "netSales": "10000"},
    ]
    assert report["byPaymentMethod"] == [
        {"key": "cod", "ordersCount": 3, "netSales": "40600"},
        {"key": "cash", "ordersCount": 1, "netSales": "10000"},
    ]
    before = report["previousPeriod"]
    assert (before["from"], before["to"]) == ("2025-12-29T00:00:00+03:00", HEADING["from"])
    assert (before["totals"]["ordersCount"], before["totals"]["totalSales"]) == (1, "15000")


def test_guide_analytics_revenue_by_hand(week):
    report = ask(week, "revenue")

    assert report["totals"] == {
        "deliveredRevenue": "50600",  # 30,600 at the door, 20,000 at the till
        "deliveryIncome": "5000",
        "deliveryCost": "0",
        "deliveryMargin": "5000",
        "refunds": "10000",
        "cogs": "24000",  # four mugs that stayed away
        "grossProfit": "16600",
        "grossMargin": "0.4089",
        "expenses": "10000",
        "purchases": "15000",
        "netProfit": "11600",
        "cashCollected": "55600",
        "cashRemitted": "35600",
        "cashWithCourier": "0",
        "linesWithoutCost": 1,
        "costIncomplete": True,
    }
    eighth = report["buckets"][3]
    assert (eighth["deliveredRevenue"], eighth["expenses"], eighth["purchases"]) == (
        "50600", "7000", "15000",
    )  # fmt: skip
    assert report["previousPeriod"]["totals"]["deliveredRevenue"] == "10000"


def test_cash_with_couriers_is_a_balance_at_the_end_of_the_period(week):
    order = Order.objects.get(subtotal=34_000)
    with counted_anew(order):
        order.delivery_company_id = uuid4()
        order.remitted_at = datetime(2026, 1, 10, 12, tzinfo=ZoneInfo("Asia/Baghdad"))
        order.save()

    def cash(first, last):
        return ask(week, "revenue", **{"from": first, "to": last})["totals"]["cashWithCourier"]

    assert cash("2026-01-07", "2026-01-07") == "0"
    assert cash("2026-01-07", "2026-01-08") == "35600"
    assert cash("2026-01-09", "2026-01-09") == "35600"
    assert cash("2026-01-10T00:00:00+03:00", "2026-01-10T11:59:59+03:00") == "35600"
    assert cash("2026-01-10T00:00:00+03:00", "2026-01-10T13:00:00+03:00") == "0"
    assert cash("2026-01-09", "2026-01-10") == "0"


def test_guide_analytics_products_by_hand(week):
    report = ask(week, "products")

    assert report["sort"] == "net"
    assert report["totals"] == {
        "units": 9, "net": "50600", "cogs": "30000", "profit": "20600", "returnsUnits": 3,
        "returnsNet": "18000", "returnRate": "0.3333", "costIncomplete": True,
    }  # fmt: skip
    mug, lamp = report["items"]
    assert mug.pop("productId") != lamp.pop("productId")
    assert mug == {
        "sku": "MUG", "name": "Mug", "units": 6, "net": "47000", "cogs": "30000",
        "profit": "17000", "returnsUnits": 1, "returnsNet": "10000", "returnRate": "0.1667",
        "costIncomplete": False, "share": "0.9289", "onHand": 95, "daysOfStock": "109.7",
    }  # fmt: skip
    assert lamp == {
        "sku": "LAMP", "name": "Lamp", "units": 3, "net": "3600", "cogs": "0", "profit": "3600",
        "returnsUnits": 2, "returnsNet": "8000", "returnRate": "0.6667", "costIncomplete": True,
        "share": "0.0711", "onHand": 59, "daysOfStock": "137.7",
    }  # fmt: skip
    by_rate = ask(week, "products", sort="returnRate")["items"]
    assert [item["sku"] for item in by_rate] == ["LAMP", "MUG"]


def test_guide_analytics_customers_by_hand(week):
    report = ask(week, "customers")

    assert report["totals"] == {
        "activeCustomers": 2, "newCustomers": 1, "returningCustomers": 1,
        "returningRate": "0.5000", "ordersCount": 3, "repeatOrders": 2, "deliveredOrders": 2,
        "refusedOrders": 1, "refusalRate": "0.3333",
    }  # fmt: skip
    assert [b["activeCustomers"] for b in report["buckets"]] == [0, 2, 0, 0, 0, 0, 0]
    assert [(c["name"], c["ordersCount"], c["net"]) for c in report["topCustomers"]] == [
        ("Ali", 1, "30600"), ("Sara", 2, "10000"),
    ]  # fmt: skip
    assert report["byProvince"] == [{"key": "IQ-BG", "customers": 2, "ordersCount": 3}]
    assert report["previousPeriod"]["totals"]["newCustomers"] == 1


def test_guide_analytics_expenses_by_hand(week):
    report = ask(week, "expenses")

    assert report["totals"] == {"total": "10000", "shareOfRevenue": "0.1976"}
    assert [b["total"] for b in report["buckets"]] == ["0", "0", "0", "7000", "3000", "0", "0"]
    assert report["byCategory"] == [
        {"key": "rent", "total": "7000", "share": "0.7000"},
        {"key": "fees", "total": "3000", "share": "0.3000"},
    ]
    assert report["previousPeriod"]["totals"] == {"total": "0", "shareOfRevenue": "0.0000"}


def test_a_customer_whose_first_order_is_cancelled_was_new_with_the_next(db):
    store = a_store()
    with at("2026-01-02T09:00:00Z"):
        api, product = client_of(store), a_product(store)
        first = api.post("/orders", an_order_body(store, (product, 1), customer=ALI)).json()
    with at("2026-01-06T09:00:00Z"):
        api = client_of(store)
        api.post("/orders", an_order_body(store, (product, 1), customer=ALI))
        assert ask(store, "customers")["totals"]["returningCustomers"] == 1
        api.post(f"/orders/{first['id']}/cancel")

    totals = ask(store, "customers")["totals"]

    assert (totals["newCustomers"], totals["returningCustomers"]) == (1, 0)


def test_goods_are_sold_at_the_cost_of_the_day_when_they_were_shipped(api, store):  # domain.md, 7
    product = a_product(store, price=10_000, cost_price=6_000)
    order = api.post("/orders", an_order_body(store, (product, 1))).json()
    api.put(f"/products/{product.pk}", {"costPrice": "7000"})
    moved(api, order, "confirmed", "shipped")
    api.put(f"/products/{product.pk}", {"costPrice": "9000"})
    moved(api, order, "delivered")

    years = {"from": "2026-01-01", "to": "2027-12-31", "granularity": None}

    assert ask(store, "revenue", **years)["totals"]["cogs"] == "7000"


# Periods


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"to": "2026-01-01"}, "from"),
        ({"from": "2026-01-01"}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ({"from": "2026-01-01T10:00:00Z", "to": "2026-01-01T09:59:59Z"}, "to"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "to"),  # 732 days
        ({"from": "2026-01-01", "to": "2026-02-01", "granularity": "hour"}, "granularity"),
        ({"from": "2026-01-01", "to": "2026-01-02", "granularity": "year"}, "granularity"),
        ({"from": "2026-02-30", "to": "2026-03-01"}, "from"),
        ({"from": "yesterday", "to": "2026-03-01"}, "from"),
        ({"from": 20260101, "to": "2026-03-01"}, "from"),
        ({"from": None, "to": "2026-03-01"}, "from"),
        ({"from": ["2026-01-01"], "to": {}}, "to"),
        ({"from": "1999-12-31", "to": "2000-01-01"}, "from"),
        ({"from": "2026-01-01", "to": "9999-12-31"}, "to"),
        ({"from": "2026-01-01T25:00:00Z", "to": "2026-03-01"}, "from"),
        ({"from": "2026-01-01", "to": "2026-01-02", "granularity": 1}, "granularity"),
    ],
)
def test_guide_analytics_what_is_no_period_is_refused(api, report, body, fault):
    answer = api.post(f"/analytics/{report}", body)

    assert answer.status_code == 400
    assert fault in answer.json()["errors"]


def test_guide_analytics_a_period_may_be_731_days(api):
    fine = {"from": "2024-01-01", "to": "2025-12-31"}

    assert api.post("/analytics/sales", fine).json()["granularity"] == "month"


def test_guide_analytics_products_are_sorted_by_known_words(api):
    assert api.post("/analytics/products", WEEK | {"sort": "price"}).status_code == 400


NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("first", "last", "chosen"),
    [
        ("2026-10-31", "2026-11-01", "hour"),  # 49 hours by the clock on the wall are two days
        ("2026-10-30", "2026-11-01", "day"),
        ("2026-01-01", "2026-04-02", "day"),
        ("2026-01-01", "2026-04-03", "week"),
        ("2026-01-01", "2027-01-01", "week"),
        ("2026-01-01", "2027-01-02", "month"),
    ],
)
def test_the_granularity_follows_the_span(first, last, chosen):
    days = [date.fromisoformat(day) for day in (first, last)]

    assert read_period(*days, NEW_YORK, None, 0).granularity == chosen


@pytest.mark.parametrize(
    ("zone", "first", "last", "granularity", "starts"),
    [
        ("America/New_York", "2026-03-07", "2026-03-09", "day", [
            "2026-03-07T00:00:00-05:00", "2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00",
        ]),
        ("Asia/Baghdad", "2026-01-05", "2026-01-18", "week", [  # weeks begin on Saturday there
            "2026-01-05T00:00:00+03:00", "2026-01-10T00:00:00+03:00", "2026-01-17T00:00:00+03:00",
        ]),
        ("Pacific/Kiritimati", "2026-01-30", "2026-03-01", "month", [
            "2026-01-30T00:00:00+14:00", "2026-02-01T00:00:00+14:00", "2026-03-01T00:00:00+14:00",
        ]),
        ("Africa/Cairo", "2026-04-23", "2026-04-25", "day", [  # its clocks skip midnight
            "2026-04-23T00:00:00+02:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00",
        ]),
        ("Asia/Kathmandu", "2026-01-01T10:50:00+05:45", "2026-01-01T13:00:00+05:45", "hour", [
            "2026-01-01T10:50:00+05:45", "2026-01-01T11:00:00+05:45", "2026-01-01T12:00:00+05:45",
        ]),
    ],
)  # fmt: skip
def test_guide_analytics_buckets_begin_on_the_stores_clock(
    db, zone, first, last, granularity, starts
):
    store = a_store(timezone=zone)

    report = ask(store, "sales", **{"from": first, "to": last, "granularity": granularity})

    assert [bucket["bucketStart"] for bucket in report["buckets"]] == starts
    assert report["previousPeriod"]["to"] == report["from"] == starts[0]


@pytest.mark.parametrize("day", ["2026-04-24", "2026-04-25"])
def test_the_period_before_is_whole_days_also_where_clocks_skip_midnight(db, day):
    store = a_store(timezone="Africa/Cairo")
    with at("2026-04-23T22:30:00Z"):  # 01:30 on the 24th; that day begins at 01:00
        api = client_of(store)
        api.post("/orders", an_order_body(store, (a_product(store), 3)))
        with at("2026-04-22T22:30:00Z"):  # 00:30 on the 23rd
            api = client_of(store)
            api.post("/orders", an_order_body(store, (a_product(store), 2)))

    sales = ask(store, "sales", **{"from": day, "to": day})
    sold = ask(store, "products", **{"from": "2026-04-24", "to": "2026-04-24"})["items"]

    eve = date.fromisoformat(day) - timedelta(days=1)
    begins = midnight(eve, ZoneInfo("Africa/Cairo")).astimezone(ZoneInfo("Africa/Cairo"))
    assert sales["previousPeriod"]["from"] == begins.isoformat()
    assert sales["previousPeriod"]["totals"]["ordersCount"] == 1
    assert [one["daysOfStock"] for one in sold] == ["32.3"]  # 97 pieces at 3 a day


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25)])
def test_guide_analytics_a_day_has_the_hours_that_it_has(db, day, hours):
    store = a_store(timezone="America/New_York")

    report = ask(store, "sales", **{"from": day, "to": day, "granularity": "hour"})

    assert len({bucket["bucketStart"] for bucket in report["buckets"]}) == hours


def test_a_time_without_an_offset_is_on_the_stores_clock(week):
    body = {"from": "2026-01-06T00:00:00", "to": "2026-01-06T01:00:00", "granularity": "hour"}

    report = ask(week, "sales", **body)

    assert report["from"] == "2026-01-06T00:00:00+03:00"
    assert report["totals"]["ordersCount"] == 3


def test_another_time_zone_cuts_the_days_anew(week):
    client_of(week).put("/settings", {"timezone": "UTC"})

    buckets = ask(week, "sales")["buckets"]

    assert [bucket["ordersCount"] for bucket in buckets] == [3, 0, 0, 1, 0, 0, 0]


# Who may


@pytest.mark.parametrize("report", REPORTS)
def test_guide_analytics_ask_for_their_permission(store, report):
    member = a_member(store, denies=["analytics.read"])

    answer = client_of(store, member).post(f"/analytics/{report}", WEEK)

    assert answer.status_code == 403
    assert answer.json()["requiredPermission"] == "analytics.read"


def test_costs_are_hidden_from_those_who_do_not_see_them(week):
    member = a_member(week, denies=["products.cost"])
    hidden = {"cogs", "profit", "grossProfit", "grossMargin", "netProfit", "costIncomplete"}

    for report in ("products", "revenue"):
        shown, whole = str(ask(week, report, member)), str(ask(week, report))
        assert not any(f"'{name}'" in shown for name in hidden)
        assert "'cogs'" in whole
    sorting = client_of(week, member).post("/analytics/products", WEEK | {"sort": "profit"})
    assert (sorting.status_code, sorting.json()["requiredPermission"]) == (403, "products.cost")


def test_reports_wait_for_the_stores_settings(db):
    answer = client_of(a_store(settings=False)).post("/analytics/sales", WEEK)

    assert (answer.status_code, answer.json()["code"]) == (409, "settings_not_initialized")


def test_another_stores_orders_are_in_no_report(week):
    other = a_store()

    assert ask(other, "sales")["totals"]["ordersCount"] == 0
    assert ask(other, "customers")["totals"]["activeCustomers"] == 0
    assert ask(other, "products")["items"] == []


def test_imported_credits_are_returns_and_no_orders(store):
    row = an_order_body(store) | {
        "payment_method": "cash", "placedAt": "2026-01-06T10:00:00Z", "status": "returned",
        "creditOnly": True, "addressAreaId": str(an_area().pk),
        "items": [{"sku": "OLD", "name": "Old", "quantity": 2, "lineTotal": "5000"}],
    }  # fmt: skip
    made = key_client_of(store).post("/orders/bulk", {"mode": "import", "orders": [row]})
    assert made.status_code == 201, made.content

    sales, products = ask(store, "sales")["totals"], ask(store, "products")["items"]

    assert (sales["ordersCount"], sales["returns"], sales["netSales"]) == (0, "5000", "-5000")
    assert [(p["sku"], p["units"], p["returnsUnits"]) for p in products] == [("OLD", 0, 2)]
    assert ask(store, "customers")["totals"]["activeCustomers"] == 0
