"""Blocks on PDF pages: Arabic is shaped and runs from right to left, tables mirror with it."""

from pathlib import Path
from typing import Any

import segno
from fpdf import FPDF
from fpdf.fonts import TTFFont

from store_modules.printing.markup import Block, Cell, Code, Rule, Table, Text, bars_of

FONTS = Path(__file__).parent / "fonts"
# Width and height in millimetres, margin, size of plain text in points. A roll ends with its text.
PAPERS: dict[str, tuple[float, float, float, float]] = {
    "A4": (210, 297, 15, 10),
    "A5": (148, 210, 10, 9),
    "100x150": (100, 150, 5, 10),
    "80mm": (80, 0, 4, 8.5),
    "58mm": (58, 0, 3, 7.5),
}
ENDLESS = 5000
SCALES = {"h1": 1.9, "h2": 1.3, "small": 0.8}
LINE = 0.48  # millimetres of line height a point
PAD = 1.2


class Sheet:
    """A document under way; `y` of the PDF is where the next block begins."""

    def __init__(self, paper: str, direction: str, height: float | None = None) -> None:
        width, tall, self.margin, self.size = PAPERS[paper]
        self.is_roll = not tall
        self.pdf = FPDF(unit="mm", format=(width, height or tall or ENDLESS))
        self.pdf.set_auto_page_break(False)
        self.pdf.set_margin(self.margin)
        self.pdf.add_font("body", "", FONTS / "DejaVuSans.ttf")
        self.pdf.add_font("body", "B", FONTS / "DejaVuSans-Bold.ttf")
        self.pdf.set_text_shaping(True)
        self.is_rtl = direction == "rtl"
        self.left, self.inner = self.margin, width - 2 * self.margin
        self.bottom = (height or tall or ENDLESS) - self.margin

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
        self.pdf.add_page()
        self.pdf.set_y(self.margin)
        for block in blocks:
            self.draw(block, self.left, self.inner)

    def draw(self, block: Block, x: float, width: float) -> None:
        match block:
            case Table():
                self.table(block, x, width)
            case _:
                height = self.height_of(block, width)
                self.make_room(height)
                self.draw_at(block, x, self.pdf.get_y(), width)
                self.pdf.set_y(self.pdf.get_y() + height)

    def make_room(self, height: float) -> None:
        if self.pdf.get_y() + height > self.bottom and self.pdf.get_y() > self.margin:
            self.pdf.add_page()
            self.pdf.set_y(self.margin)

    # Text

    def set_font(self, text: Text) -> float:
        size = self.size * SCALES.get(text.style, 1) * (1.5 if "big" in text.classes else 1)
        self.pdf.set_font("body", "B" if text.is_bold else "", size)
        return size * LINE

    def align_of(self, text: Text) -> Any:
        if text.align == "center":
            return "C"
        return "R" if (text.align == "end") != self.is_rtl else "L"

    def height_of(self, block: Block, width: float) -> float:
        match block:
            case Text():
                line = self.set_font(block)
                if not block.text.strip():
                    return 0
                height: Any = self.pdf.multi_cell(
                    width, line, block.text.strip(), dry_run=True, output="HEIGHT"
                )
                return float(height) + 0.6
            case Rule():
                return 3
            case Code():
                return (min(width, 30) if block.is_qr else 16) + 2
            case Table():
                return sum(self.row_height(row, width) for row in block.rows)

    def draw_at(self, block: Block, x: float, y: float, width: float) -> None:
        match block:
            case Text():
                line = self.set_font(block)
                if block.text.strip():
                    self.pdf.set_xy(x, y)
                    self.pdf.multi_cell(width, line, block.text.strip(), align=self.align_of(block))
                    self.pdf.set_xy(x, y)
            case Rule():
                self.pdf.set_draw_color(150)
                self.pdf.line(x, y + 1.5, x + width, y + 1.5)
            case Code():
                self.code(block, x, y, width)
            case Table():
                self.nested(block, x, y, width)

    # Codes

    def code(self, code: Code, x: float, y: float, width: float) -> None:
        if code.is_qr:
            side = min(width, 30)
            modules = [list(row) for row in segno.make(code.value, error="m").matrix]
            step = side / (len(modules) + 2)
            at = self.placed(code.align, x, width, side)
            for row, bits in enumerate(modules):
                self.dark_runs(bits, at + step, y + step * (row + 1), step, step)
            return
        bars = [int(bit) for bit in bars_of(code.value)]
        step = min(width * 0.94 / len(bars), 0.5)
        at = self.placed(code.align, x, width, step * len(bars))
        self.dark_runs(bars, at, y, step, 14)

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
        self.pdf.set_y(self.pdf.get_y() + 1)
        for row in table.rows:
            height = self.row_height(row, width)
            self.make_room(height)
            self.row(row, x, self.pdf.get_y(), width, height, is_plain=table.is_plain)
            self.pdf.set_y(self.pdf.get_y() + height)
        self.pdf.set_y(self.pdf.get_y() + 1)

    def nested(self, table: Table, x: float, y: float, width: float) -> None:
        for row in table.rows:
            height = self.row_height(row, width)
            self.row(row, x, y, width, height, is_plain=table.is_plain)
            y += height

    def row(
        self, row: list[Cell], x: float, y: float, width: float, height: float, *, is_plain: bool
    ) -> None:
        at = x + width if self.is_rtl else x
        for cell, own in zip(row, self.widths(row, width), strict=True):
            left = at - own if self.is_rtl else at
            if not is_plain:
                self.pdf.set_draw_color(180)
                self.pdf.set_fill_color(238)
                self.pdf.rect(left, y, own, height, style="DF" if cell.is_head else "D")
            inside = y + PAD
            for block in cell.blocks:
                self.draw_at(block, left + PAD, inside, own - 2 * PAD)
                inside += self.height_of(block, own - 2 * PAD)
            at = left if self.is_rtl else at + own


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
        longest = max(longest, measured.pdf.get_y())
    measured.close()
    sheet = Sheet(paper, direction, longest + 2 * measured.margin)
    for blocks in pages:
        sheet.page(blocks)
    return sheet.finished()
