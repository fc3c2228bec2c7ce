"""From a template and an order to blocks: Liquid under limits, with no way out of the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from liquid import Environment
from liquid.exceptions import LiquidError

from store_modules.printing import markup
from store_modules.printing.models import PrintTemplate
from storeplatform.kernel.errors import Refusal

BUILT_IN = Path(__file__).parent / "built_in"
Type, Paper = PrintTemplate.Type, PrintTemplate.Paper
PAPER_OF = {
    Type.INVOICE: Paper.A4,
    Type.SHIPPING_LABEL: Paper.LABEL,
    Type.RECEIPT: Paper.ROLL_80,
}
RTL_LANGUAGES = ("ar", "ku", "fa")
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "invoice": "Invoice", "number": "Number", "date": "Date", "item": "Item",
        "quantity": "Qty", "price": "Price", "amount": "Amount", "subtotal": "Subtotal",
        "discount": "Discount", "delivery": "Delivery", "total": "Total",
        "to_collect": "To collect", "deliver_to": "Deliver to", "pieces": "Pieces",
        "paid": "Paid", "thanks": "Thank you for your order",
    },
    "ar": {
        "invoice": "فاتورة", "number": "الرقم", "date": "التاريخ", "item": "المادة",
        "quantity": "العدد", "price": "السعر", "amount": "المبلغ", "subtotal": "المجموع الفرعي",
        "discount": "الخصم", "delivery": "التوصيل", "total": "المجموع",
        "to_collect": "المبلغ المطلوب", "deliver_to": "التوصيل إلى", "pieces": "القطع",
        "paid": "المدفوع", "thanks": "شكراً لطلبكم",
    },
}  # fmt: skip
NAMES = {"store", "order", "items", "t", "forloop"}


class Limited(Environment):
    """Liquid that cannot run for long or write much."""

    loop_iteration_limit = 10_000
    output_stream_limit = 1_000_000
    local_namespace_limit = 100_000
    context_depth_limit = 20
    block_nesting_limit = 20


LIQUID = Limited(autoescape=True)


@dataclass(frozen=True, slots=True)
class Design:
    """A template as it is printed with, a store's own or one that comes with the product."""

    body: str
    paper: str
    direction: str
    language: str

    @property
    def runs(self) -> str:
        """Right to left, where nothing says otherwise, for the languages that are written so."""
        if self.direction != "auto":
            return self.direction
        return "rtl" if self.language[:2] in RTL_LANGUAGES else "ltr"


def refuse(line: int, message: str) -> Refusal:
    return Refusal(
        "invalid_template",
        "The template cannot be used.",
        errors={"body": [f"Line {line}: {message}"]},
        details={"line": line},
    )


def check_template(body: str) -> None:
    """Raises Refusal `invalid_template` with the line at fault: syntax, or an unknown variable."""
    try:
        template = LIQUID.from_string(body)
        used = template.analyze()
    except LiquidError as error:
        raise refuse(line_of(error), str(error.args[0] if error.args else error)) from None
    for name, places in used.globals.items():
        if name not in NAMES:
            line = body.count("\n", 0, places[0].span.index) + 1
            raise refuse(line, f"There is no {name}; known are {', '.join(sorted(NAMES))}.")
    for name, spans in used.filters.items():
        if name not in LIQUID.filters:
            line = body.count("\n", 0, spans[0].index) + 1
            raise refuse(line, f"There is no filter {name}.")


def line_of(error: LiquidError) -> int:
    token = getattr(error, "token", None)
    source, index = getattr(token, "source", ""), getattr(token, "start_index", 0)
    return int(source.count("\n", 0, index)) + 1 if source else 1


@cache
def compiled(body: str) -> Any:
    return LIQUID.from_string(body)


def built_in(kind: str, language: str, paper: str | None = None) -> Design:
    """The template that comes with the product."""
    return Design(
        body=(BUILT_IN / f"{kind}.liquid").read_text(),
        paper=paper or PAPER_OF[Type(kind)],
        direction="auto",
        language=language,
    )


def design_of(row: PrintTemplate) -> Design:
    return Design(row.body, row.paper, row.direction, row.language)


def chosen(store_id: Any, kind: str, language: str | None, paper: str | None) -> Design:
    """The store's default of a type, else what comes with the product."""
    row = PrintTemplate.objects.filter(store_id=store_id, type=kind, is_default=True).first()
    if row is not None and language in (None, row.language) and paper in (None, row.paper):
        return design_of(row)
    return built_in(kind, language or "ar", paper)


def page_of(
    design: Design, order: Mapping[str, Any], store: Mapping[str, Any], zone: str
) -> list[markup.Block]:
    """One order's page. Raises Refusal when the template runs too long or fails."""
    placed = datetime.fromisoformat(str(order["placedAt"]))
    shown = {**order, "date": placed.astimezone(ZoneInfo(zone or "UTC")).strftime("%Y-%m-%d %H:%M")}
    words = WORDS.get(design.language[:2], WORDS["en"])
    try:
        source = compiled(design.body).render(
            order=shown, items=order["items"], store=store, t=words
        )
        return markup.read(source)
    except LiquidError as error:
        raise refuse(line_of(error), str(error.args[0] if error.args else error)) from None
    except markup.TooLong:
        raise refuse(1, "It makes too long a page.") from None
