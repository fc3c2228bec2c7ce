"""From a template and an order to blocks: Liquid under limits, with no way out of the page."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_symbol
from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import FilterValueError, LiquidError, ResourceLimitError
from liquid.expression import Expression

from store_modules.cashier.drawer import settings_of_till
from store_modules.cashier.serializers import SaleSerializer
from store_modules.printing import markup
from store_modules.printing.models import PrintTemplate
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.phones import spaced_phone
from storeplatform.kernel.tenancy import StoreFacts

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
        "discount": "Discount", "delivery": "Delivery", "tax": "Tax", "total": "Total",
        "to_collect": "To collect", "bill_to": "Bill to", "deliver_to": "Deliver to",
        "pieces": "Pieces", "paid": "Paid", "change": "Change", "notes": "Notes",
        "cash": "Cash", "card": "Card", "bank_transfer": "Bank transfer", "wallet": "Wallet",
        "thanks": "Thank you for your order",
    },
    "ar": {
        "invoice": "فاتورة", "number": "الرقم", "date": "التاريخ", "item": "المادة",
        "quantity": "العدد", "price": "السعر", "amount": "المبلغ", "subtotal": "المجموع الفرعي",
        "discount": "الخصم", "delivery": "التوصيل", "tax": "الضريبة", "total": "المجموع",
        "to_collect": "المبلغ المطلوب", "bill_to": "فاتورة إلى", "deliver_to": "التوصيل إلى",
        "pieces": "عدد القطع", "paid": "المدفوع", "change": "الباقي", "notes": "ملاحظات",
        "cash": "نقداً", "card": "بطاقة", "bank_transfer": "تحويل مصرفي", "wallet": "محفظة",
        "thanks": "شكراً لطلبكم",
    },
    "ku": {
        "invoice": "پسوڵە", "number": "ژمارە", "date": "بەروار", "item": "کاڵا",
        "quantity": "دانە", "price": "نرخ", "amount": "بڕ", "subtotal": "کۆی لاوەکی",
        "discount": "داشکاندن", "delivery": "گەیاندن", "tax": "باج", "total": "کۆی گشتی",
        "to_collect": "بڕی داواکراو", "bill_to": "پسوڵە بۆ", "deliver_to": "گەیاندن بۆ",
        "pieces": "ژمارەی دانەکان", "paid": "پارەی دراو", "change": "باقی", "notes": "تێبینی",
        "cash": "کاش", "card": "کارت", "bank_transfer": "گواستنەوەی بانکی", "wallet": "جزدان",
        "thanks": "سوپاس بۆ داواکارییەکەت",
    },
}  # fmt: skip
HAS = ("has_discount", "has_delivery", "has_tax", "has_change")
MUST_SHOW = (Type.SHIPPING_LABEL, Type.RECEIPT)
LEFT_TO_RIGHT = "\u200e"  # a mark that keeps a number's sign before it among Arabic words


MAX_LOOPS = 10_000
MAX_WORK = 500_000  # a name looked up is 1, a filter the product of its operands' lengths
MAX_DIGITS = 30
MAX_LETTERS = 300_000  # in a document: to set them takes seconds


class Frugal(RenderContext):
    """A render that does a bounded amount of work."""

    left = MAX_WORK

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            raise ResourceLimitError("It does too much work.", token=None)

    def get(self, *path: Any, **options: Any) -> object:
        self.spend(1)
        return super().get(*path, **options)

    def assign(self, key: str, val: Any) -> None:
        self.spend(1)
        super().assign(key, val)

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        apply = super().filter(name, token)

        def paid(*operands: Any, **options: Any) -> object:
            self.spend(10 + prod(map(length_of, (*operands, *options.values()))))
            try:
                return apply(*operands, **options)
            except (ArithmeticError, ValueError) as error:
                raise FilterValueError(f"{name}: {error}", token=token) from None

        return paid


def length_of(operand: Any) -> int:
    if isinstance(operand, int):
        return operand.bit_length() // 8 + 1
    return len(operand) + 1 if isinstance(operand, str | list | tuple | range) else 1


class FrugalTemplate(BoundTemplate):
    context_class = Frugal


class ShortRange(RangeLiteral):
    """A range that is no longer than a loop may run, wherever it is used."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        made = super()._make_range(start, stop)
        if made.stop - made.start > MAX_LOOPS:
            raise ResourceLimitError("A range is too long.", token=self.token)
        return made


class Limited(Environment):
    """Liquid that cannot run for long or write much."""

    template_class = FrugalTemplate
    loop_iteration_limit = MAX_LOOPS
    output_stream_limit = 1_000_000
    local_namespace_limit = 100_000
    context_depth_limit = 20
    block_nesting_limit = 20


LIQUID = Limited(autoescape=True)


def money(amount: Any, sign: str = "") -> str:
    """25000 as 25,000; with `sign` before it, unless it is nothing."""
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        return str(amount)
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS:
        return str(amount)
    return f"{LEFT_TO_RIGHT}{sign}{number:,f}" if sign and number else f"{number:,f}"


def phone(number: Any) -> str:
    """+9647701234567 as +964 770 123 4567."""
    return LEFT_TO_RIGHT + spaced_phone(str(number)) if number else ""


LIQUID.filters |= {"money": money, "phone": phone}
for name in ("include", "render"):  # a template has no others beside it
    del LIQUID.tags[name]


@cache
def known_names() -> dict[str, frozenset[str]]:
    """What a template may speak of, and the members of each."""
    made_here = {"date", "place", "delivery", "currency", *HAS}
    facts = StoreFacts(UUID(int=0), currency_code="IQD")
    order = SaleSerializer(context={"store": facts}).fields
    return {
        "order": frozenset(order) | made_here,
        "items": frozenset({"size", "first", "last"}),
        "store": frozenset({"name", "phone", "address"}),
        "t": frozenset(WORDS["en"]),
    }


@dataclass(frozen=True, slots=True)
class Design:
    """A template as it is printed with, a store's own or one that comes with the product."""

    kind: str
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
        used = parsed(body).analyze()
    except LiquidError as error:
        raise refuse(line_of(error), str(error.args[0] if error.args else error)) from None
    names = known_names()
    for root, places in used.globals.items():
        for place in places:
            name = fault_of(root, place.segments, names)
            if name:
                line = body.count("\n", 0, place.span.index) + 1
                raise refuse(line, f"There is no {name}.")
    for name, spans in used.filters.items():
        if name not in LIQUID.filters:
            line = body.count("\n", 0, spans[0].index) + 1
            raise refuse(line, f"There is no filter {name}.")


def fault_of(
    root: str, segments: Sequence[Any], names: Mapping[str, Collection[str]]
) -> str | None:
    """The name at fault in `root.member`, as it is written."""
    if root not in names:
        return root
    member = segments[1] if len(segments) > 1 else None
    if isinstance(member, str) and member not in names[root]:
        return f"{root}.{member}"
    return None


def line_of(error: LiquidError) -> int:
    token = getattr(error, "token", None)
    source, index = getattr(token, "source", ""), getattr(token, "start_index", 0)
    return int(source.count("\n", 0, index)) + 1 if source else 1


def parsed(body: str) -> BoundTemplate:
    """Raises LiquidError."""
    template = LIQUID.from_string(body)
    shorten(template.nodes, RenderContext(template))
    return template


def shorten(nodes: Iterable[Node], context: RenderContext) -> None:
    """Make every range a ShortRange: the parser knows no other class than its own."""
    for node in nodes:
        waiting: list[Expression] = list(node.expressions())
        while waiting:
            one = waiting.pop()
            if type(one) is RangeLiteral:
                one.__class__ = ShortRange
            waiting += one.children()
        shorten(node.children(context), context)


@lru_cache(maxsize=256)
def compiled(body: str) -> BoundTemplate:
    return parsed(body)


def built_in(kind: str, language: str, paper: str | None = None) -> Design:
    """The template that comes with the product."""
    return Design(
        kind=kind,
        body=(BUILT_IN / f"{kind}.liquid").read_text(),
        paper=paper or PAPER_OF[Type(kind)],
        direction="auto",
        language=language,
    )


def design_of(row: PrintTemplate) -> Design:
    return Design(row.type, row.body, row.paper, row.direction, row.language)


def chosen(store_id: Any, kind: str, language: str | None, paper: str | None) -> Design:
    """The till's own for receipts, else the store's default of a type, else what comes with the
    product."""
    rows = PrintTemplate.objects.filter(store_id=store_id, type=kind)
    row = rows.filter(is_default=True).first()
    if kind == Type.RECEIPT:
        of_till = settings_of_till(store_id).receipt_template_id
        row = (rows.filter(pk=of_till).first() if of_till else None) or row
    if row is not None and language in (None, row.language) and paper in (None, row.paper):
        return design_of(row)
    return built_in(kind, language or "ar", paper)


def pages_of(
    design: Design, orders: Iterable[Mapping[str, Any]], store: Mapping[str, Any], zone: str
) -> list[list[markup.Block]]:
    """A page for each order. Raises Refusal when they are too much for one document."""
    pages, size = [], 0
    for order in orders:
        page = page_of(design, order, store, zone)
        size += markup.size_in_letters(page)
        if size > MAX_LETTERS:
            raise refuse(1, "It makes too long a document.")
        pages.append(page)
    return pages


def page_of(
    design: Design, order: Mapping[str, Any], store: Mapping[str, Any], zone: str
) -> list[markup.Block]:
    """One order's page. Raises Refusal when the template runs too long or fails."""
    words = WORDS.get(design.language[:2], WORDS["en"])
    shown = {**order, **made_for_print(order, design.language, zone)}
    try:
        source = compiled(design.body).render(
            order=shown, items=order["items"], store=store, t=words
        )
        blocks = markup.read(source)
    except LiquidError as error:
        raise refuse(line_of(error), str(error.args[0] if error.args else error)) from None
    except markup.TooLong:
        raise refuse(1, "It makes too long a page.") from None
    return blocks + left_out(design, shown, words, blocks)


def made_for_print(order: Mapping[str, Any], language: str, zone: str) -> dict[str, Any]:
    """What templates show and the API says otherwise."""
    placed = datetime.fromisoformat(str(order["placedAt"])).astimezone(ZoneInfo(zone or "UTC"))
    delivery = Decimal(order["deliveryFee"]) - Decimal(order["deliveryDiscount"])
    return {
        "date": placed.strftime("%Y-%m-%d %H:%M"),
        "place": " – ".join(filter(None, [order["provinceName"], order["areaName"]])),
        "delivery": str(delivery),
        "currency": currency_sign(order["currencyCode"], language),
        "has_discount": Decimal(order["discountTotal"]) != 0,
        "has_delivery": delivery != 0,
        "has_tax": Decimal(order["taxTotal"]) != 0,
        "has_change": Decimal(order.get("change") or 0) != 0,
    }


@cache
def currency_sign(code: str, language: str) -> str:
    """How people write a currency: IQD, and د.ع. in Arabic."""
    if language[:2] not in RTL_LANGUAGES:
        return code
    sign: str = get_currency_symbol(code, locale="ar")
    return sign.replace("\u200f", "")


def left_out(
    design: Design,
    order: Mapping[str, Any],
    words: Mapping[str, str],
    blocks: Sequence[markup.Block],
) -> list[markup.Block]:
    """A label or receipt always shows its number as a code, and what is to be collected; what a
    store's template leaves out stands below it."""
    if design.kind not in MUST_SHOW:
        return []
    added: list[markup.Block] = []
    if "amountToCollect" not in design.body:
        amount = f"{words['to_collect']}: {money(order['amountToCollect'])} {order['currency']}"
        added.append(markup.Text(amount, classes=frozenset({"bold"})))
    if order["number"] not in markup.codes_of(blocks):
        added.append(markup.Code(order["number"], is_qr=False))
    return added
