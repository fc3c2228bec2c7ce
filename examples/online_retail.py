"""Moves a month of a real wholesaler's trade into a store, as any client of the public API would,
and runs the business on it: reports that equal the file to the penny, a purchase, a till, labels.

    make run                      # in one terminal
    make demo-retail              # in another

STORE_URL names another server, OTP_FILE the file that its one-time codes are appended to.
"""

import csv
import gzip
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from online_retail_business import print_labels, receive_goods, reconcile, till_day
from online_retail_figures import rows_of
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "online-retail-2010-12.csv.gz"
URL = os.environ.get("STORE_URL", f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
STATE_DIR = Path(os.environ.get("STATE_DIR", HERE.parent / "var"))
OTP_FILE = Path(os.environ.get("OTP_FILE", STATE_DIR / "otp.jsonl"))
LONDON = ZoneInfo("Europe/London")
EXPECTED = {
    "sales": Decimal("823746.14"),
    "credits": Decimal("-74789.12"),
    "sum": Decimal("748957.02"),
}


@dataclass
class Line:
    """All lines of one SKU on one invoice."""

    sku: str
    name: str
    quantity: int = 0
    total: Decimal = Decimal(0)
    merged: int = 0


@dataclass
class Invoice:
    number: str
    customer: str
    placed_at: str
    lines: dict[str, Line] = field(default_factory=dict)

    @property
    def is_credit(self) -> bool:
        return self.number.startswith("C")

    @property
    def total(self) -> Decimal:
        return sum((line.total for line in self.lines.values()), Decimal(0))


def sku_of(code: str) -> str:
    return code.strip().upper().replace(" ", "_")


def read() -> tuple[dict[str, Invoice], dict[str, dict[str, Any]], int]:
    """Invoices, products by SKU, and how many lines the file has."""
    invoices: dict[str, Invoice] = {}
    products: dict[str, dict[str, Any]] = {}
    count = 0
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            count += 1
            sku = sku_of(row["StockCode"])
            price = Decimal(row["UnitPrice"])
            known = products.setdefault(sku, {"sku": sku, "name": sku})
            if row["Description"].strip():
                known["name"] = row["Description"].strip()
            if price > 0:
                known["price"] = str(price.quantize(Decimal("0.01")))
            moment = datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=LONDON)
            number = row["InvoiceNo"]
            invoice = invoices.setdefault(
                number, Invoice(number, row["CustomerID"].partition(".")[0], moment.isoformat())
            )
            line = invoice.lines.setdefault(sku, Line(sku, known["name"]))
            line.quantity += int(row["Quantity"])
            line.total += int(row["Quantity"]) * price
            line.merged += 1
    return invoices, products, count


class Shop:
    """The API of both surfaces, with patience for its rate limits."""

    def __init__(self) -> None:
        self.website = httpx.Client(base_url=URL, timeout=60)
        self.dashboard = httpx.Client(base_url=URL, timeout=60)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """As a website with the store's API key."""
        return ask(self.website, method, path, body, headers)

    def desk(self, method: str, path: str, body: Any = None) -> Any:
        """As the store's owner at the dashboard."""
        return ask(self.dashboard, method, f"/api/v1/store{path}", body, {})


def ask(http: httpx.Client, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    while True:
        answer = http.request(method, path, json=body, headers=headers)
        if answer.status_code != 429:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    if answer.status_code >= 400 and answer.status_code != 409:
        sys.exit(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if "json" in answer.headers["Content-Type"] else answer.content


def open_store(shop: Shop) -> None:
    """A store of its own, and a key for it."""
    name = f"retail-{random.randrange(10**9)}"
    owner = shop.call(
        "POST",
        "/api/v1/auth/register",
        {
            "email": f"{name}@example.com",
            "password": "a long demo password",
            "fullName": "Retail Demo",
            "storeName": "Online Retail, December 2010",
        },
    )
    shop.dashboard.headers["Authorization"] = f"Bearer {owner['accessToken']}"
    settings = {
        "currencyCode": "GBP",
        "timezone": "Europe/London",
        "industry": "home",
        "countryCode": "IQ",
        "defaultDeliveryFee": "5.00",
    }
    shop.desk("POST", "/settings", settings)
    scopes = ["orders:read", "orders:write", "catalog:read", "catalog:write"]
    key = shop.desk("POST", "/api-keys", {"name": name, "scopes": scopes})
    shop.website.headers["X-API-Key"] = key["apiKey"]


K = "/api/v1/store/integrations"


def in_chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def by_lines(invoices: list[Invoice]) -> Iterator[list[Invoice]]:
    """Calls of at most a hundred orders and some thousand lines: a body has its bounds."""
    chunk: list[Invoice] = []
    lines = 0
    for invoice in invoices:
        if chunk and (len(chunk) == 100 or lines + len(invoice.lines) > 1200):
            yield chunk
            chunk, lines = [], 0
        chunk.append(invoice)
        lines += len(invoice.lines)
    if chunk:
        yield chunk


def push_products(shop: Shop, products: dict[str, dict[str, Any]]) -> int:
    done = 0
    with tqdm(total=len(products), desc="products") as bar:
        for chunk in in_chunks(list(products.values()), 100):
            answer = shop.call("POST", f"{K}/catalog/products/bulk", {"products": chunk})
            done += answer["summary"]["created"]
            bar.update(len(chunk))
    return done


def order_row(invoice: Invoice, area: str) -> dict[str, Any]:
    sign = -1 if invoice.is_credit else 1
    customer = f"Customer {invoice.customer}" if invoice.customer else "Walk-in"
    row: dict[str, Any] = {
        "payment_method": "bank_transfer",
        "customer": {"name": customer, "primaryPhone": f"+9647701{int(invoice.customer or 0):06d}"},
        "addressProvinceCode": "IQ-BG",
        "addressAreaId": area,
        "externalRef": invoice.number,
        "placedAt": invoice.placed_at,
        "status": "returned" if invoice.is_credit else "delivered",
        "items": [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity * sign,
                "lineTotal": str((line.total * sign).quantize(Decimal("0.01"))),
            }
            for line in invoice.lines.values()
        ],
    }
    if invoice.is_credit:
        row["creditOnly"] = True
    return row


def push_orders(shop: Shop, invoices: list[Invoice], area: str) -> list[tuple[str, str]]:
    """Import invoices in bulk; returns those refused, with the reason."""
    refused = []
    with tqdm(total=len(invoices), desc="orders") as bar:
        for chunk in by_lines(invoices):
            rows = [order_row(invoice, area) for invoice in chunk]
            body = {"mode": "import", "orders": rows}
            answer = shop.call("POST", f"{K}/orders/bulk", body)
            for result in answer["results"]:
                if result["status"] == "failed":
                    number = chunk[result["index"]].number
                    refused.append((number, result["error"]["message"]))
            bar.update(len(chunk))
    return refused


def sums_in_store(shop: Shop) -> dict[str, Decimal]:
    """The money as the store has it, order by order."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    cursor = ""
    while cursor is not None:
        page = shop.call("GET", f"{K}/orders?channel=import&pageSize=100&cursor={cursor}")
        for order in page["items"]:
            if order["status"] == "returned":
                sums["credits"] -= Decimal(order["returnsTotal"])
            else:
                sums["sales"] += Decimal(order["subtotal"])
        cursor = page["nextCursor"]
    sums["sum"] = sums["sales"] + sums["credits"]
    return sums


def live_order(shop: Shop, sku: str, area: str) -> None:
    """One order of today by a customer with a verified phone."""
    shop.call(
        "POST",
        f"{K}/catalog/inventory/adjust",
        {"sku": sku, "delta": 10, "reason": "opening"},
    )

    def stock() -> dict[str, Any]:
        row: dict[str, Any] = shop.call("GET", f"{K}/catalog/inventory?sku={sku}")["items"][0]
        return row

    before = stock()
    phone = f"+964770{random.randrange(2_000_000, 9_999_999)}"
    shop.call("POST", f"{K}/orders/send-otp", {"phone": phone})
    codes = [json.loads(line) for line in OTP_FILE.read_text().splitlines()]
    code = next(row["code"] for row in reversed(codes) if row["phone"] == phone)
    order = shop.call(
        "POST",
        f"{K}/orders/storefront",
        {
            "payment_method": "cod",
            "otpCode": code,
            "customer": {"name": "Live Customer", "primaryPhone": phone},
            "addressProvinceCode": "IQ-BG",
            "addressAreaId": area,
            "fulfillmentType": "warehouse",
            "items": [{"sku": sku, "quantity": 3}],
        },
        **{"Idempotency-Key": f"live-{phone}"},
    )
    after = stock()
    print(f"\nLive order {order['number']}: total {order['total']} {order['currencyCode']}")
    for name in ("quantityOnHand", "quantityReserved", "quantityAvailable"):
        print(f"  {name:18} {before[name]:>4} -> {after[name]}")


def main() -> int:
    started = time.monotonic()
    invoices, products, lines = read()
    credit_notes = [one for one in invoices.values() if one.is_credit]
    refusable = [
        one
        for one in invoices.values()
        if not one.is_credit and all(line.quantity <= 0 for line in one.lines.values())
    ]
    without = {one.number for one in refusable}
    sales = [one for one in invoices.values() if not one.is_credit and one.number not in without]
    shop = Shop()
    open_store(shop)
    areas = shop.call("GET", "/api/v1/address-reference/provinces/IQ-BG/areas")["items"]
    area = areas[0]["id"]
    made = push_products(shop, products)
    refused = push_orders(shop, sales + credit_notes, area)
    found = sums_in_store(shop)

    merged = sum(line.merged > 1 for one in invoices.values() for line in one.lines.values())
    print(f"\nlines read                    {lines:>12,}")
    print(f"products upserted             {made:>12,}")
    print(f"invoices                      {len(invoices) - len(credit_notes):>12,}")
    print(f"credit notes                  {len(credit_notes):>12,}")
    print(f"pairs of invoice and SKU merged from several lines {merged:>6,}")
    value = sum((one.total for one in refusable), Decimal(0))
    print(f"refused, quantities all negative: {len(refusable)} invoices, value {value:.2f}")
    for one in refusable:
        skus = ", ".join(one.lines)
        print(f"  {one.number}: {skus}: a sale cannot have a negative quantity")
    for number, reason in refused:
        print(f"  {number}: {reason}")
    good = not refused
    for name, expected in EXPECTED.items():
        good = good and found[name] == expected
        mark = "as expected" if found[name] == expected else f"expected {expected}"
        print(f"{name:10} {found[name]:>14,.2f} GBP  {mark}")
    live_order(shop, next(sku for sku in products if "price" in products[sku]), area)
    priced = [sku for sku in products if Decimal(products[sku].get("price", 0)) > 1]
    parts = (
        reconcile(shop.desk, rows_of()),
        receive_goods(shop.desk, priced[1]),
        till_day(shop.desk, priced[1]),
        print_labels(shop.desk),
    )
    good = good and all(parts)
    print(f"\n{time.monotonic() - started:.1f} s, {'all' if good else 'NOT ALL'} as it must be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
