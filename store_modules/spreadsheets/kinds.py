"""The four spreadsheets: how the rows of each become what the single endpoints make, by the same
serializers and services."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers

from store_modules.catalog import services as catalog
from store_modules.catalog.models import Category, Product
from store_modules.catalog.serializers import CategorySerializer, ProductSerializer
from store_modules.customers.models import Customer
from store_modules.customers.serializers import CustomerSerializer
from store_modules.customers.services import save_customer
from store_modules.expenses.models import Expense
from store_modules.expenses.serializers import ExpenseSerializer
from store_modules.expenses.services import save_expense
from store_modules.geography.services import find_area
from store_modules.orders.importing import import_order, replace_imported
from store_modules.orders.models import Order
from store_modules.orders.serializers import ImportBody, ImportItem, OrderSerializer
from store_modules.spreadsheets.models import ImportJob
from store_modules.spreadsheets.sheets import (
    NOTHING,
    Column,
    Columns,
    Form,
    Header,
    columns_of,
    fold,
    known,
    put,
)
from storeplatform.kernel.errors import Refusal, refuse
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.permissions import check_grant
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.problems import validation_refusal
from storeplatform.kernel.tenancy import Actor, StoreFacts

Kind = ImportJob.Kind


@dataclass(frozen=True, slots=True)
class Row:
    """A row's place in the spreadsheet, and its cells."""

    line: int
    cells: list[str]


@dataclass(slots=True)
class Record:
    """What is stored by itself: a row, or the rows of an order. `refusal` is known before any row
    of the store is looked at."""

    rows: list[Row]
    key: str = ""
    refusal: Refusal | None = None

    @property
    def line(self) -> int:
        return self.rows[0].line


@dataclass(slots=True)
class Ready:
    """A record whose values are valid, and the row that it changes if there is one."""

    record: Record
    values: dict[str, Any]
    existing: UUID | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Sheet(ABC):
    """One kind of spreadsheet, read for one actor.

    `units` puts a file's records in order; records of one unit are carried out together.
    `ready` validates, `write` stores: it may be called again for the same records after its
    changes were rolled back."""

    kind: ClassVar[str]
    needed: ClassVar[tuple[str, ...]]
    unique: ClassVar[tuple[str, ...]] = ()  # columns in which no text may stand twice
    batch: ClassVar[int] = 200

    def __init__(self, actor: Actor, header: Header) -> None:
        self.actor, self.header = actor, header

    @classmethod
    @abstractmethod
    def columns(cls, facts: StoreFacts) -> Columns: ...

    @classmethod
    def fields(cls, serializer: type[Any], facts: StoreFacts) -> Any:
        return serializer(context={"store": facts}).fields

    @property
    def facts(self) -> StoreFacts:
        return self.actor.store

    # Before the store's rows

    def records(self, rows: Iterable[Row]) -> Iterator[Record]:
        """One record a row; a text that may stand once is refused the second time."""
        seen: dict[tuple[str, str], int] = {}
        for row in rows:
            record = Record([row], key=self.key(row))
            self.check_row(record, row)
            for name in self.unique:
                text = record.key if name == self.unique[0] else self.header.cell(name, row.cells)
                first = seen.setdefault((name, text), row.line) if text else row.line
                if first != row.line and record.refusal is None:
                    message = f"It stands in row {first} already."
                    record.refusal = refuse(name, "duplicate", message)
            yield record

    def key(self, row: Row) -> str:
        return ""

    def check_row(self, record: Record, row: Row) -> None:
        if fault := self.header.fault(row.cells):
            record.refusal = refuse("_", "malformed_row", fault)
        currency = self.header.cell("currencyCode", row.cells).upper()
        if currency and currency != self.facts.currency_code:
            message = f"The amounts are in {currency}; the store's are in"
            record.refusal = refuse(
                "currencyCode", "other_currency", f"{message} {self.facts.currency_code}."
            )

    def units(self, rows: Iterable[Row]) -> Iterator[list[Record]]:
        for record in self.records(rows):
            yield [record]

    def count(self, rows: Iterable[Row]) -> int:
        """How many records a file holds."""
        return sum(1 for _ in rows)

    def prepare(self, records: Sequence[Record], *, dry_run: bool) -> None:  # noqa: B027  # rarely needed
        """Outside the batch's transaction."""

    # In the batch's transaction

    def ready(self, records: Sequence[Record]) -> list[Ready | Refusal]:
        keys = [record.key for record in records if record.key and not record.refusal]
        found = self.existing(keys) if keys else {}
        return [self.checked(record, found.get(record.key)) for record in records]

    def checked(self, record: Record, existing: UUID | None) -> Ready | Refusal:
        if record.refusal:
            return record.refusal
        try:
            return self.one_ready(record, existing)
        except Refusal as refusal:
            return refusal
        except serializers.ValidationError as error:
            return validation_refusal(error)

    @abstractmethod
    def existing(self, keys: Sequence[str]) -> dict[str, UUID]:
        """The rows of the store that have the keys, locked."""

    @abstractmethod
    def one_ready(self, record: Record, existing: UUID | None) -> Ready: ...

    @abstractmethod
    def write(self, rows: Sequence[Ready]) -> list[bool]:
        """Store them; of each whether it is new."""


def validated(serializer: Any, body: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = serializer.run_validation(body)
    return values


def differs(row: Any, values: dict[str, Any]) -> bool:
    return any(getattr(row, name) != value for name, value in values.items())


class RowSheet(Sheet):
    """Rows that are read by a serializer, whole for a new one and in part for one that exists."""

    serializer_class: ClassVar[type[Any]]

    def __init__(self, actor: Actor, header: Header) -> None:
        super().__init__(actor, header)
        context = {"store": actor.store, "grants": actor.grants}
        self.whole = self.serializer_class(context=context)
        self.part = self.serializer_class(context=context, partial=True)

    @classmethod
    def columns(cls, facts: StoreFacts) -> Columns:
        return columns_of(cls.fields(cls.serializer_class, facts))

    def one_ready(self, record: Record, existing: UUID | None) -> Ready:
        body = self.header.body(record.rows[0].cells, partial=existing is not None)
        extra = self.taken_out(body)
        serializer = self.part if existing else self.whole
        return Ready(record, validated(serializer, body), existing, extra)

    def taken_out(self, body: dict[str, Any]) -> dict[str, Any]:
        """Columns that the serializer does not know."""
        return {}


class ProductRows(RowSheet):
    """Products by SKU. A parent is carried out with its variants, which name it by `parentSku`;
    `categoryPath` names a category from the root down and makes what is missing."""

    kind = Kind.PRODUCTS
    serializer_class = ProductSerializer
    needed = ("sku",)
    unique = ("sku", "barcode")
    batch = 500

    @classmethod
    def columns(cls, facts: StoreFacts) -> Columns:
        return super().columns(facts) | {
            "parentsku": Column("parentSku"),
            "categorypath": Column("categoryPath", Form.LIST, []),
        }

    def key(self, row: Row) -> str:
        return self.header.cell("sku", row.cells).upper()

    def units(self, rows: Iterable[Row]) -> Iterator[list[Record]]:
        records = list(self.records(rows))
        families: dict[str, list[Record]] = {}
        for record in records:
            if self.type_of(record) == Product.Type.PARENT:
                families.setdefault(record.key, []).append(record)
        for record in records:
            if self.type_of(record) != Product.Type.PARENT:
                own = families.get(self.parent_of(record))
                if own is None:
                    families[f"\n{record.line}"] = [record]
                else:
                    own.append(record)
        yield from families.values()

    def type_of(self, record: Record) -> str:
        return self.header.cell("productType", record.rows[0].cells).lower()

    def parent_of(self, record: Record) -> str:
        return self.header.cell("parentSku", record.rows[0].cells).upper()

    def existing(self, keys: Sequence[str]) -> dict[str, UUID]:
        found = Product.objects.live().of(self.facts.id).with_skus(keys)
        locked = found.select_for_update(no_key=True).order_by("pk").values_list("sku", "pk")
        return {sku.upper(): pk for sku, pk in locked}

    def taken_out(self, body: dict[str, Any]) -> dict[str, Any]:
        """The names that hold in every store go before the ids, which hold in one."""
        names = ("parentSku", "categoryPath")
        extra: dict[str, Any] = {name: body.pop(name) for name in names if name in body}
        if self.header.has("parentSku"):
            body.pop("parentId", None)
        if self.header.has("categoryPath"):
            body.pop("categoryId", None)
        return extra

    def write(self, rows: Sequence[Ready]) -> list[bool]:
        products = self.stored([row.existing for row in rows if row.existing])
        shelves = Shelves(self.actor) if self.header.has("categoryPath") else None
        variants = [row for row in rows if row.extra.get("parentSku")]
        self.store([row for row in rows if not row.extra.get("parentSku")], products, shelves, {})
        if variants:
            skus = {row.extra["parentSku"].strip().upper() for row in variants}
            found = Product.objects.live().of(self.facts.id).with_skus(skus)
            parents = {parent.sku.upper(): parent for parent in found}
            self.store(variants, products, shelves, parents)
        return [row.existing is None for row in rows]

    def stored(self, ids: Sequence[UUID]) -> dict[UUID, Product]:
        rows = Product.objects.filter(pk__in=ids).select_related("parent", "category")
        return {product.pk: product for product in rows} if ids else {}

    def store(
        self,
        rows: Sequence[Ready],
        products: dict[UUID, Product],
        shelves: "Shelves | None",
        parents: dict[str, Product],
    ) -> None:
        new = []
        for row in rows:
            values = dict(row.values)
            if sku := row.extra.get("parentSku"):
                parent = parents.get(sku.strip().upper())
                if parent is None:
                    raise refuse("parentSku", "not_found", "There is no product with this SKU.")
                values["parent"] = parent
            if shelves and "categoryPath" in row.extra:
                values["category"] = shelves.find(row.extra["categoryPath"])
            quantity = values.pop("quantity_on_hand", None)
            if row.existing is None:
                new.append((values, quantity))
                continue
            product = products[row.existing]
            if differs(product, catalog.without_shown_cost(product, values)):
                catalog.change_product(product, values)
        if new:
            catalog.create_products(self.actor, new)


class Shelves:
    """A store's categories by the names from the root down, in any letter case."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        rows = {row.pk: row for row in Category.objects.of(actor.store_id)}
        self.known: dict[tuple[str, ...], Category] = {
            tuple(rows[pk].name.lower() for pk in row.path): row for row in rows.values()
        }

    def find(self, path: Any) -> Category | None:
        """The category, made if it is missing; None for an empty path."""
        if not isinstance(path, list) or not all(isinstance(name, str) for name in path):
            raise refuse("categoryPath", "invalid", "Names from the root down: Home|Kitchen.")
        above: Category | None = None
        names: tuple[str, ...] = ()
        for name in path:
            names = (*names, name.strip().lower())
            here = self.known.get(names)
            if here is None:
                here = self.known[names] = self.make(name, above)
            above = here
        return above

    def make(self, name: str, above: Category | None) -> Category:
        check_grant(self.actor, "categories.write")
        serializer = CategorySerializer(context={"store": self.actor.store})
        try:
            values = validated(serializer, {"name": name})
            category = Category(store_id=self.actor.store_id, parent=above)
            return catalog.save_category(category, values)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({"categoryPath": error.detail["name"]}) from None  # type: ignore[call-overload]  # of a body
        except Refusal as refusal:
            raise refuse("categoryPath", refusal.code, refusal.message) from None


class CustomerRows(RowSheet):
    """Customers by their primary phone, in any spelling."""

    kind = Kind.CUSTOMERS
    serializer_class = CustomerSerializer
    needed = ("primaryPhone",)
    unique = ("primaryPhone",)

    def key(self, row: Row) -> str:
        written = self.header.cell("primaryPhone", row.cells)
        try:
            return normalise_phone(written, self.facts.country_code or "IQ")
        except PhoneError:
            return ""  # the serializer says why

    def existing(self, keys: Sequence[str]) -> dict[str, UUID]:
        found = Customer.objects.live().of(self.facts.id).filter(primary_phone__in=keys)
        locked = found.select_for_update(no_key=True).order_by("pk")
        return dict(locked.values_list("primary_phone", "pk"))

    def write(self, rows: Sequence[Ready]) -> list[bool]:
        ids = [row.existing for row in rows if row.existing]
        stored = {row.pk: row for row in Customer.objects.filter(pk__in=ids)} if ids else {}
        facts = self.facts
        for row in rows:
            values = dict(row.values)
            addresses = values.pop("addresses", None)
            if addresses is not None:
                addresses = [dict(address) for address in addresses]
            customer = Customer(store_id=facts.id, currency_code=facts.currency_code)
            if row.existing is not None:
                customer = stored[row.existing]
                if addresses is None and not differs(customer, values):
                    continue
            save_customer(customer, values, addresses, facts)
        return [row.existing is None for row in rows]


class ExpenseRows(RowSheet):
    """Expenses, always new; one whose `clientRef` is known is refused."""

    kind = Kind.EXPENSES
    serializer_class = ExpenseSerializer
    needed = ("amount", "category", "date")
    unique = ("clientRef",)

    def key(self, row: Row) -> str:
        return self.header.cell("clientRef", row.cells)

    def existing(self, keys: Sequence[str]) -> dict[str, UUID]:
        found = Expense.objects.of(self.facts.id).filter(client_ref__in=keys)
        return {str(ref): pk for ref, pk in found.values_list("client_ref", "pk")}

    def one_ready(self, record: Record, existing: UUID | None) -> Ready:
        if existing is not None:
            message = "There is an expense with this clientRef already."
            raise refuse("clientRef", "duplicate_client_ref", message)
        return super().one_ready(record, None)

    def write(self, rows: Sequence[Ready]) -> list[bool]:
        facts = self.facts
        for row in rows:
            expense = Expense(store_id=facts.id, currency_code=facts.currency_code)
            save_expense(self.actor, expense, dict(row.values))
        return [True] * len(rows)


ORDER_NAMES = ("customer.id", "customer.name", "customer.primaryPhone")


class OrderRows(Sheet):
    """Past orders by `externalRef`; each row is a line. What belongs to the order may stand in its
    first row only or in all of them."""

    kind = Kind.ORDERS
    needed = ("externalRef",)
    batch = 100

    def __init__(self, actor: Actor, header: Header) -> None:
        super().__init__(actor, header)
        self.numbers: dict[int, str] = {}
        self.areas: dict[tuple[str, str], UUID] = {}

    @classmethod
    def columns(cls, facts: StoreFacts) -> Columns:
        context = {"store": facts}
        fields = dict(ImportBody(context=context).fields)
        del fields["items"]
        columns = known(*OrderSerializer(context=context).fields, *ORDER_NAMES)
        columns |= columns_of(fields)
        for alias, name in ImportBody.aliases.items():
            columns[fold(alias)] = columns[fold(name)]
        columns["areaname"] = Column("areaName")
        for column in columns_of(ImportItem(context=context).fields).values():
            item = replace(column, name=f"items.{column.name}", empty=NOTHING)
            columns[fold(column.name)] = columns[fold(item.name)] = item
        return columns

    def count(self, rows: Iterable[Row]) -> int:
        """Orders, and rows that belong to none."""
        references, without = set(), 0
        for row in rows:
            if reference := self.header.cell("externalRef", row.cells):
                references.add(reference)
            else:
                without += 1
        return len(references) + without

    def records(self, rows: Iterable[Row]) -> Iterator[Record]:
        orders: dict[str, Record] = {}
        for row in rows:
            reference = self.header.cell("externalRef", row.cells)
            record = orders.setdefault(reference or f"\n{row.line}", Record([], key=reference))
            record.rows.append(row)
            if not reference:
                record.refusal = refuse("externalRef", "required", "It names the order.")
            self.check_row(record, row)
        yield from orders.values()

    def prepare(self, records: Sequence[Record], *, dry_run: bool) -> None:
        if dry_run:
            self.numbers = {record.line: f"DRY-{record.line}" for record in records}
            return
        numbers = take_numbers(self.facts.id, "order", len(records))
        lines = (record.line for record in records)
        self.numbers = {line: f"ORD-{number}" for line, number in zip(lines, numbers, strict=True)}

    def existing(self, keys: Sequence[str]) -> dict[str, UUID]:
        found = Order.objects.of(self.facts.id).filter(external_ref__in=keys)
        locked = found.select_for_update(no_key=True).order_by("pk")
        return dict(locked.values_list("external_ref", "pk"))

    def one_ready(self, record: Record, existing: UUID | None) -> Ready:
        return Ready(record, ImportBody.read(self.order_body(record), self.facts), existing)

    def order_body(self, record: Record) -> dict[str, Any]:
        body: dict[str, Any] = {"items": []}
        told: dict[str, str] = {}
        for row in record.rows:
            item: dict[str, Any] = {}
            for column, cell in self.header.cells(row.cells):
                text = cell.strip()
                if not text:
                    continue
                if column.name.startswith("items."):
                    item[column.name.removeprefix("items.")] = column.value(cell)
                elif told.setdefault(column.name, text) != text:
                    message = f"Row {row.line} says another thing than the rows before."
                    raise refuse(column.name, "contradiction", message)
                else:
                    put(body, column.name, column.value(cell))
            body["items"].append(item)
        name = body.pop("areaName", None)
        if name and "addressAreaId" not in body:
            body["addressAreaId"] = str(self.area_id(body.get("addressProvinceCode", ""), name))
        return body

    def area_id(self, province_code: str, name: str) -> UUID:
        key = (province_code, name)
        if key not in self.areas:
            self.areas[key] = find_area(self.facts.country_code, province_code, name).pk
        return self.areas[key]

    def write(self, rows: Sequence[Ready]) -> list[bool]:
        for row in rows:
            values = dict(row.values)
            if row.existing is None:
                import_order(self.actor, values, self.numbers[row.record.line])
            else:
                replace_imported(self.actor, row.existing, values)
        return [row.existing is None for row in rows]


SHEETS: dict[str, type[Sheet]] = {
    sheet.kind: sheet for sheet in (ProductRows, CustomerRows, OrderRows, ExpenseRows)
}
