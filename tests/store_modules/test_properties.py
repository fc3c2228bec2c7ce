"""Random histories against small models (domain.md, section 21: properties 5, 7, 10 and 12)."""

from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from itertools import count
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store_modules.catalog.models import InventoryItem
from store_modules.discounts.models import DiscountCode
from store_modules.discounts.pricing import Customer, Line, Offer, price
from store_modules.orders.totals import Line as OrderLine
from store_modules.orders.totals import Terms, totals_of
from storeplatform.kernel.money import quantum, round_money
from tests.clients import client_of, key_client_of
from tests.factories import a_product, a_store, an_area
from tests.store_modules.test_discounts import NOW
from tests.store_modules.test_order_rules import ASKED_FOR

FEW = settings(
    max_examples=8,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
STATUSES = sorted({status for way in ASKED_FOR for status in way} | {"returned"})
PARCELS = ["awaiting_pickup", "picked_up", "out_for_delivery", "postponed", "attempt_failed"]
HOLDING = ("pending", "confirmed", "processing")
CODE_LIMIT = 3
phones = count(1)


def an_order(sku, quantity, **values):
    return {
        "payment_method": "cod",
        "customer": {"name": "Sara", "primaryPhone": f"+964772{next(phones):07d}"},
        "addressProvinceCode": "IQ-BG",
        "addressAreaId": str(an_area().pk),
        "fulfillmentType": "warehouse",
        "items": [{"sku": sku, "quantity": quantity}],
    } | values


@pytest.fixture
def unlimited(db, settings):
    settings.RATE_LIMITS = "off"


# Property 5: orders


@dataclass
class Expected:
    """What the model knows of an order of one line; `back` was checked in, `credit` credited."""

    id: str
    line: str
    product: int
    quantity: int
    has_code: bool
    status: str
    delivered: int = 0
    returned: int = 0
    back: int = 0
    credit: int = 0
    request: str = ""
    request_id: str = ""
    asked: int = 0
    received: int = 0

    @property
    def outstanding(self):
        return self.quantity - self.delivered + self.returned - self.back

    @property
    def kept(self):
        return self.delivered - self.returned

    def settle(self):
        if not self.outstanding and self.credit == self.quantity:
            self.status = "returned"


class OrderLife(RuleBasedStateMachine):
    """Every answer is foretold by the model, and so are stock and the uses of a code."""

    @initialize()
    def open_shop(self):
        self.store = a_store()
        self.api = client_of(self.store)
        self.products = [a_product(self.store, quantity=12, price=3333) for _ in range(2)]
        self.on_hand, self.reserved, self.used = [12, 12], [0, 0], 0
        body = {"code": "TEN", "type": "percentage", "value": "10", "usageLimit": CODE_LIMIT}
        assert self.api.post("/discounts/codes", body).status_code == 201
        self.orders = []

    def post(self, path, body=None, *, expect):
        answer = self.api.post(path, body or {})
        assert answer.status_code == expect, (path, body, answer.content)
        return answer.json()

    def free(self, order):
        return self.on_hand[order.product] - self.reserved[order.product]

    def pick(self, data):
        return data.draw(st.sampled_from(self.orders), label="order")

    @rule(
        product=st.integers(0, 1),
        quantity=st.integers(1, 5),
        has_code=st.booleans(),
        is_draft=st.booleans(),
        method=st.sampled_from(["cod", "prepaid", "card"]),
    )
    def place(self, product, quantity, has_code, is_draft, method):
        values = {"isDraft": is_draft, "payment_method": method}
        body = an_order(self.products[product].sku, quantity, **values)
        if has_code:
            body["discountCode"] = "TEN"
        free = self.on_hand[product] - self.reserved[product]
        expect = 201
        if has_code and self.used >= CODE_LIMIT:
            expect = 400
        elif not is_draft and quantity > free:
            expect = 409
        made = self.post("/orders", body, expect=expect)
        if expect == 201:
            if not is_draft:
                self.reserved[product] += quantity
                self.used += has_code
            status = "draft" if is_draft else "pending"
            line = made["items"][0]["id"]
            self.orders.append(Expected(made["id"], line, product, quantity, has_code, status))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), to=st.sampled_from(STATUSES), arrived=st.integers(0, 5))
    def move(self, data, to, arrived):
        order = self.pick(data)
        body = {"to": to, "reason": "refused"}
        if to == "partially_delivered":
            body["lines"] = [{"itemId": order.line, "quantity": arrived}]
        expect = self.foretold(order, to, arrived)
        self.post(f"/orders/{order.id}/transition", body, expect=expect)
        if expect == 200 and order.status != to:
            self.follow(order, to, arrived)

    def foretold(self, order, to, arrived):
        if to == order.status:
            return 200
        if "O" not in ASKED_FOR.get((order.status, to), ""):
            return 409
        if (order.status, to) == ("draft", "pending"):
            used_up = order.has_code and self.used >= CODE_LIMIT
            return 409 if used_up or order.quantity > self.free(order) else 200
        if (order.status, to) == ("returning", "shipped") and order.credit:
            return 409
        if to == "partially_delivered" and not 0 < arrived < order.quantity:
            return 400
        return 200

    def follow(self, order, to, arrived):
        before, order.status = order.status, to
        if (before, to) == ("draft", "pending"):
            self.reserved[order.product] += order.quantity
            self.used += order.has_code
        elif to == "cancelled" and before in HOLDING:
            self.reserved[order.product] -= order.quantity
            self.used -= order.has_code
        elif to == "shipped" and before != "returning":
            self.reserved[order.product] -= order.quantity
            self.on_hand[order.product] -= order.quantity
        elif to == "delivered":
            order.delivered = order.quantity
        elif to == "partially_delivered":
            order.delivered, order.credit = arrived, order.quantity - arrived

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), quantity=st.integers(1, 5))
    def edit(self, data, quantity):
        order = self.pick(data)
        body = {"items": [{"sku": self.products[order.product].sku, "quantity": quantity}]}
        expect = 200
        if quantity != order.quantity:
            if order.status not in ("draft", *HOLDING):
                expect = 409
            elif order.status == "draft" and order.has_code and self.used >= CODE_LIMIT:
                expect = 400
            elif order.status != "draft" and quantity - order.quantity > self.free(order):
                expect = 409
        answer = self.api.put(f"/orders/{order.id}", body)
        assert answer.status_code == expect, answer.content
        if expect == 200:
            if order.status in HOLDING:
                self.reserved[order.product] += quantity - order.quantity
            order.quantity = quantity

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), to=st.sampled_from(PARCELS))
    def carry(self, data, to):
        """The parcel moves; only what it does to the order is foretold."""
        order = self.pick(data)
        body = {"status": to, "reason": "no_answer"}
        answer = self.api.post(f"/orders/{order.id}/fulfillment", body)
        assert answer.status_code in (200, 409), answer.content
        leaves = to in ("picked_up", "out_for_delivery")
        if answer.status_code == 200 and leaves and order.status in ("confirmed", "processing"):
            self.follow(order, "shipped", 0)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), kind=st.sampled_from(["restock", "damaged", "lost"]), n=st.integers(1, 5))
    def check_in(self, data, kind, n):
        order = self.pick(data)
        of_request = order.status == "delivered" and order.request == "approved"
        if of_request:
            expect = 400 if n > min(order.asked, order.kept) else 200
        elif order.status in ("returning", "partially_delivered"):
            expect = 400 if n > order.outstanding else 200
        else:
            expect = 409
        body = {"lines": [{"itemId": order.line, kind: n}]}
        self.post(f"/orders/{order.id}/check-in", body, expect=expect)
        if expect == 200:
            self.on_hand[order.product] += n if kind == "restock" else 0
            order.back += n
            if of_request:
                order.returned, order.received, order.request = order.returned + n, n, "received"
                return
            order.credit += n if order.status == "returning" else 0
            order.settle()

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), n=st.integers(1, 5))
    def ask_for_return(self, data, n):
        order = self.pick(data)
        expect = 201
        if order.status not in ("delivered", "partially_delivered") or not order.kept:
            expect = 409
        elif n > order.kept:
            expect = 400
        elif order.request in ("pending", "approved", "received"):
            expect = 409
        lines = [{"itemId": order.line, "quantity": n}]
        made = self.post("/return-requests", {"orderId": order.id, "lines": lines}, expect=expect)
        if expect == 201:
            order.request, order.request_id, order.asked = "pending", made["id"], n

    @precondition(lambda self: any(order.request for order in self.orders))
    @rule(data=st.data(), deed=st.sampled_from(["approve", "receive", "complete", "cancel"]))
    def work_on_return(self, data, deed):
        order = data.draw(st.sampled_from([one for one in self.orders if one.request]))
        to = {"approve": "approved", "receive": "received", "complete": "completed"}.get(
            deed, "cancelled"
        )
        sources = {"approved": ["pending"], "received": ["approved"], "completed": ["received"]}
        possible = order.request in sources.get(to, ["pending", "approved"])
        expect = 200 if possible or order.request == to else 409
        self.post(f"/return-requests/{order.request_id}/{deed}", expect=expect)
        if not possible:
            return
        order.request = to
        if to == "received":
            order.received = min(order.asked, order.kept)
            order.returned += order.received
            order.back += order.received
            self.on_hand[order.product] += order.received
        elif to == "completed":
            order.credit += order.received
            order.settle()

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), amount=st.integers(1, 9000), back=st.booleans())
    def move_money(self, data, amount, back):
        order = self.pick(data)
        shown = self.api.get(f"/orders/{order.id}").json()
        paid = Decimal(shown["amountPaid"]) - Decimal(shown["amountRefunded"])
        if back:
            body = {"amount": str(amount), "method": "cash", "reason": "goodwill"}
            expect = 400 if amount > paid else 201
            self.post(f"/orders/{order.id}/refunds", body, expect=expect)
            return
        expect = 400 if amount > Decimal(shown["amountDue"]) else 201
        expect = 409 if order.status in ("draft", "cancelled") else expect
        body = {"amount": str(amount), "method": "card"}
        self.post(f"/orders/{order.id}/payments", body, expect=expect)

    @invariant()
    def stock_is_as_foretold(self):
        if not hasattr(self, "orders"):
            return
        for place, product in enumerate(self.products):
            item = InventoryItem.objects.get(product=product)
            assert item.quantity_on_hand == self.on_hand[place]
            assert item.quantity_reserved == self.reserved[place]
        assert DiscountCode.objects.get(store=self.store).used_count == self.used

    def teardown(self):
        for order in getattr(self, "orders", []):
            shown = self.api.get(f"/orders/{order.id}").json()
            line = shown["items"][0]
            assert shown["status"] == order.status
            assert (line["quantityDelivered"], line["quantityReturned"]) == (
                order.delivered,
                order.returned,
            )
            assert line["quantityCheckedIn"] == order.back
        call_command("doctor", stdout=StringIO())


def test_orders_live_as_foretold(unlimited):
    run_state_machine_as_test(OrderLife, settings=FEW)


# Property 12: a day at the till

DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["sale", "split", "refund", "pay_in", "pay_out"]),
        st.integers(1, 4),
        st.integers(0, 30_000),
    ),
    max_size=14,
)


@FEW
@given(opening=st.integers(0, 50_000), deeds=DEEDS, off=st.integers(-2_000, 2_000))
def test_a_drawer_closes_with_what_an_independent_ledger_says(unlimited, opening, deeds, off):
    store = a_store(cash_rounding=250)
    api = client_of(store)
    product = a_product(store, price=3_333, quantity=1_000)
    opened = api.post("/cashier/sessions/open", {"openingFloat": str(opening)}).json()
    path = f"/cashier/sessions/{opened['id']}"
    cash, sold, given_back, sales = opening, 0, 0, []

    for kind, number, amount in deeds:
        if kind in ("pay_in", "pay_out"):
            body = {"type": kind, "amount": str(amount), "reason": "x"}
            answer = api.post(f"{path}/movements", body)
            is_fine = amount > 0 and (kind == "pay_in" or amount <= cash)
            assert (answer.status_code == 201) == is_fine, answer.content
            cash += (amount if kind == "pay_in" else -amount) if is_fine else 0
        elif kind == "refund" and sales:
            sale, left, is_cash = sales.pop()
            count_back = min(number, left)
            line = {"sku": product.sku, "quantity": count_back}
            method = "cash" if is_cash else "card"
            before = Decimal(api.get(f"/cashier/sales/{sale}").json()["amountRefunded"])
            answer = api.post(f"/cashier/sales/{sale}/refund", {"lines": [line], "method": method})
            if answer.status_code == 409:
                assert answer.json()["code"] == "drawer_short"
                continue
            back = int(Decimal(answer.json()["amountRefunded"]) - before)
            given_back += back
            cash -= back if is_cash else 0
            assert abs(back - count_back * 3_333) <= 250
        elif kind != "refund":
            total = number * 3_333
            if kind == "sale":  # all in cash: whole notes, and change
                total = (total + 125) // 250 * 250
                paid = [{"method": "cash", "amount": str(total), "tendered": str(total + amount)}]
                cash += total
            else:
                part = min(amount, total)
                paid = [
                    {"method": "cash", "amount": str(part)},
                    {"method": "card", "amount": str(total - part)},
                ]
                paid = [one for one in paid if one["amount"] != "0"]
                if len(paid) == 1 and paid[0]["method"] == "cash":
                    continue  # all in cash is rounded, see above
                cash += part
            line = {"sku": product.sku, "quantity": number}
            body = {"items": [line], "payments": paid, "clientSaleId": str(uuid4())}
            answer = api.post("/cashier/sales", body)
            assert answer.status_code == 201, answer.content
            sold += total
            sales.append((answer.json()["id"], number, kind == "sale"))

    report = api.get(f"{path}/report").json()
    counted = max(0, cash + off)
    closed = api.post(f"{path}/close", {"countedCash": str(counted)}).json()

    assert int(report["expectedCash"]) == int(closed["expectedCash"]) == cash
    assert int(closed["variance"]) == counted - cash
    assert (int(report["salesTotal"]), int(report["refundsTotal"])) == (sold, given_back)
    by_method = {one["method"]: int(one["sales"]) - int(one["refunds"])
                 for one in report["byMethod"]}  # fmt: skip
    moved = int(report["payInTotal"]) - int(report["payOutTotal"])
    assert opening + by_method["cash"] + moved == cash
    assert sum(by_method.values()) == sold - given_back
    call_command("doctor", stdout=StringIO())


# Property 7: allocations

AMOUNTS = st.decimals(0, 100_000, places=3)


@given(
    st.lists(st.tuples(AMOUNTS, st.integers(1, 9), st.booleans()), min_size=1, max_size=12),
    st.lists(
        st.tuples(
            st.sampled_from(["percentage", "fixed_amount"]),
            st.decimals("0.01", 100, places=2),
            st.booleans(),
            st.sampled_from(["order", "products"]),
            st.one_of(st.none(), AMOUNTS),
        ),
        max_size=5,
    ),
    st.sampled_from(["IQD", "USD", "KWD"]),
)
def test_line_shares_are_the_discount_to_the_last_unit(cart, offers, currency):
    product = UUID(int=7)
    basket = [
        Line(round_money(cost * number, currency), number, product_id=product if named else None)
        for cost, number, named in cart
    ]
    rules = [
        Offer(uuid4(), "x", kind, value, scope=scope, scope_ids=frozenset({product}),
              stackable=stack, max_discount=None if cap is None else round_money(cap, currency))
        for kind, value, stack, scope, cap in offers
    ]  # fmt: skip

    priced = price(
        basket, rules, None, fee=lambda _: Decimal(0), currency=currency, now=NOW,
        customer=Customer(), channel="api",
    )  # fmt: skip
    totals = totals_of(
        [OrderLine(1, line.subtotal, discount=off)
         for line, off in zip(basket, priced.lines, strict=True)],
        Terms(currency),
    )  # fmt: skip

    assert sum(line.discount for line in totals.lines) == totals.discount_total
    assert totals.discount_total == sum(one.amount for one in priced.applied)
    for line, off in zip(basket, priced.lines, strict=True):
        assert 0 <= off <= line.subtotal
        assert off == off.quantize(quantum(currency))


# Property 10: a bulk call

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "GONE"]),
        st.integers(0, 4),
        st.sampled_from([None, "R1", "R2"]),
        st.sampled_from(["cod", "card", "beans", None]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@contextmanager
def a_shop():
    store = a_store()
    for sku in ("A", "B"):
        a_product(store, sku=sku, quantity=5, price=1_000)
    code = {"code": "TEN", "type": "percentage", "value": "10", "usageLimit": 2}
    client_of(store).post("/discounts/codes", code)
    yield key_client_of(store)


@FEW
@given(rows=ROWS)
def test_a_bulk_of_rows_does_what_single_calls_do(unlimited, rows):
    bodies = []
    for sku, quantity, reference, method, has_code in rows:
        body = an_order(sku, quantity, payment_method=method)
        body |= {"externalRef": reference} if reference else {}
        bodies.append(body | ({"discountCode": "TEN"} if has_code else {}))

    with a_shop() as one_by_one, a_shop() as at_once:
        singles = [one_by_one.post("/orders", body) for body in bodies]
        bulk = at_once.post("/orders/bulk", {"orders": bodies})

    results = bulk.json()["results"]
    assert len(results) == len(singles)
    for place, (single, row) in enumerate(zip(singles, results, strict=True)):
        body = single.json()
        if single.status_code == 201:
            assert row["status"] == "created", row
            assert row["order"]["total"] == body["total"]
            assert row["order"]["number"] != ""
            continue
        error = row["error"]
        assert (error["httpStatus"], error["code"]) == (single.status_code, body["code"])
        paths = {
            name if name == "skus" else f"orders.{place}.{name}" for name in body.get("errors", {})
        }
        assert set(error.get("errors", {})) == paths
    made = sum(answer.status_code == 201 for answer in singles)
    assert bulk.status_code == (201 if made == len(rows) else 207 if made else 400)
    assert bulk.json()["summary"] == {
        "total": len(rows), "created": made, "failed": len(rows) - made,
    }  # fmt: skip
