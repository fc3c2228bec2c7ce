"""Our small print markup: a page as blocks, read from HTML that knows few tags. Pure.

Known are:

- h1, h2, p and small, with the classes start, center, end, bold, big, huge and muted;
- hr for a line across, bottom for what follows to stand at the page's foot;
- table (class grid, rows or plain), tr, th and td (`width="30%"`, class fill or dark);
- qr and barcode with `value`, a qr also with `size` in millimetres.

Everything else loses its tag and keeps its text; scripts and styles lose both.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from unicodedata import combining

import barcode
import segno

TEXT_TAGS = {"h1", "h2", "p", "small"}
CODE_TAGS = {"qr", "barcode"}
DROPPED = {"iframe", "object", "template", "title"}
CLASSES = {"start", "center", "end", "bold", "big", "huge", "muted"}
TABLES = ("plain", "rows")  # else with lines around every cell
SHADES = ("fill", "dark")
QR_SIZES = range(10, 81)  # millimetres
PERCENT = range(101)
MAX_BLOCKS = 20_000
MAX_CODE = 200  # characters
MAX_CODES = 200  # on a page
LETTERS_A_CODE = 200
LETTERS_A_MARK = 10
MAX_MARKS = 3  # on one letter
SOFT_HYPHEN = "\u00ad"
MAX_DEPTH = 10  # of tables in tables


@dataclass(slots=True)
class Text:
    """A paragraph; `style` is its tag."""

    text: str
    style: str = "p"
    classes: frozenset[str] = frozenset()

    @property
    def align(self) -> str:
        return next((word for word in ("center", "end") if word in self.classes), "start")

    @property
    def is_bold(self) -> bool:
        return self.style in ("h1", "h2", "th") or "bold" in self.classes


@dataclass(slots=True)
class Cell:
    """A cell with its part of the width in percent; 0 shares what is left. `shade` is nothing,
    fill for grey or dark for white on black."""

    blocks: list["Block"] = field(default_factory=list)
    width: float = 0
    is_head: bool = False
    shade: str = ""


@dataclass(slots=True)
class Table:
    """`kind` is grid with lines around every cell, rows with lines below them, or plain."""

    rows: list[list[Cell]] = field(default_factory=list)
    kind: str = "grid"


@dataclass(slots=True)
class Rule:
    """A line across."""


@dataclass(slots=True)
class Code:
    """A QR code of `size` millimetres, or a bar code in Code 128 with its text below."""

    value: str
    is_qr: bool
    align: str = "center"
    size: int = 26


@dataclass(slots=True)
class Bottom:
    """What follows stands at the foot of the page."""


Block = Text | Table | Rule | Code | Bottom


class TooLong(ValueError):
    """More blocks than a page makes sense of."""


# A tag ends before the next one begins, so that no letter is looked at twice: the parser of the
# standard library takes minutes for a page of tags that are left open.
QUOTED = r"""\"[^"<]*+"|'[^'<]*+'"""
TAG = re.compile(rf"<(/?)([a-zA-Z][a-zA-Z0-9]*+)((?:[^<>\"']++|{QUOTED})*+)>")
ATTRIBUTE = re.compile(rf"""([^\s"'<>/=]++)(?:\s*+=\s*+({QUOTED}|[^\s"'<>]++))?+""")
OTHER_TAG = re.compile(r"<[!?/][^<>]*+>")
LONG_CHARACTER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")
VERBATIM = {name: re.compile(rf"</{name}[^<>]*+>", re.IGNORECASE) for name in ("script", "style")}


class Reader:
    """Collects blocks; what is open of a table stands on the stack."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.tables: list[Table] = []
        self.open: Text | None = None
        self.said: list[str] = []  # of what is open
        self.skipping = 0
        self.count = self.codes = 0

    def feed(self, source: str) -> None:
        place = 0
        while place < len(source):
            if source[place] != "<":
                end = source.find("<", place)
                end = len(source) if end < 0 else end
                self.handle_data(readable(source[place:end]))
                place = end
            elif source.startswith("<!--", place):
                end = source.find("-->", place + 4)
                place = len(source) if end < 0 else end + 3
            elif tag := TAG.match(source, place):
                place = self.handle_tag(source, tag)
            elif other := OTHER_TAG.match(source, place):
                place = other.end()
            else:
                self.handle_data("<")
                place += 1
        self.close_text()

    def handle_tag(self, source: str, tag: re.Match[str]) -> int:
        """Where to read on: behind the tag, or behind what a script or style holds."""
        closes, name, given = tag[1], tag[2].lower(), tag[3]
        if closes:
            self.handle_endtag(name)
            return tag.end()
        if name in VERBATIM:
            end = VERBATIM[name].search(source, tag.end())
            return end.end() if end else len(source)
        self.handle_starttag(name, attributes_of(given))
        if given.endswith("/"):
            self.handle_endtag(name)
        return tag.end()

    def place(self, block: Block) -> None:
        self.count += 1
        if self.count > MAX_BLOCKS:
            raise TooLong
        if self.tables and self.tables[-1].rows and self.tables[-1].rows[-1]:
            self.tables[-1].rows[-1][-1].blocks.append(block)
        elif not self.tables:
            self.blocks.append(block)

    def handle_starttag(self, tag: str, given: dict[str, str]) -> None:
        classes = frozenset(given.get("class", "").split()) & CLASSES
        if tag in DROPPED:
            self.skipping += 1
        elif tag in TEXT_TAGS:
            self.open_text(Text("", tag, classes))
        elif tag == "br" and self.open is not None:
            self.said.append("\n")
        elif tag == "hr":
            self.close_text()
            self.place(Rule())
        elif tag == "bottom" and not self.tables:
            self.close_text()
            self.place(Bottom())
        elif tag in CODE_TAGS:
            self.close_text()
            self.place_code(tag, given, classes)
        elif tag == "table":
            self.close_text()
            table = Table(kind=chosen(given, TABLES) or "grid")
            self.place(table)
            self.tables.append(table)
            if len(self.tables) > MAX_DEPTH:
                raise TooLong
        elif tag == "tr" and self.tables:
            self.tables[-1].rows.append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1].rows:
            self.open_cell(tag, given, classes)

    def place_code(self, tag: str, given: dict[str, str], classes: frozenset[str]) -> None:
        value, size = given.get("value", "").strip()[:MAX_CODE], given.get("size", "")
        is_bars = value.isascii() and value.isprintable()
        if value and (tag == "qr" or is_bars):
            align = next((word for word in ("start", "end") if word in classes), "center")
            code = Code(value, tag == "qr", align)
            code.size = size_of(size, QR_SIZES) or code.size
            self.codes += 1
            if self.codes > MAX_CODES:
                raise TooLong
            self.place(code)

    def open_cell(self, tag: str, given: dict[str, str], classes: frozenset[str]) -> None:
        width = size_of(given.get("width", "").rstrip("%"), PERCENT)
        cell = Cell(width=width, is_head=tag == "th", shade=chosen(given, SHADES))
        self.tables[-1].rows[-1].append(cell)
        self.open_text(Text("", tag, classes))

    def handle_endtag(self, tag: str) -> None:
        if tag in DROPPED and self.skipping:
            self.skipping -= 1
        elif tag == "table" and self.tables:
            self.close_text()
            self.tables.pop()
        elif tag in TEXT_TAGS or tag in ("td", "th"):
            self.close_text()

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        if self.skipping or not words:
            return
        if self.open is None:
            self.open_text(Text(""))
        lead = " " if self.said and data[:1].isspace() else ""
        tail = " " if data[-1:].isspace() else ""
        self.said.append(lead + words + tail)

    def open_text(self, block: Text) -> None:
        self.close_text()
        self.open = block
        self.place(block)

    def close_text(self) -> None:
        if self.open is not None:
            self.open.text = settable("".join(self.said))
        self.open, self.said = None, []


def settable(text: str) -> str:
    """The text without soft hyphens and without piles of marks on one letter, which take long to
    set and say nothing."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for letter in text.replace(SOFT_HYPHEN, ""):
        marks = marks + 1 if combining(letter) else 0
        if marks <= MAX_MARKS:
            kept.append(letter)
    return "".join(kept)


def readable(text: str) -> str:
    """`&amp;` and its like as what they stand for."""
    return unescape(LONG_CHARACTER.sub("\ufffd", text)) if "&" in text else text


def attributes_of(text: str) -> dict[str, str]:
    """The first of each name counts."""
    given: dict[str, str] = {}
    for name, value in ATTRIBUTE.findall(text):
        bare = value[1:-1] if value[:1] in ('"', "'") else value
        given.setdefault(name.lower(), readable(bare))
    return given


def size_of(digits: str, allowed: range) -> int:
    """A number as an attribute has it; 0 for what is none or is not allowed."""
    number = int(digits) if digits.isdecimal() and len(digits) <= 3 else 0
    return number if number in allowed else 0


def chosen(given: dict[str, str], words: Sequence[str]) -> str:
    """The first of the words that stands in a class attribute."""
    classes = given.get("class", "").split()
    return next((word for word in words if word in classes), "")


def read(source: str) -> list[Block]:
    """The blocks of a page. Raises TooLong."""
    reader = Reader()
    reader.feed(source)
    return reader.blocks


def size_in_letters(blocks: Iterable[Block]) -> int:
    """How much there is to set: letters, and what takes as long as so many letters."""
    size = 0
    for block in blocks:
        match block:
            case Text():
                size += (
                    1
                    + len(block.text)
                    + LETTERS_A_MARK * sum(map(bool, map(combining, block.text)))
                )
            case Table():
                size += len(block.rows)
                size += sum(1 + size_in_letters(cell.blocks) for row in block.rows for cell in row)
            case Code():
                size += LETTERS_A_CODE
            case _:
                size += 1
    return size


def codes_of(blocks: Iterable[Block]) -> Iterator[str]:
    """The values of all codes on a page, also of those in tables."""
    for block in blocks:
        if isinstance(block, Code):
            yield block.value
        elif isinstance(block, Table):
            for row in block.rows:
                for cell in row:
                    yield from codes_of(cell.blocks)


def bars_of(value: str) -> str:
    """A bar code's modules from left to right, 1 for dark."""
    modules: str = barcode.get("code128", value).build()[0]
    return modules


def as_html(blocks: list[Block], direction: str, language: str, title: str) -> str:
    """A page that a browser shows and prints; it loads nothing."""
    inner = "".join(block_html(block) for block in blocks)
    start, end = ("right", "left") if direction == "rtl" else ("left", "right")
    style = (
        STYLE + f"body{{text-align:{start}}}.start{{text-align:{start}}}.end{{text-align:{end}}}"
    )
    return (
        f'<!doctype html><html lang="{escape(language)}" dir="{direction}"><head>'
        f'<meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style></head>'
        f"<body>{inner}</body></html>"
    )


STYLE = (
    "body{font:14px/1.5 'IBM Plex Sans Arabic',Tahoma,'DejaVu Sans',sans-serif;"
    "margin:24px auto;max-width:720px}h1,h2,p,small{unicode-bidi:plaintext}"
    "h1{font-size:24px;margin:.2em 0}h2{font-size:17px;margin:.3em 0}p,small{margin:.2em 0}"
    "small{display:block;font-size:12px}hr{border:0;border-top:1px solid #999}"
    "table{border-collapse:collapse;width:100%;margin:.5em 0}"
    "td,th{border:1px solid #bbb;padding:4px 6px;vertical-align:top;font-weight:inherit}"
    ".rows td{border-width:0 0 1px;border-color:#ddd}.plain td,.plain th{border:0;padding:2px 0}"
    "th{font-weight:bold;background:#eee}.fill{background:#eee}"
    ".dark,.rows th{background:#222;color:#fff;border-color:#222}"
    ".center{text-align:center}.bold{font-weight:bold}.big{font-size:1.4em}.huge{font-size:2em}"
    ".muted{color:#666}svg,img{max-width:100%}@page{margin:10mm}"
)


def block_html(block: Block) -> str:
    match block:
        case Text():
            words = escape(block.text.strip()).replace("\n", "<br>")
            tag = block.style if block.style in TEXT_TAGS else "p"
            return f'<{tag} class="{" ".join(sorted(block.classes))}">{words}</{tag}>'
        case Rule():
            return "<hr>"
        case Bottom():
            return ""
        case Code():
            return f'<p class="{block.align}">{code_html(block)}</p>'
        case Table():
            rows = "".join(f"<tr>{''.join(cell_html(c) for c in row)}</tr>" for row in block.rows)
            return f'<table class="{block.kind}">{rows}</table>'


def cell_html(cell: Cell) -> str:
    tag = "th" if cell.is_head else "td"
    width = f' style="width:{cell.width:g}%"' if cell.width else ""
    inner = "".join(block_html(block) for block in cell.blocks if not is_empty(block))
    return f'<{tag} class="{cell.shade}"{width}>{inner}</{tag}>'


def is_empty(block: Block) -> bool:
    return isinstance(block, Text) and not block.text.strip()


def code_html(code: Code) -> str:
    if code.is_qr:
        source = segno.make(code.value, error="m").svg_data_uri(scale=4)
        return f'<img alt="{escape(code.value)}" width="{code.size * 4}" src="{source}">'
    bars = bars_of(code.value)
    parts = "".join(
        f'<rect x="{place}" width="1" height="40"/>' for place, bar in enumerate(bars) if bar == "1"
    )
    size = f'viewBox="-10 0 {len(bars) + 20} 40" width="{len(bars) * 2}" height="60"'
    label = escape(code.value)
    return f'<svg role="img" aria-label="{label}" {size}>{parts}</svg><br>{label}'
