"""Delivery companies, the parcels they carry, and the cash they bring (domain.md, section 17)."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from store_modules.orders.status import FulfillmentStatus
from storeplatform.kernel.fields import MoneyField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.tenancy import StoreOwned


class DeliveryCompany(models.Model):
    """A company that stores may link; the list is the platform's. A company that knows our own
    provinces and areas needs no map of them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    names = models.JSONField(default=dict, blank=True)
    capabilities = ArrayField(models.CharField(max_length=24), default=list, blank=True)
    provider = models.CharField(max_length=24, default="nawa")
    uses_our_areas = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "delivery companies"

    def __str__(self) -> str:
        return self.name


class CourierAreaMap(models.Model):
    """How a company calls one of our areas."""

    company = models.ForeignKey(DeliveryCompany, on_delete=models.CASCADE, related_name="areas")
    area = models.ForeignKey("geography.Area", on_delete=models.CASCADE, related_name="+")
    external_province = models.CharField(max_length=100)
    external_area = models.CharField(max_length=100)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["company", "area"], name="courier_area_once")
        ]

    def __str__(self) -> str:
        return f"{self.external_province} / {self.external_area}"


class CourierStatus(models.Model):
    """What a company's own word for a parcel's status means; it goes before the provider's map."""

    company = models.ForeignKey(DeliveryCompany, on_delete=models.CASCADE, related_name="statuses")
    raw = models.CharField(max_length=64)
    status = models.CharField(max_length=24, choices=FulfillmentStatus.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["company", "raw"], name="courier_status_once")
        ]
        verbose_name_plural = "courier statuses"

    def __str__(self) -> str:
        return f"{self.raw} → {self.status}"


class CompanyLink(StoreOwned):
    """A store's account with a company. The credentials are encrypted and never shown again."""

    company = models.ForeignKey(DeliveryCompany, on_delete=models.PROTECT, related_name="links")
    username = models.CharField(max_length=200)
    credentials = models.BinaryField()
    account = models.CharField(max_length=100)
    agreed_fee = MoneyField(null=True)
    checked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "company"],
                name="company_link_once",
                violation_error_code="company_already_linked",
                violation_error_message="This company is linked already.",
            )
        ]

    def __str__(self) -> str:
        return self.username


class Dispatch(StoreOwned):
    """A parcel handed to a company. `raw_status` is the company's own word, `parcel_status` ours;
    `status_at` is the company's time of the last fact that was taken over."""

    class State(models.TextChoices):
        REQUESTED = "requested"  # waits for the company's answer
        ACCEPTED = "accepted"
        REFUSED = "refused"
        CANCELLED = "cancelled"
        FINISHED = "finished"

    ACTIVE = (State.REQUESTED, State.ACCEPTED)

    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE, related_name="dispatches")
    company = models.ForeignKey(DeliveryCompany, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=State.choices, default=State.REQUESTED)
    external_id = models.CharField(max_length=100, blank=True)
    tracking_number = models.CharField(max_length=100, blank=True)
    raw_status = models.CharField(max_length=64, blank=True)
    parcel_status = models.CharField(
        max_length=24, choices=FulfillmentStatus.choices, default=FulfillmentStatus.UNASSIGNED
    )
    status_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # when the company was last asked to take it
    error = models.CharField(max_length=500, blank=True)
    last_sync_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(state__in=["requested", "accepted"]),
                name="dispatch_one_active",
                violation_error_code="already_dispatched",
                violation_error_message="A delivery company has this order already.",
            )
        ]
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="dispatch_newest"),
            models.Index(fields=["store", "tracking_number"], name="dispatch_by_tracking"),
            models.Index(
                fields=["last_sync_at"], condition=Q(state="accepted"), name="dispatch_to_sync"
            ),
            models.Index(
                fields=["asked_at"],
                condition=Q(external_id="", asked_at__isnull=False),
                name="dispatch_unanswered",
            ),
        ]

    def __str__(self) -> str:
        return self.tracking_number or str(self.pk)


class ShipmentEvent(models.Model):
    """A status as the company told it, whether it moved the order or not; immutable."""

    class Outcome(models.TextChoices):
        APPLIED = "applied"
        LATE = "late"  # older than what is known, or earlier in the chain
        REPEATED = "repeated"
        UNMAPPED = "unmapped"
        NOT_POSSIBLE = "not_possible"  # the order does not allow it

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dispatch = models.ForeignKey(Dispatch, on_delete=models.CASCADE, related_name="events")
    raw_status = models.CharField(max_length=64)
    parcel_status = models.CharField(max_length=24, blank=True)
    reason = models.CharField(max_length=64, blank=True)
    occurred_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    detail = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        indexes = [models.Index(fields=["dispatch", "id"], name="shipment_event_of_dispatch")]

    def __str__(self) -> str:
        return f"{self.raw_status} {self.outcome}"


class CashEntry(models.Model):
    """Cash that a company took at a door, brought, or will never bring; append-only. What a
    company still has is the sum of `amount`: collected counts up, remitted down; a correction is
    what was settled above or below the amount that was collected."""

    class Kind(models.TextChoices):
        COLLECTED = "collected"
        REMITTED = "remitted"
        CORRECTION = "correction"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    company = models.ForeignKey(DeliveryCompany, on_delete=models.PROTECT, related_name="+")
    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE, related_name="+")
    line = models.ForeignKey(
        "delivery.SettlementLine", on_delete=models.PROTECT, null=True, related_name="entries"
    )
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = MoneyField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order", "kind"],
                condition=Q(kind__in=["collected", "remitted"]),
                name="cash_entry_once",
            )
        ]
        indexes = [models.Index(fields=["store", "company"], name="cash_entry_of_company")]
        verbose_name_plural = "cash entries"

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class Settlement(StoreOwned):
    """A company's account of the cash it brings. `net_total` is the sum of its lines."""

    class State(models.TextChoices):
        DRAFT = "draft"
        MATCHED = "matched"
        ACCEPTED = "accepted"

    class Source(models.TextChoices):
        API = "api"
        CSV = "csv"

    company = models.ForeignKey(DeliveryCompany, on_delete=models.PROTECT, related_name="+")
    reference = models.CharField(max_length=100)
    date = models.DateField()
    source = models.CharField(max_length=4, choices=Source.choices, default=Source.API)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    currency_code = models.CharField(max_length=3)
    declared_total = MoneyField()
    collected_total = MoneyField(default=0)
    fee_total = MoneyField(default=0)
    net_total = MoneyField(default=0)
    differences_count = models.PositiveIntegerField(default=0)
    missing = models.JSONField(default=list)  # delivered long ago, with the courier, not in here
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "company", "reference"],
                name="settlement_reference_taken",
                violation_error_code="duplicate_reference",
                violation_error_message="A settlement of this company has this reference.",
            )
        ]
        indexes = [models.Index(fields=["store", "-created_at", "-id"], name="settlement_newest")]

    def __str__(self) -> str:
        return self.reference


class Difference(models.TextChoices):
    """How a line differs from what we know."""

    UNKNOWN_ORDER = "unknown_order"
    NOT_DELIVERED_HERE = "not_delivered_here"
    AMOUNT_SHORT = "amount_short"
    AMOUNT_OVER = "amount_over"
    FEE_MISMATCH = "fee_mismatch"
    ALREADY_SETTLED = "already_settled"


class SettlementLine(models.Model):
    """One order of a settlement. Only a line that `remits` brings an order's cash."""

    class Kind(models.TextChoices):
        DELIVERED = "delivered"
        PARTIAL = "partial"
        RETURNED = "returned"
        PRICE_CHANGE = "price_change"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    settlement = models.ForeignKey(Settlement, on_delete=models.CASCADE, related_name="lines")
    place = models.PositiveIntegerField()
    order_ref = models.CharField(max_length=100, blank=True)  # as the company wrote it
    tracking_number = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    collected = MoneyField()
    fee = MoneyField(default=0)
    net = MoneyField()
    order = models.ForeignKey("orders.Order", on_delete=models.PROTECT, null=True, related_name="+")
    expected = MoneyField(null=True)  # what the company has of this order, by our books
    differences = ArrayField(models.CharField(max_length=24), default=list)
    remits = models.BooleanField(default=False)
    is_accepted = models.BooleanField(default=False)

    class Meta:
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["settlement", "place"], name="settlement_line_place"),
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(is_accepted=True, remits=True),
                name="settlement_order_once",
                violation_error_code="already_settled",
                violation_error_message="An accepted settlement has this order already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tracking_number or self.order_ref} {self.collected}"
