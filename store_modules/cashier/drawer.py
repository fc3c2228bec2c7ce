"""Sessions of a drawer: opening, cash in and out, counting and closing."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from store_modules.cashier.models import CashierSession, CashierSettings, DrawerEntry
from storeplatform.kernel.errors import Conflict, Denied, NotFound, refuse
from storeplatform.kernel.money import MAX_AMOUNT, format_money
from storeplatform.kernel.numbers import take_numbers
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.ports import Port
from storeplatform.kernel.problems import on_violation
from storeplatform.kernel.tenancy import Actor

Kind, CASH = DrawerEntry.Kind, DrawerEntry.Method.CASH
ZERO = Decimal(0)
CLOSE_OTHERS = "cashier.close_others"

# Does the store have this template for receipts? Printing answers.
receipt_template_exists: Port[[UUID, UUID], bool] = Port("receipt_template_exists")


def settings_of_till(store_id: UUID) -> CashierSettings:
    """The store's row, made when first asked for."""
    settings: CashierSettings | None = CashierSettings.objects.filter(store_id=store_id).first()
    return settings or CashierSettings.objects.get_or_create(store_id=store_id)[0]


def has_amounts(store_id: UUID) -> bool:
    """Whether a drawer, or the till's settings, are written in the store's currency."""
    tills = CashierSettings.objects.of(store_id).exclude(
        cash_rounding=None, variance_reason_above=None, denominations=[]
    )
    return CashierSession.objects.of(store_id).exists() or tills.exists()


def check_settings(store_id: UUID, values: Mapping[str, Any]) -> None:
    template_id = values.get("receipt_template_id")
    if template_id and not any(receipt_template_exists(store_id, template_id)):
        raise refuse("receiptTemplateId", "not_found", "There is no such template for receipts.")


@on_violation("cashier_one_session_a_register")
def session_of_the_register(values: dict[str, str]) -> dict[str, Any]:
    open_ = CashierSession.objects.filter(
        store_id=values["store_id"], register_code=values["register_code"], closed_at=None
    )
    return {"sessionId": open_.values_list("pk", flat=True).first()}


@on_violation("cashier_one_session_a_person")
def session_of_the_person(values: dict[str, str]) -> dict[str, Any]:
    open_ = CashierSession.objects.filter(
        store_id=values["store_id"], opened_by__id=values["opened_by_id"], closed_at=None
    )
    return {"sessionId": open_.values_list("pk", flat=True).first()}


def person_of(actor: Actor) -> UUID:
    """Only people stand at a till."""
    if actor.user_id is None:
        raise Denied("missing_permission", "Only a person opens a drawer.")
    return actor.user_id


def session_number(store_id: UUID) -> str:
    """The next SES number, taken outside the session's transaction."""
    return f"SES-{take_numbers(store_id, 'session')[0]}"


def sale_number(store_id: UUID) -> str:
    """The next POS number, taken outside the sale's transaction."""
    return f"POS-{take_numbers(store_id, 'sale')[0]}"


@transaction.atomic
def open_session(
    actor: Actor,
    number: str,
    *,
    opening_float: Decimal | None,
    register_code: str | None,
    notes: str | None,
) -> CashierSession:
    """Begin with the cash in the drawer. Raises Conflict `session_already_open` by constraint."""
    settings = settings_of_till(actor.store_id)
    codes = [register["code"] for register in settings.registers]
    code = register_code or codes[0]
    if code not in codes:
        raise refuse("registerCode", "not_found", f"One of: {', '.join(codes)}.")
    if opening_float is None and settings.require_opening_float:
        raise refuse("openingFloat", "required", "Count the cash that is in the drawer.")
    former = CashierSession.objects.filter(
        store_id=actor.store_id, register_code=code, closed_at__isnull=False
    ).order_by("-closed_at")
    session: CashierSession = CashierSession.objects.create(
        store_id=actor.store_id,
        number=number,
        register_code=code,
        opened_by_id=person_of(actor),
        opened_at=timezone.now(),
        opening_float=opening_float or ZERO,
        expected_opening=former.values_list("left_in_drawer", flat=True).first(),
        notes=notes,
    )
    return session


def active_session(actor: Actor) -> CashierSession | None:
    """The caller's own open session."""
    mine = CashierSession.objects.filter(
        store_id=actor.store_id, opened_by_id=actor.user_id, closed_at=None
    )
    found: CashierSession | None = mine.first()
    return found


def locked_session(store_id: UUID, session_id: UUID) -> CashierSession:
    """A session whose money is about to go down; raises Conflict `session_closed`."""
    rows = CashierSession.objects.filter(store_id=store_id, pk=session_id)
    session: CashierSession | None = rows.select_for_update(of=("self",)).first()
    if session is None:
        raise NotFound
    if session.closed_at is not None:
        raise Conflict("session_closed", "This session is closed already.")
    return session


def cash_in(session: CashierSession) -> Decimal:
    """What the drawer holds by its entries."""
    ins, outs = Q(kind__in=[Kind.SALE, Kind.PAY_IN]), Q(kind__in=[Kind.REFUND, Kind.PAY_OUT])
    sums = session.entries.filter(method=CASH).aggregate(
        taken=Sum("amount", filter=ins), given=Sum("amount", filter=outs)
    )
    taken, given = sums["taken"] or ZERO, sums["given"] or ZERO
    held: Decimal = session.opening_float + taken - given
    return held


def take_out_of(session: CashierSession, amount: Decimal) -> None:
    """Refuses what the locked session's drawer does not hold."""
    if amount > cash_in(session):
        raise Conflict("drawer_short", "There is less cash in the drawer.")


@transaction.atomic
def move_cash(
    actor: Actor,
    session_id: UUID,
    kind: str,
    amount: Decimal,
    *,
    reason: str,
    expense_id: UUID | None = None,
) -> DrawerEntry:
    """Cash put into the drawer or taken out of it. Raises Conflict `drawer_short`."""
    session = locked_session(actor.store_id, session_id)
    if kind == Kind.PAY_OUT:
        take_out_of(session, amount)
    elif cash_in(session) + amount > MAX_AMOUNT:
        raise refuse("amount", "max_value", f"A drawer holds at most {MAX_AMOUNT}.")
    entry: DrawerEntry = DrawerEntry.objects.create(
        store_id=actor.store_id,
        session=session,
        kind=kind,
        amount=amount,
        reason=reason,
        expense_id=expense_id,
        actor_id=actor.id,
    )
    return entry


def pay_out(
    actor: Actor, session: CashierSession, amount: Decimal, *, reason: str, expense_id: UUID
) -> None:
    """An expense paid from the drawer."""
    move_cash(actor, session.pk, Kind.PAY_OUT, amount, reason=reason, expense_id=expense_id)


def correct(
    actor: Actor, session: CashierSession, expense_id: UUID, change: Decimal, *, reason: str
) -> None:
    """The expense cost more or less than was booked."""
    if change:
        kind = Kind.PAY_OUT if change > 0 else Kind.PAY_IN
        move_cash(actor, session.pk, kind, abs(change), reason=reason, expense_id=expense_id)


@transaction.atomic
def close_session(
    actor: Actor,
    session_id: UUID,
    *,
    counted_cash: Decimal,
    left_in_drawer: Decimal | None,
    variance_reason: str | None,
    denominations: Any = None,
) -> CashierSession:
    """Close with the cash counted. A difference never stops it, but a large one wants a reason.
    Raises Conflict `session_closed`, Denied for another person's drawer."""
    session = locked_session(actor.store_id, session_id)
    if session.opened_by_id != actor.user_id and not actor.may(CLOSE_OTHERS):
        raise Denied(
            "missing_permission",
            f"Another person's session needs {CLOSE_OTHERS}.",
            details={"requiredPermission": CLOSE_OTHERS},
        )
    if left_in_drawer is not None and left_in_drawer > counted_cash:
        raise refuse("leftInDrawer", "invalid", "Not more than was counted.")
    expected = cash_in(session)
    variance = counted_cash - expected
    bearable = settings_of_till(actor.store_id).variance_reason_above
    if bearable is not None and abs(variance) > bearable and not variance_reason:
        raise refuse("varianceReason", "required", "The difference is large; say why.")
    session.closed_at, session.closed_by_id = timezone.now(), actor.user_id
    session.counted_cash, session.expected_cash = counted_cash, expected
    session.variance, session.variance_reason = variance, variance_reason
    session.left_in_drawer = left_in_drawer if left_in_drawer is not None else counted_cash
    session.denominations = denominations
    session.version += 1
    session.save()
    shown = format_money(variance, actor.store.currency_code)
    emit(
        "cashier.session_closed",
        store_id=session.store_id,
        subject_id=session.pk,
        sequence=session.version,
        data={"id": str(session.pk), "number": session.number, "variance": shown},
    )
    return session
