"""Blocks on PDF pages: Arabic is shaped and runs from right to left, tables mirror with it."""

from pathlib import Path
from typing import Any
from unicodedata import combining

import segno
from fpdf import FPDF
from fpdf.enums import TextDirection
from fpdf.fonts import TTFFont

from store_modules.printing import lines
from store_modules.printing.markup import Block, Bottom, Cell, Code, Rule, Table, Text, bars_of

FONTS = Path(__file__).parent / "fonts"
# Width and height in millimetres, margin, size of plain text in points. A roll ends with its text.
PAPERS: dict[str, tuple[float, float, float, float]] = {
    "A4": (210, 297, 16, 10),
    "A5": (148, 210, 10, 8.5),
    "100x150": (100, 150, 5, 9.5),
    "80mm": (80, 0, 4, 8.5),
    "58mm": (58, 0, 2.5, 7.5),
}
ENDLESS = 5000
SCALES = {"h1": 1.9, "h2": 1.3, "small": 0.85}
GROWN = {"big": 1.4, "huge": 1.9}
LINE = 0.5  # millimetres of line height a point
PAD = 1.2
GAP = 0.5  # below a paragraph
BARS, BARS_TEXT = 12, 4.5  # heights of a bar code and of the text below it
AROUND = 1.5  # stays white above and below a QR code
QUIET = 10  # modules that stay white beside a bar code
MUTED, FILL, DARK = 100, 236, 34


class Sheet:
    """A document under way; `y` is where the next block begins, in millimetres."""

    def __init__(self, paper: str, direction: str, height: float | None = None) -> None:
        width, tall, self.margin, self.size = PAPERS[paper]
        self.is_roll = not tall
        self.pdf = FPDF(unit="mm", format=(width, height or tall or ENDLESS))
        self.pdf.set_auto_page_break(False)
        self.pdf.set_margin(self.margin)
        self.pdf.c_margin = 0
        self.pdf.add_font("body", "", FONTS / "IBMPlexSansArabic-Regular.ttf")
        self.pdf.add_font("body", "B", FONTS / "IBMPlexSansArabic-Bold.ttf")
        body: Any = self.pdf.fonts["body"]
        self.letters = frozenset(body.cmap) | set(lines.UNSEEN)
        self.is_rtl = direction == "rtl"
        self.left, self.inner = self.margin, width - 2 * self.margin
        self.y = self.margin
        self.bottom = (height or tall or ENDLESS) - self.margin
        self.widths_of_words: dict[tuple[str, str, bool], float] = {}  # at 100 points, in points
        self.heights: dict[tuple[int, float], float] = {}  # of texts, by identity and width

    def finished(self) -> bytes:
        """The document's bytes; the font files are let go."""
        content = bytes(self.pdf.output())
        self.close()
        return content

    def close(self) -> None:
        for font in self.pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()

    def page(self, blocks: list[Block]) -> None:
        """The blocks on pages of their own."""
        self.heights.clear()
        self.pdf.add_page()
        self.y = self.margin
        for place, block in enumerate(blocks):
            if isinstance(block, Bottom):
                self.go_down(blocks[place + 1 :])
            else:
                self.draw(block, self.left, self.inner)

    def go_down(self, blocks: list[Block]) -> None:
        """As far as the blocks that follow still fit on the page."""
        height = sum(self.height_of(block, self.inner - 2 * indent(block)) for block in blocks)
        if not self.is_roll:
            self.y = max(self.y, self.bottom - height)

    def draw(self, block: Block, x: float, width: float) -> None:
        match block:
            case Table():
                self.table(block, x, width)
            case _:
                x, width = x + indent(block), width - 2 * indent(block)
                height = self.height_of(block, width)
                self.make_room(height)
                self.draw_at(block, x, self.y, width)
                self.y += height

    def make_room(self, height: float) -> bool:
        """Whether a new page had to begin."""
        if self.y + height <= self.bottom or self.y <= self.margin:
            return False
        self.pdf.add_page()
        self.y = self.margin
        return True

    # Text

    def set_font(self, text: Text) -> float:
        """The text's font; returns its line height."""
        grown = next((GROWN[word] for word in ("huge", "big") if word in text.classes), 1.0)
        size = self.size * SCALES.get(text.style, 1) * grown
        style = "B" if text.is_bold else ""
        family = "body" if self.letters.issuperset(map(ord, text.text)) else "other"
        if family + style not in self.pdf.fonts:  # for letters that Plex has not
            self.pdf.add_font(family, style, FONTS / "DejaVuSans.ttf")
        self.pdf.set_font(family, style, size)
        return size * LINE

    def measure(self, words: str, *, is_rtl: bool | None = None) -> float:
        """The width of words in the present font, in millimetres."""
        if is_rtl is None:
            is_rtl = lines.is_rtl(words)
        font: Any = self.pdf.current_font
        key = font.fontkey, words, is_rtl
        if key not in self.widths_of_words:
            direction = TextDirection.RTL if is_rtl else TextDirection.LTR
            shaping = {"fragment_direction": direction, "features": {}}
            self.widths_of_words[key] = font.get_text_width(words, 100, shaping)[1]
        return self.widths_of_words[key] / 100 * self.pdf.font_size

    def lines_of(self, text: Text, width: float) -> list[str]:
        """The lines of a text whose font is set."""
        words = text.text.strip()
        return lines.wrapped(words, width, self.measure) if words else []

    def height_of(self, block: Block, width: float) -> float:
        match block:
            case Text():
                return self.text_height(block, width)
            case Rule():
                return 3
            case Bottom():
                return 0
            case Code():
                if block.is_qr:
                    return min(width, block.size) + 2 * AROUND
                return BARS + BARS_TEXT + 1
            case Table():
                return sum(self.row_height(row, width) for row in block.rows) + 2

    def text_height(self, text: Text, width: float) -> float:
        key = (id(text), width)
        if key not in self.heights:
            line = self.set_font(text)
            count = len(self.lines_of(text, width))
            self.heights[key] = count * line + GAP if count else 0
        return self.heights[key]

    def draw_at(self, block: Block, x: float, y: float, width: float, shade: str = "") -> None:
        match block:
            case Text():
                self.text(block, x, y, width, shade)
            case Rule():
                self.pdf.set_draw_color(0)
                self.pdf.line(x, y + 1.5, x + width, y + 1.5)
            case Code():
                self.code(block, x, y, width)
            case Table():
                self.nested(block, x, y, width)

    def text(self, text: Text, x: float, y: float, width: float, shade: str) -> None:
        height = self.set_font(text)
        muted = MUTED if "muted" in text.classes else 0
        self.pdf.set_text_color(255 if shade == "dark" else muted)
        for line in self.lines_of(text, width):
            self.line(line, text, x, y, width, height)
            y += height

    def line(self, line: str, text: Text, x: float, y: float, width: float, height: float) -> None:
        """One line, run by run from its left end."""
        runs = lines.runs_of(line, from_right=self.is_rtl)
        own = [self.measure(run.text, is_rtl=run.is_rtl) for run in runs]
        at = self.placed(text.align, x, width, sum(own))
        for run, step in zip(runs, own, strict=True):
            words = run.text.strip()
            blank = len(run.text) - len(run.text.rstrip() if run.is_rtl else run.text.lstrip())
            self.pdf.set_xy(at + blank * self.measure(" "), y)
            self.pdf.set_text_shaping(True, direction="rtl" if run.is_rtl else "ltr")
            if any(map(combining, words)):  # `cell` sets marks above letters too low
                self.pdf.multi_cell(step + height, height, words, align="L")
            else:
                self.pdf.cell(step, height, words)
            at += step

    # Codes

    def code(self, code: Code, x: float, y: float, width: float) -> None:
        if code.is_qr:
            side = min(width, code.size)
            modules = [list(row) for row in segno.make(code.value, error="m").matrix]
            step = side / len(modules)
            at = self.placed(code.align, x, width, side)
            for row, bits in enumerate(modules):
                self.dark_runs(bits, at, y + AROUND + step * row, step, step)
            return
        bars = [int(bit) for bit in bars_of(code.value)]
        step = min(width / (len(bars) + 2 * QUIET), 0.5)
        at = self.placed(code.align, x, width, step * len(bars))
        self.dark_runs(bars, at, y, step, BARS)
        label = Text(code.value, "small", frozenset({"center"}))
        self.text(label, at - 10, y + BARS + 0.4, step * len(bars) + 20, "")

    def placed(self, align: str, x: float, width: float, own: float) -> float:
        if align == "center":
            return x + (width - own) / 2
        return x + width - own if (align == "end") != self.is_rtl else x

    def dark_runs(self, bits: list[int], x: float, y: float, step: float, height: float) -> None:
        """Neighbouring dark modules as one rectangle, so that no seam shows."""
        self.pdf.set_fill_color(0)
        start = None
        for place, bit in enumerate([*bits, 0]):
            if bit and start is None:
                start = place
            elif not bit and start is not None:
                self.pdf.rect(x + start * step, y, (place - start) * step, height, style="F")
                start = None

    # Tables

    def widths(self, row: list[Cell], width: float) -> list[float]:
        named = sum(cell.width for cell in row)
        free = [cell for cell in row if not cell.width]
        rest = max(0.0, 100 - named) / len(free) if free else 0
        scale = 100 / named if named > 100 or (named and not free) else 1
        return [width * (cell.width * scale or rest) / 100 for cell in row]

    def row_height(self, row: list[Cell], width: float) -> float:
        heights = [
            sum(self.height_of(block, own - 2 * PAD) for block in cell.blocks)
            for cell, own in zip(row, self.widths(row, width), strict=True)
        ]
        return max(heights, default=0) + 2 * PAD

    def table(self, table: Table, x: float, width: float) -> None:
        """Row by row; a head stands again on every page."""
        self.y += 1
        head = table.rows[0] if table.rows and all(cell.is_head for cell in table.rows[0]) else None
        for row in table.rows:
            if self.make_room(self.row_height(row, width)) and head is not None:
                self.add_row(head, table.kind, x, width)
            self.add_row(row, table.kind, x, width)
        self.y += 1

    def add_row(self, row: list[Cell], kind: str, x: float, width: float) -> None:
        height = self.row_height(row, width)
        self.row(row, kind, x, self.y, width, height)
        self.y += height

    def nested(self, table: Table, x: float, y: float, width: float) -> None:
        for row in table.rows:
            height = self.row_height(row, width)
            self.row(row, table.kind, x, y, width, height)
            y += height

    def row(
        self, row: list[Cell], kind: str, x: float, y: float, width: float, height: float
    ) -> None:
        at = x + width if self.is_rtl else x
        for cell, own in zip(row, self.widths(row, width), strict=True):
            left = at - own if self.is_rtl else at
            shade = cell.shade or (("dark" if kind == "rows" else "fill") if cell.is_head else "")
            self.frame(kind, shade, left, y, own, height)
            inner = own - 2 * PAD
            heights = [self.height_of(block, inner) for block in cell.blocks]
            inside = y + (height - sum(heights)) / 2 if shade else y + PAD
            for block, step in zip(cell.blocks, heights, strict=True):
                self.draw_at(block, left + PAD, inside, inner, shade)
                inside += step
            at = left if self.is_rtl else at + own

    def frame(self, kind: str, shade: str, x: float, y: float, width: float, height: float) -> None:
        """What stands around and behind a cell."""
        if shade:
            self.pdf.set_fill_color(DARK if shade == "dark" else FILL)
            self.pdf.rect(x, y, width, height, style="F")
        if kind == "grid":
            self.pdf.set_draw_color(160)
            self.pdf.rect(x, y, width, height, style="D")
        elif kind == "rows":
            self.pdf.set_draw_color(200)
            self.pdf.line(x, y + height, x + width, y + height)


def indent(block: Block) -> float:
    """Text between tables stands flush with the text in them."""
    return PAD if isinstance(block, Text | Code) else 0


def as_pdf(pages: list[list[Block]], paper: str, direction: str) -> bytes:
    """One document; each list of blocks begins on a page of its own."""
    if not PAPERS[paper][1]:
        return rolls(pages, paper, direction)
    sheet = Sheet(paper, direction)
    for blocks in pages:
        sheet.page(blocks)
    return sheet.finished()


def rolls(pages: list[list[Block]], paper: str, direction: str) -> bytes:
    """On a roll a page is as long as the longest of them, so measure first."""
    measured = Sheet(paper, direction)
    longest = 0.0
    for blocks in pages:
        measured.page(blocks)
        longest = max(longest, measured.y)
    measured.close()
    sheet = Sheet(paper, direction, longest + 2 * measured.margin)
    for blocks in pages:
        sheet.page(blocks)
    return sheet.finished()
