"""The events that a store may receive: their meaning, the shape of `data`, and a sample.

What is emitted but not listed here stays inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SOME_ID = "0197a2c4-5e6f-7b81-9c2d-3e4f5a6b7c8d"
ANOTHER_ID = "0197a2c4-6a10-7c44-8d1e-5f6a7b8c9d0e"

Shape = Mapping[str, Any]

ID: Shape = {"type": "string", "format": "uuid"}
TEXT: Shape = {"type": "string"}
MAYBE_TEXT: Shape = {"type": ["string", "null"]}
COUNT: Shape = {"type": "integer"}
MONEY: Shape = {"type": "string", "pattern": r"^-?\d{1,14}(\.\d{1,3})?$"}
INSTANT: Shape = {"type": "string", "format": "date-time"}
MAYBE_ID: Shape = {"type": ["string", "null"], "format": "uuid"}
MAYBE_INSTANT: Shape = {"type": ["string", "null"], "format": "date-time"}


@dataclass(frozen=True, slots=True)
class EventType:
    """`members` are always there; a receiver ignores further ones. `scope` lets an API key read
    the event in the pull feed; without one only webhooks carry it."""

    name: str
    description: str
    members: Mapping[str, Shape]
    sample: Mapping[str, Any]
    scope: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of `data`."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": list(self.members),
            "properties": dict(self.members),
            "additionalProperties": True,
        }


@dataclass(frozen=True, slots=True)
class Family:
    """Events about one kind of thing, which share their shape."""

    members: Mapping[str, Shape]
    sample: Mapping[str, Any]
    scope: str
    events: Mapping[str, str] = field(default_factory=dict)

    def types(self) -> list[EventType]:
        return [
            EventType(name, description, self.members, self.sample, self.scope)
            for name, description in self.events.items()
        ]


ORDER = {
    "id": ID, "number": TEXT, "externalRef": MAYBE_TEXT, "status": TEXT, "paymentStatus": TEXT,
    "total": MONEY, "amountPaid": MONEY, "currencyCode": TEXT,
}  # fmt: skip
ORDER_SAMPLE = {
    "id": SOME_ID, "number": "ORD-1001", "externalRef": "WEB-2041", "status": "confirmed",
    "paymentStatus": "unpaid", "total": "35000", "amountPaid": "0", "currencyCode": "IQD",
}  # fmt: skip
STOCK_SAMPLE = {
    "productId": SOME_ID, "sku": "SHIRT-M", "quantityOnHand": 9, "quantityReserved": 2,
    "quantityAvailable": 7,
}  # fmt: skip
TICKET = {
    "id": ID, "number": TEXT, "subject": TEXT, "status": TEXT, "priority": TEXT,
    "category": TEXT, "assignedUserId": MAYBE_ID, "changed": {"type": "array", "items": TEXT},
}  # fmt: skip
TICKET_SAMPLE = {
    "id": SOME_ID, "number": "TCK-1001", "subject": "The parcel is late", "status": "open",
    "priority": "medium", "category": "delivery", "assignedUserId": None,
    "changed": ["status", "subject"],
}  # fmt: skip
MESSAGE = {
    "id": ID, "conversationId": ID, "seq": COUNT, "direction": TEXT, "type": TEXT,
    "senderType": TEXT, "senderId": TEXT, "senderName": MAYBE_TEXT, "text": MAYBE_TEXT,
    "attachments": {"type": "array", "items": {"type": "object"}}, "createdAt": INSTANT,
}  # fmt: skip
MESSAGE_SAMPLE = {
    "id": ANOTHER_ID, "conversationId": SOME_ID, "seq": 1, "direction": "inbound",
    "type": "text", "senderType": "visitor", "senderId": SOME_ID, "senderName": "Sara",
    "text": "Where is my parcel?", "attachments": [], "createdAt": "2026-01-15T09:30:00Z",
}  # fmt: skip

FAMILIES = [
    Family(
        ORDER,
        ORDER_SAMPLE,
        "orders:read",
        {
            "order.created": "An order was placed, in any channel.",
            "order.updated": "Lines, address, fulfillment, money or flags of an order changed.",
            "order.status_changed": "An order moved on: confirmed, processing, shipped, returning.",
            "order.delivered": "All of an order was delivered.",
            "order.partially_delivered": "The customer kept a part of an order.",
            "order.returned": "All of an order is back.",
            "order.cancelled": "An order was cancelled; its stock is free again.",
        },
    ),
    Family(
        ORDER,
        ORDER_SAMPLE | {"status": "delivered", "paymentStatus": "paid", "amountPaid": "35000"},
        "orders:read",
        {
            "payment.collected": "A customer paid, in advance, at the till or at the door.",
            "payment.remitted": "Cash that was collected at the door has reached the store.",
        },
    ),
    Family(
        {"id": ID, "number": TEXT, "orderId": ID, "status": TEXT, "credit": MONEY},
        {"id": SOME_ID, "number": "RET-1001", "orderId": ANOTHER_ID, "status": "requested",
         "credit": "0"},
        "orders:read",
        {
            "return_request.created": "A return was asked for.",
            "return_request.updated": "A return was approved, rejected, received or completed.",
        },
    ),
    Family(
        {"productId": ID, "sku": MAYBE_TEXT, "quantityOnHand": COUNT, "quantityReserved": COUNT,
         "quantityAvailable": COUNT},
        STOCK_SAMPLE,
        "catalog:read",
        {
            "inventory.changed": "Stock on hand or what is reserved of it changed.",
            "inventory.low": "What is available fell to the reorder point.",
            "inventory.out": "Nothing is available any more.",
        },
    ),
    Family(
        {"id": ID, "sku": MAYBE_TEXT, "name": TEXT},
        {"id": SOME_ID, "sku": "SHIRT-M", "name": "White cotton shirt"},
        "catalog:read",
        {
            "product.created": "A product was added.",
            "product.updated": "A product changed.",
            "product.deleted": "A product was removed from the catalogue.",
        },
    ),
    Family(
        {"id": ID},
        {"id": SOME_ID},
        "orders:read",
        {
            "customer.created": "A customer was added.",
            "customer.updated": "A customer changed or was merged with another.",
            "customer.deleted": "A customer was anonymised.",
        },
    ),
    Family(
        {"id": ID, "number": TEXT, "status": TEXT},
        {"id": SOME_ID, "number": "PO-1001", "status": "received"},
        "catalog:read",
        {"purchase_order.received": "Goods of a purchase order arrived."},
    ),
    Family(
        {"id": ID, "number": TEXT, "variance": MONEY},
        {"id": SOME_ID, "number": "CS-1001", "variance": "-500"},
        "",
        {"cashier.session_closed": "A drawer was counted and closed."},
    ),
    Family(
        {"id": ID, "orderId": ID, "deliveryCompany": TEXT, "trackingNumber": TEXT, "status": TEXT,
         "rawStatus": TEXT, "occurredAt": MAYBE_INSTANT},
        {"id": SOME_ID, "orderId": ANOTHER_ID, "deliveryCompany": "nawa",
         "trackingNumber": "NW-10001", "status": "in_transit", "rawStatus": "in_transit",
         "occurredAt": "2026-01-15T09:30:00Z"},
        "orders:read",
        {"shipment.status_changed": "A delivery company told of a parcel."},
    ),
    Family(
        TICKET,
        TICKET_SAMPLE,
        "",
        {
            "ticket.created": "A ticket was opened.",
            "ticket.updated": "A ticket changed, or was commented on or brought back.",
            "ticket.deleted": "A ticket was deleted.",
        },
    ),
    Family(
        MESSAGE,
        MESSAGE_SAMPLE,
        "messaging:read",
        {"chat.message_received": "A visitor wrote."},
    ),
    Family(
        MESSAGE,
        MESSAGE_SAMPLE
        | {"seq": 2, "direction": "outbound", "senderType": "agent", "senderName": "Ali",
           "text": "It is on its way."},
        "messaging:read",
        {"chat.message_sent": "The store answered a visitor."},
    ),
    Family(
        {"conversationId": ID, "by": {"enum": ["visitor", "team"]}, "upToSeq": COUNT},
        {"conversationId": SOME_ID, "by": "visitor", "upToSeq": 2},
        "messaging:read",
        {"chat.message_read": "The other side read up to a message."},
    ),
    Family(
        {"conversationId": ID, "number": TEXT},
        {"conversationId": SOME_ID, "number": "CNV-1001"},
        "messaging:read",
        {
            "chat.conversation_created": "A conversation began.",
            "chat.conversation_resolved": "A conversation was closed.",
        },
    ),
    Family(
        {"conversationId": ID, "assignedUserId": MAYBE_ID},
        {"conversationId": SOME_ID, "assignedUserId": ANOTHER_ID},
        "messaging:read",
        {"chat.conversation_assigned": "A conversation was given to a colleague, or to nobody."},
    ),
    Family(
        {"keyId": TEXT, "name": TEXT},
        {"keyId": "stk_0123456789ABCDEF", "name": "Website"},
        "",
        {
            "api_key.expiring": "An API key ends within thirty days.",
            "api_key.exposed": "An API key was seen in an address; rotate it.",
            "api_key.revoked": "An API key was revoked.",
        },
    ),
    Family(
        {"id": ID, "url": TEXT, "reason": TEXT},
        {"id": SOME_ID, "url": "https://shop.example/hooks", "reason": "The receiver is gone."},
        "",
        {"webhook.disabled": "A webhook was switched off after failing for long."},
    ),
    Family({}, {}, "", {"ping": "A test that you asked for."}),
]  # fmt: skip

PING = "ping"
EVERY = "*"
EVENT_TYPES = {kind.name: kind for family in FAMILIES for kind in family.types()}
SUBSCRIBABLE = [EVERY, *(name for name in EVENT_TYPES if name != PING)]
