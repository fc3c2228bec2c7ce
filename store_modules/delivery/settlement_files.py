"""A company's account as CSV: the columns that companies use, in any order and letter case."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

from storeplatform.kernel.errors import PayloadTooLarge, Refusal, UnsupportedMedia
from storeplatform.kernel.text import fold

MAX_BYTES = 2 * 2**20
MAX_LINES = 5_000
DELIMITERS = ",;\t"
COLUMNS = {
    "orderid": "orderRef", "orderref": "orderRef", "order": "orderRef", "ordernumber": "orderRef",
    "trackingnumber": "trackingNumber", "tracking": "trackingNumber", "awb": "trackingNumber",
    "collected": "collected", "amount": "collected", "cod": "collected",
    "fee": "fee", "deliveryfee": "fee",
    "net": "net", "kind": "kind", "type": "kind", "status": "kind",
}  # fmt: skip


def refuse(message: str) -> Refusal:
    return Refusal("invalid_file", message, file=[message])


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """The lines as the JSON import takes them. Raises Refusal with what is wrong."""
    if len(content) > MAX_BYTES:
        raise PayloadTooLarge("payload_too_large", "A settlement has at most 2 MiB.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnsupportedMedia("unsupported_media_type", "The file is no UTF-8 text.") from None
    if "\0" in text:
        raise UnsupportedMedia("unsupported_media_type", "The file is no text.")
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        rows = list(limited(csv.reader(StringIO(text, newline=""), delimiter=delimiter)))
    except csv.Error as error:
        raise refuse(f"The file is no CSV: {error}.") from None
    if len(rows) < 2:
        raise refuse("The file has a line of column names and at least one more.")
    names = [COLUMNS.get(plain(cell), "") for cell in rows[0]]
    if "collected" not in names or not {"orderRef", "trackingNumber"} & set(names):
        raise refuse("Columns collected, and orderId or trackingNumber, are needed.")
    if twice := {name for name in names if name and names.count(name) > 1}:
        raise refuse(f"More than one column means {', '.join(sorted(twice))}.")
    return [
        {
            name: value.strip()
            for name, value in zip(names, cells, strict=False)
            if name and value.strip()
        }
        for cells in rows[1:]
        if any(cell.strip() for cell in cells)
    ]


def limited(reader: Any) -> Iterator[list[str]]:
    for number, cells in enumerate(reader):
        if number > MAX_LINES:
            raise refuse(f"A settlement has at most {MAX_LINES} lines.")
        yield cells


def plain(name: str) -> str:
    return "".join(letter for letter in fold(name) if letter.isalnum())
