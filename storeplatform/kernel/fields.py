"""Model fields that every area shares."""

from typing import Any

from django.db import models


class MoneyField(models.DecimalField):  # type: ignore[type-arg]  # no runtime generics
    """An amount in the store's currency, numeric(18, 4); never float."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 18)
        kwargs.setdefault("decimal_places", 4)
        super().__init__(*args, **kwargs)


class PhoneField(models.CharField):  # type: ignore[type-arg]  # no runtime generics
    """A phone number as E.164, +9647701234567. `mobile` asks for one that can receive messages."""

    def __init__(self, *args: Any, mobile: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 16)
        self.mobile = mobile
        super().__init__(*args, **kwargs)
