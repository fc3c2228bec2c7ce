"""Expenses on the wire."""

import re
from typing import Any

from rest_framework import serializers

from store_modules.cashier.models import CashierSession
from store_modules.expenses.models import CATEGORIES, Expense
from store_modules.purchasing.models import Attachment
from storeplatform.kernel.serializers import Money, StoreRelatedField, WireSerializer

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class Category(serializers.CharField):
    """One of ours or the store's own word: letters, digits, `-` and `_`, in lower case."""

    def to_internal_value(self, data: Any) -> str:
        word = super().to_internal_value(data).strip().lower()
        if not SLUG.fullmatch(word):
            words = ", ".join(CATEGORIES)
            raise serializers.ValidationError(
                f"One of {words}, or a word of your own of letters, digits, - and _.",
                code="invalid",
            )
        return word


class ExpenseSerializer(WireSerializer[Expense]):
    aliases = {"paymentMethod": "payment_method"}

    category = Category(max_length=40)
    amount = Money()
    cashier_session = StoreRelatedField(
        queryset=CashierSession.objects.all(), required=False, allow_null=True
    )

    attachment = StoreRelatedField(
        queryset=Attachment.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = Expense
        snake_case = ["payment_method"]
        fields = [
            "id", "amount", "category", "date", "description", "payment_method", "supplier",
            "cashier_session", "attachment", "client_ref", "currency_code", "version", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["currency_code", "version"]

    def validate_amount(self, amount: Any) -> Any:
        if amount <= 0:
            raise serializers.ValidationError("More than nothing.", code="min_value")
        return amount
