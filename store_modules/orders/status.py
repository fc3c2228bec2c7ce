"""Where an order stands, and who may move it where (domain.md, 6.2). Data and pure functions."""

from django.db.models import TextChoices


class Status(TextChoices):
    DRAFT = "draft"
    PENDING = "pending"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    PARTIALLY_DELIVERED = "partially_delivered"
    RETURNING = "returning"
    RETURNED = "returned"
    CANCELLED = "cancelled"


class FulfillmentStatus(TextChoices):
    UNASSIGNED = "unassigned"
    AWAITING_PICKUP = "awaiting_pickup"
    PICKED_UP = "picked_up"
    AT_HUB = "at_hub"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    PARTIALLY_DELIVERED = "partially_delivered"
    POSTPONED = "postponed"
    ATTEMPT_FAILED = "attempt_failed"
    ON_HOLD = "on_hold"
    LOST = "lost"
    RETURN_TO_HUB = "return_to_hub"
    RETURN_IN_TRANSIT = "return_in_transit"
    RETURNED_TO_STORE = "returned_to_store"
    CANCELLED = "cancelled"


class PaymentStatus(TextChoices):
    """What the customer still owes."""

    UNPAID = "unpaid"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"


class RemittanceStatus(TextChoices):
    """Where the cash of a COD order is."""

    NOT_APPLICABLE = "not_applicable"
    AWAITING_COLLECTION = "awaiting_collection"
    WITH_COURIER = "with_courier"
    REMITTED = "remitted"
    DISPUTED = "disputed"
    WRITTEN_OFF = "written_off"


class Reason(TextChoices):
    """Why a delivery failed or a parcel came back."""

    NO_ANSWER = "no_answer"
    PHONE_OFF = "phone_off"
    WRONG_NUMBER = "wrong_number"
    WRONG_ADDRESS = "wrong_address"
    POSTPONED_BY_CUSTOMER = "postponed_by_customer"
    REFUSED = "refused"
    REFUSED_PRICE = "refused_price"
    NOT_ORDERED = "not_ordered"
    DUPLICATE = "duplicate"
    DAMAGED = "damaged"
    CHANGED_MIND = "changed_mind"
    AREA_CHANGE = "area_change"
    OTHER = "other"


# Actors: O owner, S staff, K API key, C courier, U customer on a storefront, Y the system itself.
TRANSITIONS: dict[Status, dict[Status, str]] = {
    Status.DRAFT: {Status.PENDING: "OSKU", Status.CANCELLED: "OSK"},
    Status.PENDING: {
        Status.CONFIRMED: "OSKY",
        Status.PROCESSING: "OSK",
        Status.CANCELLED: "OSKUY",
    },
    Status.CONFIRMED: {
        Status.PROCESSING: "OSK",
        Status.SHIPPED: "OSKC",
        Status.CANCELLED: "OSK",
    },
    Status.PROCESSING: {Status.SHIPPED: "OSKC", Status.CANCELLED: "OSK"},
    Status.SHIPPED: {
        Status.DELIVERED: "OSCK",
        Status.PARTIALLY_DELIVERED: "OSCK",
        Status.RETURNING: "OSCK",
    },
    Status.RETURNING: {Status.SHIPPED: "OSC", Status.RETURNED: "OS"},
    Status.DELIVERED: {Status.RETURNED: "OS"},
    Status.PARTIALLY_DELIVERED: {Status.RETURNED: "OS"},
    Status.RETURNED: {},
    Status.CANCELLED: {},
}

# Reached by checking goods in or completing a return request, never asked for by itself.
BY_CHECK_IN = frozenset({Status.RETURNED})

LABELS: dict[str, dict[Status, str]] = {
    "en": {
        Status.DRAFT: "Draft",
        Status.PENDING: "Pending",
        Status.CONFIRMED: "Confirmed",
        Status.PROCESSING: "Being prepared",
        Status.SHIPPED: "Shipped",
        Status.DELIVERED: "Delivered",
        Status.PARTIALLY_DELIVERED: "Partly delivered",
        Status.RETURNING: "On the way back",
        Status.RETURNED: "Returned",
        Status.CANCELLED: "Cancelled",
    },
    "ar": {
        Status.DRAFT: "مسودة",
        Status.PENDING: "قيد الانتظار",
        Status.CONFIRMED: "مؤكد",
        Status.PROCESSING: "قيد التجهيز",
        Status.SHIPPED: "تم الشحن",
        Status.DELIVERED: "تم التسليم",
        Status.PARTIALLY_DELIVERED: "تسليم جزئي",
        Status.RETURNING: "في طريق الإرجاع",
        Status.RETURNED: "مرتجع",
        Status.CANCELLED: "ملغي",
    },
    "ku": {
        Status.DRAFT: "ڕەشنووس",
        Status.PENDING: "چاوەڕوان",
        Status.CONFIRMED: "پشتڕاستکراوە",
        Status.PROCESSING: "ئامادە دەکرێت",
        Status.SHIPPED: "نێردراوە",
        Status.DELIVERED: "گەیەنراوە",
        Status.PARTIALLY_DELIVERED: "بەشێکی گەیەنراوە",
        Status.RETURNING: "لە گەڕانەوەدایە",
        Status.RETURNED: "گەڕێنراوەتەوە",
        Status.CANCELLED: "هەڵوەشێنراوەتەوە",
    },
}


def allowed(status: str, actor: str) -> list[Status]:
    """Where this actor may move an order that stands at `status`, by asking for it."""
    return [
        to
        for to, actors in TRANSITIONS[Status(status)].items()
        if actor in actors and to not in BY_CHECK_IN
    ]


def is_final(status: str) -> bool:
    return not TRANSITIONS[Status(status)]


def labels(status: Status) -> dict[str, str]:
    return {language: names[status] for language, names in LABELS.items()}
