"""What the columns of each spreadsheet are: the names of the API's own JSON."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from rest_framework import serializers

from store_modules.spreadsheets.csv_files import refuse_file, split, structure, unguarded
from storeplatform.kernel.serializers import Computed, Money

FLAGS = dict.fromkeys(("true", "yes", "y", "on", "t", "1"), True) | dict.fromkeys(
    ("false", "no", "n", "off", "f", "0"), False
)
NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,20})?")
SPACING = re.compile(r"[\s_-]")
NOTHING = object()  # an empty cell that changes nothing


class Form(Enum):
    """How a cell is read."""

    TEXT = "text"
    LIST = "list"
    JSON = "json"
    FLAG = "flag"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its JSON name, dotted inside an object. `empty` is what an empty cell says of a
    row that is there already; one that is not `read` is only known."""

    name: str
    form: Form = Form.TEXT
    empty: Any = NOTHING
    read: bool = True

    def value(self, cell: str) -> Any:
        text = unguarded(cell)
        if self.form is Form.LIST:
            return split(text.strip())
        if self.form is Form.FLAG:
            return flag(text)
        if self.form is Form.NUMBER:
            return number(text)
        return structure(text.strip()) if self.form is Form.JSON else text


Columns = dict[str, Column]
Fields = Mapping[str, serializers.Field[Any, Any, Any, Any]]


def flag(cell: str) -> Any:
    """Whether a cell says yes, or the cell, of which the field will say what it wants."""
    return FLAGS.get(cell.strip().lower(), cell)


def number(cell: str) -> Any:
    """The number of a cell, or the cell."""
    text = cell.strip()
    return Decimal(text) if NUMBER.fullmatch(text) else cell


def fold(name: str) -> str:
    """Column names are compared without case, spaces, `_` and `-`."""
    return SPACING.sub("", name).lower()


def columns_of(fields: Fields, prefix: str = "") -> Columns:
    """The columns that a serializer's fields make."""
    found: Columns = {}
    for name, one in fields.items():
        if isinstance(one, serializers.Serializer) and not isinstance(one, Computed):
            found |= columns_of(one.fields, f"{prefix}{name}.")
            continue
        found[fold(prefix + name)] = column_of(prefix + name, one)
    return found


def column_of(name: str, one: serializers.Field[Any, Any, Any, Any]) -> Column:
    if one.read_only:
        return Column(name, read=False)
    if isinstance(one, serializers.ListField):
        return Column(name, Form.LIST, [])
    empty: Any = NOTHING
    if one.allow_null:
        empty = None
    elif getattr(one, "allow_blank", False):
        empty = ""
    if isinstance(one, serializers.DictField | serializers.ListSerializer):
        many = isinstance(one, serializers.ListSerializer)
        return Column(name, Form.JSON, [] if many else empty)
    if isinstance(one, serializers.BooleanField):
        return Column(name, Form.FLAG, empty)
    if isinstance(one, serializers.IntegerField | serializers.FloatField):
        return Column(name, Form.NUMBER, empty)
    return Column(name, empty=empty)


def known(*names: str) -> Columns:
    """Columns that stand in our own files and are not read."""
    return {fold(name): Column(name, read=False) for name in names}


def is_number(one: Any) -> bool:
    """Whether a field shows a number, which a spreadsheet may calculate with."""
    if isinstance(one, Computed):
        shown = one.shows
        return is_number(shown() if isinstance(shown, type) else shown)
    kinds = (serializers.IntegerField, serializers.DecimalField, serializers.FloatField, Money)
    return isinstance(one, kinds)


@dataclass(frozen=True, slots=True)
class Header:
    """A file's columns in their places, and the names that mean nothing here."""

    columns: list[Column | None]
    unknown: list[str]
    places: dict[str, int]

    @classmethod
    def of(cls, names: list[str], columns: Columns, needed: tuple[str, ...]) -> "Header":
        """Raises Refusal when a column stands twice or one that is needed is missing."""
        found = [cls.find(name, columns) for name in names]
        twice = sorted({one.name for one in found if one and found.count(one) > 1})
        if twice:
            raise refuse_file("duplicate_columns", f"A column stands twice: {', '.join(twice)}.")
        missing = [name for name in needed if not any(one and one.name == name for one in found)]
        if missing:
            raise refuse_file("missing_columns", f"Columns are missing: {', '.join(missing)}.")
        unknown = [name[:100] for name, one in zip(names, found, strict=True) if name and not one]
        places = {one.name: place for place, one in enumerate(found) if one}
        return cls(found, unknown, places)

    @staticmethod
    def find(name: str, columns: Columns) -> Column | None:
        whole = columns.get(fold(name))
        if whole is not None:
            return whole
        head, dot, member = name.partition(".")
        parent = columns.get(fold(head))
        if dot and member and parent and parent.read and parent.form is Form.JSON:
            return Column(f"{parent.name}.{member}")
        return None

    def has(self, name: str) -> bool:
        return name in self.places

    def fault(self, cells: list[str]) -> str:
        """Why a row cannot be read by its columns. Missing cells at the end are empty ones, which
        spreadsheets leave out."""
        if any(cell.strip() for cell in cells[len(self.columns) :]):
            return f"The row has {len(cells)} cells and the header {len(self.columns)}."
        return ""

    def cells(self, cells: list[str]) -> Iterator[tuple[Column, str]]:
        for column, cell in zip(self.columns, cells, strict=False):
            if column is not None and column.read:
                yield column, cell

    def cell(self, name: str, cells: list[str]) -> str:
        """The trimmed text of one column; empty when there is no such column."""
        place = self.places.get(name)
        return unguarded(cells[place]).strip() if place is not None and place < len(cells) else ""

    def body(self, cells: list[str], *, partial: bool) -> dict[str, Any]:
        """The row as the body of a request; `partial` for a row that is there already."""
        body: dict[str, Any] = {}
        for column, cell in self.cells(cells):
            if cell.strip():
                put(body, column.name, column.value(cell))
            elif partial and column.empty is not NOTHING:
                put(body, column.name, column.empty)
        return body


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted member, making the objects on the way."""
    head, dot, rest = path.partition(".")
    if not dot:
        body.setdefault(head, value)
        return
    inner = body.setdefault(head, {})
    if isinstance(inner, dict):
        put(inner, rest, value)
