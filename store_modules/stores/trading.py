"""Initialising and changing how a store trades (domain.md, section 2)."""

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from store_modules.stores.authentication import forget_sign_ins
from store_modules.stores.models import Store, StoreSettings
from store_modules.stores.serializers import first_weekday
from storeplatform.kernel.errors import Conflict, NotFound
from storeplatform.kernel.ports import Port

# Is there a row whose money is in the store's currency? Is there an order? Higher areas answer.
has_money: Port[[UUID], bool] = Port("has_money")
has_orders: Port[[UUID], bool] = Port("has_orders")


# The store's days are cut elsewhere from now on; reports answer.
timezone_changed: Port[[UUID], None] = Port("timezone_changed")


def lock_store(store_id: UUID) -> None:
    """Changes that look at all of a store's rows of a kind, such as which one is the default, wait
    for each other here; rows that name the store do not wait."""
    Store.objects.select_for_update(no_key=True).get(pk=store_id)


def settings_of(store_id: UUID) -> StoreSettings:
    settings = StoreSettings.objects.filter(store_id=store_id).first()
    if settings is None:
        raise NotFound("settings_not_initialized", "Initialise the settings first: POST /settings.")
    found: StoreSettings = settings
    return found


def already_initialised() -> Conflict:
    return Conflict(
        "settings_already_initialized", "The settings are initialised already; change them by PUT."
    )


@transaction.atomic
def initialise(store_id: UUID, values: dict[str, Any]) -> StoreSettings:
    """The store's one settings row; the second is refused by its unique store."""
    values.setdefault("week_starts_on", first_weekday(values["country_code"]))
    values.setdefault("storefront_payment_methods", ["cod"])
    values.setdefault("otp_countries", [values["country_code"]])
    try:
        with transaction.atomic():
            settings: StoreSettings = StoreSettings.objects.create(store_id=store_id, **values)
    except IntegrityError:
        raise already_initialised() from None
    transaction.on_commit(forget_sign_ins)
    return settings


@transaction.atomic
def change(settings: StoreSettings, values: dict[str, Any]) -> StoreSettings:
    """Change the locked row."""
    check_change(settings, values)
    former = settings.timezone
    for name, value in values.items():
        setattr(settings, name, value)
    settings.version += 1
    settings.save()
    if settings.timezone != former:
        timezone_changed(settings.store_id)
    return settings


def check_change(settings: StoreSettings, values: dict[str, Any]) -> None:
    """Currency and country stay once money or orders are written in them."""
    currency = values.get("currency_code", settings.currency_code)
    if currency != settings.currency_code and any(has_money(settings.store_id)):
        raise Conflict("currency_locked", "Amounts are written in this currency already.")
    country = values.get("country_code", settings.country_code)
    if country != settings.country_code and any(has_orders(settings.store_id)):
        raise Conflict("country_locked", "Orders have addresses in this country already.")
    transaction.on_commit(forget_sign_ins)
