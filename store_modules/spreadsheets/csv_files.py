"""Spreadsheets as text: cells that no program runs, and files as people's programs write them."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import chain
from typing import Any

import orjson

from storeplatform.kernel.errors import Refusal, UnsupportedMedia
from storeplatform.kernel.strict_json import MalformedJSON, loads

BOM = "\ufeff"
MAX_COLUMNS = 200
MAX_ROWS = 50_000
DELIMITERS = ",;\t"
BETWEEN = "|"  # texts of a list in one cell

# Spreadsheets run a cell that begins like this. One that would read as guarded is guarded too, so
# that taking the quote away gives back every text.
RISKY = re.compile(r"'*[=+\-@\t\r]")
GUARDED = re.compile(r"'+[=+\-@\t\r]")
QUOTED = re.compile(r'"[^"]*"')
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # XLSX and ODS; XLS


def guarded(text: str) -> str:
    return "'" + text if RISKY.match(text) else text


def unguarded(cell: str) -> str:
    return cell[1:] if GUARDED.match(cell) else cell


def cell_of(value: Any, *, is_number: bool = False) -> str:
    """A JSON value as a cell. Amounts are text in JSON and numbers here."""
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return value if is_number else guarded(value)
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return guarded(joined(value))
    return orjson.dumps(value).decode()


def joined(texts: Sequence[str]) -> str:
    """`a|b`, or a JSON list where that would not be read back."""
    if any(BETWEEN in text or text != text.strip() or not text for text in texts):
        return orjson.dumps(texts).decode()
    line = BETWEEN.join(texts)
    return orjson.dumps(texts).decode() if line.startswith("[") else line


def split(cell: str) -> Any:
    """The texts of a list's cell; the cell itself when it only looks like JSON."""
    if cell.startswith("["):
        return structure(cell)
    return [text.strip() for text in cell.split(BETWEEN) if text.strip()]


def structure(cell: str) -> Any:
    """The JSON of a cell, or the cell itself, of which the field will say what it wants."""
    try:
        return loads(cell.encode())
    except (MalformedJSON, UnicodeEncodeError):
        return cell


@dataclass(slots=True)
class Writer:
    """Rows as CSV text."""

    out: StringIO = field(default_factory=lambda: StringIO(newline=""))

    def text_of(self, rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> bytes:
        csv.writer(self.out).writerows(rows)
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text.encode()


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header and its rows, each with its number as a spreadsheet shows it. Rows without
    any text are left out."""

    header: list[str]
    rows: Iterator[tuple[int, list[str]]]


def refuse_file(code: str, message: str) -> Refusal:
    return Refusal(code, message, file=[message])


def decode(content: bytes) -> str:
    """The file's text. Other encodings are not guessed at: every file is valid Windows-1256, also
    one in Windows-1252, and names would be stored wrong without anybody noticing."""
    if content.startswith(WORKBOOKS):
        raise UnsupportedMedia(
            "unsupported_media_type",
            "This is a workbook. Save it as “CSV UTF-8 (comma delimited)” and send that file.",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse_file(
            "not_utf8",
            "The file is not UTF-8. In Excel choose Save as, “CSV UTF-8 (comma delimited)”; in"
            " other programs choose the character set UTF-8.",
        ) from None
    if "\x00" in text:
        raise refuse_file("malformed_csv", "This is no text: it holds NUL characters.")
    return text


def read_table(text: str) -> Table:
    """Header and rows. Raises Refusal for a file that is no table, at once or while rows are
    read."""
    file = StringIO(text, newline="")
    first = file.readline()
    skipped = 0
    if first.lower().startswith("sep="):  # Excel's own first line
        skipped, first = 1, file.readline()
    bare = QUOTED.sub("", first)
    delimiter = max(DELIMITERS, key=bare.count)
    lines = csv.reader(chain([first], file), delimiter=delimiter, strict=True)
    header = [name.strip() for name in next(checked(lines), [])]
    while header and not header[-1]:
        header.pop()
    if not header:
        raise refuse_file("malformed_csv", "The first line names the columns; it is empty.")
    if len(header) > MAX_COLUMNS:
        raise refuse_file("malformed_csv", f"At most {MAX_COLUMNS} columns.")
    return Table(header, numbered(lines, 2 + skipped))


def numbered(lines: Any, first: int) -> Iterator[tuple[int, list[str]]]:
    count = 0
    for number, cells in enumerate(checked(lines), first):
        if not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > MAX_ROWS:
            raise refuse_file("too_many_rows", f"At most {MAX_ROWS} rows a file; send it in parts.")
        yield number, cells


def checked(lines: Any) -> Iterator[list[str]]:
    try:
        yield from lines
    except csv.Error as error:
        raise refuse_file("malformed_csv", f"Line {lines.line_num} is no CSV: {error}.") from None
