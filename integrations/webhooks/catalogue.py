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
        {"id": ID, "status": TEXT},
        {"id": SOME_ID, "orderId": ANOTHER_ID, "status": "in_transit"},
        "orders:read",
        {"shipment.status_changed": "A delivery company told of a parcel."},
    ),
    Family(
        {"id": ID},
        {"id": SOME_ID, "number": "TCK-1001", "status": "open"},
        "",
        {
            "ticket.created": "A ticket was opened.",
            "ticket.updated": "A ticket changed.",
            "ticket.deleted": "A ticket was deleted.",
        },
    ),
    Family(
        {},
        {"conversationId": SOME_ID, "messageId": ANOTHER_ID},
        "messaging:read",
        {
            "chat.message_received": "A visitor wrote.",
            "chat.message_sent": "The store answered a visitor.",
            "chat.message_read": "Messages were read.",
            "chat.conversation_created": "A conversation began.",
            "chat.conversation_assigned": "A conversation was given to a colleague.",
            "chat.conversation_resolved": "A conversation was closed.",
        },
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
