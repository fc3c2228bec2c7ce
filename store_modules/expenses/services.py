"""Expenses, and those of them that are paid out of a drawer."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from store_modules.cashier.drawer import correct, pay_out
from store_modules.expenses.models import Expense, PaymentMethod
from storeplatform.kernel.errors import Conflict, refuse
from storeplatform.kernel.tenancy import Actor, StoreFacts


def today(facts: StoreFacts) -> date:
    return timezone.now().astimezone(ZoneInfo(facts.timezone or "UTC")).date()


@transaction.atomic
def save_expense(actor: Actor, expense: Expense, values: dict[str, Any]) -> Expense:
    """Create or change. One of a drawer is a pay-out of its open session, and stays as it is once
    the session is closed (Conflict `session_closed`)."""
    created = expense._state.adding
    refuse_if_counted(expense)
    before = expense.amount if not created and expense.cashier_session_id else None
    session = values.get("cashier_session", expense.cashier_session)
    if not created and session != expense.cashier_session:
        raise refuse("cashierSessionId", "immutable", "It stays with its session.")
    for name, value in values.items():
        setattr(expense, name, value)
    if expense.date > today(actor.store) + timedelta(days=1):
        raise refuse("date", "invalid", "Not later than tomorrow.")
    if session is not None and expense.payment_method != PaymentMethod.CASH:
        raise refuse("payment_method", "invalid", "What a drawer pays is cash.")
    if not created:
        expense.version += 1
    expense.save()
    if session is not None and created:
        pay_out(actor, session, expense.amount, reason=expense.category, expense_id=expense.pk)
    elif before is not None and session is not None:
        correct(actor, session, expense.pk, expense.amount - before, reason=expense.category)
    return expense


@transaction.atomic
def delete_expense(actor: Actor, expense: Expense) -> None:
    """The money goes back into the drawer that it came from."""
    refuse_if_counted(expense)
    if expense.cashier_session is not None:
        session, amount = expense.cashier_session, expense.amount
        correct(actor, session, expense.pk, -amount, reason=expense.category)
    expense.delete()


def refuse_if_counted(expense: Expense) -> None:
    session = expense.cashier_session
    if session is not None and session.closed_at is not None:
        raise Conflict("session_closed", "Its drawer was counted and closed.")
