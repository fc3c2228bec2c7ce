"""Orders: finding, following, placing, moving, refunding."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from django.db.models import Q
from pydantic import Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import Subject, tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_TEXT,
    MAYBE_TIME,
    MONEY,
    TEXT,
    TIME,
    UNTRUSTED,
    Input,
    Keyed,
    MoneyText,
    Paged,
    array,
    listing,
    obj,
    page,
    project,
    rows_of,
    wire_of,
)
from integrations.otp import services as otp
from integrations.otp import storefront
from store_modules.orders import editing, lifecycle, money
from store_modules.orders.locking import locked_order
from store_modules.orders.models import Order, OrderEvent, OrderPayment
from store_modules.orders.serializers import (
    OrderDetailSerializer,
    OrderEventSerializer,
    OrderSerializer,
    PaymentSerializer,
    RefundBody,
    StorefrontBody,
)
from store_modules.orders.status import LABELS, Status
from store_modules.orders.views import OrderFilters
from storeplatform.kernel.errors import NotFound, Refusal
from storeplatform.kernel.permissions import check_grant
from storeplatform.kernel.phones import PhoneError, mask_phone, normalise_phone

SEE_CUSTOMERS = "customers:read"
StatusName = Literal[
    "draft", "pending", "confirmed", "processing", "shipped", "delivered", "partially_delivered",
    "returning", "returned", "cancelled",
]  # fmt: skip
PaidName = Literal["unpaid", "partially_paid", "paid", "partially_refunded", "refunded", "voided"]
WHO = obj(
    id=MAYBE_TEXT, name=UNTRUSTED, primary_phone=MAYBE_TEXT, secondary_phone=MAYBE_TEXT,
    email=UNTRUSTED,
)  # fmt: skip
SUMMARY = obj(
    id=ID, number=TEXT, status=TEXT, fulfillment_status=TEXT, payment_status=TEXT,
    payment_method=TEXT, channel=TEXT, customer=WHO, province_name=MAYBE_TEXT,
    area_name=MAYBE_TEXT, items_count=INT, total=MONEY, amount_due=MONEY, risk_flags=array(TEXT),
    placed_at=TIME, updated_at=TIME,
)  # fmt: skip
LINE = obj(
    id=ID, sku=TEXT, name=TEXT, note=UNTRUSTED, quantity=INT, unit_price=MONEY,
    discount_amount=MONEY, line_total=MONEY, quantity_delivered=INT, quantity_returned=INT,
)  # fmt: skip
PAYMENT = obj(id=ID, kind=TEXT, method=TEXT, amount=MONEY, reference=UNTRUSTED, at=TIME)
EVENT = obj(
    kind=TEXT, from_status=TEXT, to_status=TEXT, reason=UNTRUSTED, actor_label=TEXT,
    created_at=TIME,
)  # fmt: skip
SHIPMENT = obj(
    tracking_number=MAYBE_TEXT, status=TEXT, shipped_at=MAYBE_TIME, delivered_at=MAYBE_TIME,
)  # fmt: skip
ORDER = obj(
    **SUMMARY["properties"],
    external_ref=MAYBE_TEXT,
    address=UNTRUSTED,
    landmark=UNTRUSTED,
    notes=UNTRUSTED,
    internal_notes=UNTRUSTED,
    subtotal=MONEY,
    discount_total=MONEY,
    delivery_fee=MONEY,
    tax_total=MONEY,
    amount_paid=MONEY,
    amount_refunded=MONEY,
    version=INT,
    items=array(LINE),
    payments=array(PAYMENT),
    shipments=array(SHIPMENT),
    timeline=array(EVENT),
)


def initials(name: str | None) -> str | None:
    return "".join(f"{word[0]}." for word in (name or "").split()[:3]) or None


def sees_customers(principal: Principal) -> bool:
    return SEE_CUSTOMERS in principal.scopes and principal.role_gives(SEE_CUSTOMERS)


def private(principal: Principal, row: dict[str, Any]) -> dict[str, Any]:
    """Without customers:read an order shows initials and city only."""
    if sees_customers(principal):
        return row
    unknown = dict.fromkeys(WHO["properties"])
    row["customer"] = unknown | {"name": initials(row["customer"]["name"])}
    for name in ("address", "landmark", "notes", "internal_notes"):
        if name in row:
            row[name] = None
    for line in row.get("items", []):
        line["note"] = None
    return row


def order_of(principal: Principal, pk: Any) -> dict[str, Any]:
    actor = principal.actor
    mine = Order.objects.of(actor.store_id).filter(pk=pk)
    found = rows_of(OrderDetailSerializer, actor, mine)
    if not found:
        raise NotFound("not_found", "There is no such order; try search_orders.")
    row = found[0][0]
    payments = OrderPayment.objects.of(actor.store_id).filter(order=pk).order_by("id")
    events = OrderEvent.objects.of(actor.store_id).filter(order=pk).order_by("-id")[:50]
    row["payments"] = [one for (one,) in rows_of(PaymentSerializer, actor, payments)]
    row["timeline"] = [one for (one,) in rows_of(OrderEventSerializer, actor, events)][::-1]
    row["shipments"] = [
        {
            "trackingNumber": row["trackingNumber"],
            "status": row["fulfillmentStatus"],
            "shippedAt": row["shippedAt"],
            "deliveredAt": row["deliveredAt"],
        }
    ]
    return private(principal, project(ORDER, row, actor.store.currency_code))


class OrderSearch(Paged):
    query: str | None = Field(
        None, max_length=200, description="Part of number, tracking number, customer's name, phone."
    )
    status: list[StatusName] | None = Field(None, max_length=10)
    payment_status: list[PaidName] | None = Field(None, max_length=6)
    placed_from: str | None = Field(None, max_length=40, description="A date, or a time with zone.")
    placed_to: str | None = Field(None, max_length=40, description="A date, or a time with zone.")
    customer_id: UUID | None = None
    has_risk_flags: bool | None = None


@tool(
    "Search orders",
    "Orders, newest first, by status, payment, time, customer or words. Searching by a customer's "
    "name or phone needs customers:read.",
    scopes="orders:read",
    input=OrderSearch,
    output=listing(SUMMARY),
)
def search_orders(principal: Principal, given: OrderSearch) -> dict[str, Any]:
    actor = principal.actor
    words = given.query or ""
    rows = Order.objects.of(actor.store_id)
    if words and not sees_customers(principal):
        rows = rows.filter(
            Q(number__icontains=words) | Q(tracking_number__icontains=words)
            | Q(external_ref__icontains=words)
        )  # fmt: skip
        query: dict[str, Any] = {"words": words}
        words = ""
    else:
        query = {}
    found = page(
        actor,
        rows,
        OrderSerializer,
        SUMMARY,
        given,
        filters=OrderFilters,
        query=query
        | {
            "status": given.status,
            "paymentStatus": given.payment_status,
            "customerId": given.customer_id,
            "hasRiskFlags": None
            if given.has_risk_flags is None
            else str(given.has_risk_flags).lower(),
            "from": given.placed_from,
            "to": given.placed_to,
            "dateField": "placedAt",
        },
        words=words,
    )
    found["items"] = [private(principal, row) for row in found["items"]]
    return found


class OneOrder(Input):
    id: UUID | None = None
    number: str | None = Field(None, max_length=24, description="ORD-1042")


@tool(
    "Order",
    "One order in full by id or number: lines, payments, shipment, history.",
    scopes="orders:read",
    input=OneOrder,
    output=ORDER,
)
def get_order(principal: Principal, given: OneOrder) -> dict[str, Any]:
    return order_of(principal, find_order(principal, given))


def find_order(principal: Principal, given: OneOrder) -> UUID:
    if (given.id is None) == (given.number is None):
        raise Refusal("validation_error", "Give either id or number.")
    if given.id:
        return given.id
    mine = Order.objects.of(principal.actor.store_id).filter(number=given.number)
    found: UUID | None = mine.values_list("pk", flat=True).first()
    if found is None:
        raise NotFound("not_found", "There is no order with this number; try search_orders.")
    return found


TRACK = obj(
    number=TEXT, status=TEXT, status_label=TEXT, fulfillment_status=TEXT,
    tracking_number=MAYBE_TEXT, placed_at=TIME, shipped_at=MAYBE_TIME, delivered_at=MAYBE_TIME,
    total=MONEY, amount_to_collect=MONEY,
)  # fmt: skip


class Tracking(Input):
    number: str = Field(max_length=24, description="The order's number, ORD-1042.")
    phone: str = Field(max_length=24, description="The phone that the order was placed with.")


@tool(
    "Track an order",
    "What a customer may know of their order: where it is and what is left to pay. The phone must "
    "be the order's.",
    scopes="orders:read",
    input=Tracking,
    output=TRACK,
)
def track_order(principal: Principal, given: Tracking) -> dict[str, Any]:
    actor = principal.actor
    missing = NotFound("not_found", "There is no order of this number and phone.")
    try:
        phone = normalise_phone(given.phone, actor.store.country_code or "IQ")
    except PhoneError:
        raise missing from None
    mine = Order.objects.of(actor.store_id).filter(number=given.number, customer_phone=phone)
    found = rows_of(OrderSerializer, actor, mine)
    if not found:
        raise missing
    row = found[0][0]
    row["statusLabel"] = LABELS["en"][Status(row["status"])]
    answer: dict[str, Any] = project(TRACK, row, actor.store.currency_code)
    return answer


class OtpRequest(Input):
    phone: str = Field(max_length=24, description="The customer's mobile phone.")
    channel: Literal["auto", "whatsapp", "sms"] = "auto"


@tool(
    "Send a one-time code",
    "Sends the customer the code that create_storefront_order needs. Once a minute for a phone.",
    scopes="orders:write",
    input=OtpRequest,
    output=obj(sent=BOOL, channel=TEXT, phone=TEXT, expires_in_seconds=INT,
               resend_after_seconds=INT),
    writes=True,
    idempotent=False,
    open_world=True,
    alone=True,
)  # fmt: skip
def send_order_otp(principal: Principal, given: OtpRequest) -> dict[str, Any]:
    actor = principal.actor
    try:
        phone = normalise_phone(given.phone, actor.store.country_code or "IQ", mobile=True)
    except PhoneError as error:
        raise Refusal("validation_error", str(error), phone=[str(error)]) from None
    sent = otp.send_code(actor, phone, channel=given.channel, customer_ip=None)
    return {
        "sent": True,
        "channel": sent.channel,
        "phone": mask_phone(phone),
        "expires_in_seconds": int(otp.LIFE.total_seconds()),
        "resend_after_seconds": int(otp.RESEND_AFTER.total_seconds()),
    }


class Buyer(Input):
    name: str = Field(min_length=1, max_length=200)
    primary_phone: str = Field(max_length=24)
    secondary_phone: str | None = Field(None, max_length=24)
    email: str | None = Field(None, max_length=254)


class Line(Input):
    sku: str | None = Field(None, max_length=64)
    product_id: UUID | None = None
    quantity: int = Field(ge=1, le=10_000)
    note: str | None = Field(None, max_length=500)


class StorefrontOrder(Keyed):
    payment_method: Literal["cod", "card", "bank_transfer", "wallet", "prepaid"]
    customer: Buyer
    items: list[Line] = Field(min_length=1, max_length=100)
    address_province_code: str = Field(max_length=10, description="From list_provinces.")
    address_area_id: UUID = Field(description="From list_areas.")
    address: str | None = Field(None, max_length=500)
    landmark: str | None = Field(None, max_length=200)
    notes: str | None = Field(None, max_length=2000)
    discount_code: str | None = Field(None, max_length=32)
    expected_total: MoneyText | None = Field(
        None, description="The total the customer agreed to; another one is refused."
    )
    otp_code: str | None = Field(None, max_length=12, description="From the customer's message.")


@tool(
    "Place a customer's order",
    "Places an order for a customer at the store's own prices and fees. Most stores need the code "
    "that send_order_otp sent to the customer.",
    scopes="orders:write",
    input=StorefrontOrder,
    output=ORDER,
    writes=True,
    open_world=True,
    prepare=lambda principal, given: storefront.check(
        principal.actor, StorefrontBody.read(wire_of(given), principal.actor.store)
    ),
)
def create_storefront_order(
    principal: Principal, given: StorefrontOrder, checked: storefront.Checked
) -> dict[str, Any]:
    return order_of(principal, storefront.place(principal.actor, checked).pk)


def order_names(store_id: UUID, ids: Sequence[str]) -> dict[str, str]:
    rows = Order.objects.of(store_id).filter(pk__in=ids)
    found = rows.values_list("pk", "number", "customer_name")
    return {str(pk): f"{number} · {name}" for pk, number, name in found}


AN_ORDER = Subject("order", "id", order_names)


class StatusChange(Keyed):
    id: UUID
    to: StatusName
    reason: str | None = Field(
        None, max_length=500, description="For returning: why it comes back, such as no_answer."
    )


@tool(
    "Move an order",
    "Moves an order to another status: confirmed, processing, shipped, delivered, returning, "
    "cancelled. A refusal says what is allowed from where it stands.",
    scopes="orders:write",
    input=StatusChange,
    output=ORDER,
    writes=True,
    destructive=True,
    subject=AN_ORDER,
)
def update_order_status(principal: Principal, given: StatusChange) -> dict[str, Any]:
    if given.to == Status.CANCELLED.value:
        check_grant(principal.actor, "orders.cancel")
    lifecycle.transition(principal.actor, given.id, Status(given.to), reason=given.reason)
    return order_of(principal, given.id)


class NewNote(Keyed):
    id: UUID
    text: str = Field(min_length=1, max_length=1000)


@tool(
    "Add a note to an order",
    "Adds a line to the order's internal notes, which only the store sees. They are shown with "
    "customers:read.",
    scopes="orders:write",
    input=NewNote,
    output=obj(id=ID, internal_notes=UNTRUSTED),
    writes=True,
)
def add_order_note(principal: Principal, given: NewNote) -> dict[str, Any]:
    order = locked_order(principal.actor.store_id, given.id)
    kept = "\n".join(filter(None, (order.internal_notes, given.text)))
    if len(kept) > 2000:
        raise Refusal("validation_error", "The order's notes are full.", text=["Too long."])
    changed = editing.edit_order(principal.actor, given.id, {"internal_notes": kept})
    shown = changed.internal_notes if sees_customers(principal) else None
    return {"id": str(changed.pk), "internal_notes": shown}


class Refund(Keyed):
    id: UUID
    amount: MoneyText
    method: Literal["cash", "card", "bank_transfer", "wallet", "cod"]
    reason: str = Field(min_length=1, max_length=500)


@tool(
    "Refund an order",
    "Books money that goes back to the customer, at most what was paid.",
    scopes="orders:write",
    input=Refund,
    output=PAYMENT,
    writes=True,
    destructive=True,
    subject=AN_ORDER,
    only_with_refunds=True,
)
def refund_order(principal: Principal, given: Refund) -> dict[str, Any]:
    actor = principal.actor
    wire = wire_of(given)
    del wire["id"]
    refund = money.give_refund(actor, given.id, **RefundBody.read(wire, actor.store))
    mine = OrderPayment.objects.of(actor.store_id).filter(pk=refund.pk)
    row = rows_of(PaymentSerializer, actor, mine)[0][0]
    answer: dict[str, Any] = project(PAYMENT, row, actor.store.currency_code)
    return answer
