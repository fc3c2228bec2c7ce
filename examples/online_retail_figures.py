"""The figures of the month straight from the file, with nothing but Python's own library: what a
store that imported it must report, to the penny.

    python examples/online_retail_figures.py     # prints them
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).resolve().parent / "data" / "online-retail-2010-12.csv.gz"
WALK_IN = ""  # the customer of invoices without one


class Row(NamedTuple):
    """A line of the file. `is_sale` is false for credit notes, and for notes that only take stock
    away, which are no sales."""

    day: date
    invoice: str
    sku: str
    quantity: int
    value: Decimal
    customer: str
    is_credit: bool
    is_sale: bool


@dataclass(frozen=True)
class BestSeller:
    sku: str
    units: int
    returned: int
    net: Decimal


def rows_of(path: Path = DATA) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    pieces: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        pieces[line["InvoiceNo"], sku_of(line)] += int(line["Quantity"])
    sold = {invoice for (invoice, _), count in pieces.items() if count > 0}
    return [
        Row(
            day=datetime.fromisoformat(line["InvoiceDate"]).date(),
            invoice=line["InvoiceNo"],
            sku=sku_of(line),
            quantity=int(line["Quantity"]),
            value=int(line["Quantity"]) * Decimal(line["UnitPrice"]),
            customer=line["CustomerID"].partition(".")[0],
            is_credit=line["InvoiceNo"].startswith("C"),
            is_sale=not line["InvoiceNo"].startswith("C") and line["InvoiceNo"] in sold,
        )
        for line in lines
    ]


def sku_of(line: dict[str, str]) -> str:
    return line["StockCode"].strip().upper().replace(" ", "_")


def sales_by_day(rows: Iterable[Row]) -> dict[date, Decimal]:
    """Sales less the credits of the same day."""
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row.day] += row.value
    return dict(sums)


def best_sellers(rows: Iterable[Row], count: int) -> list[BestSeller]:
    """The products with the highest sales less credits."""
    units: dict[str, int] = defaultdict(int)
    returned: dict[str, int] = defaultdict(int)
    net: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.is_credit:
            returned[row.sku] -= row.quantity
        elif row.is_sale:
            units[row.sku] += row.quantity
        net[row.sku] += row.value
    skus = sorted(net, key=lambda sku: (-net[sku], sku))[:count]
    return [BestSeller(sku, units[sku], returned[sku], net[sku]) for sku in skus]


def customers(rows: Iterable[Row], first: date, last: date) -> tuple[int, int]:
    """How many bought from `first` to `last`, and how many of them had bought before."""
    sales = [row for row in rows if row.is_sale]
    active = {row.customer for row in sales if first <= row.day <= last}
    return len(active), len(active & {row.customer for row in sales if row.day < first})


def main() -> None:
    rows = rows_of()
    for day, value in sorted(sales_by_day(rows).items()):
        print(f"{day}  {value:>12,.2f}")
    for one in best_sellers(rows, 10):
        print(f"{one.sku:12} {one.units:>6} sold {one.returned:>5} returned {one.net:>12,.2f}")
    active, returning = customers(rows, date(2010, 12, 13), date(2010, 12, 23))
    print(f"from the 13th: {active} customers, {returning} of them not for the first time")


if __name__ == "__main__":
    main()
