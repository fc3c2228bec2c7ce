"""The store itself, and the places it delivers to."""

from typing import Any

from pydantic import Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_TEXT,
    MONEY,
    TEXT,
    Input,
    Schema,
    array,
    obj,
    project,
)
from store_modules.geography.models import Area, Province
from store_modules.stores.models import StoreSettings
from storeplatform.kernel.errors import NotFound
from storeplatform.kernel.viewsets import search

MAX_AREAS = 100
POLICIES = obj(
    delivery=obj(default_fee=MONEY, fee_payer=TEXT, codes_needed_for_orders=BOOL),
    payment=obj(storefront_methods=array(TEXT), refund_limit=MONEY),
    tax=obj(rate_percent=TEXT, prices_include_tax=BOOL),
)
INFO = obj(
    id=ID,
    name=TEXT,
    currency=MAYBE_TEXT,
    time_zone=MAYBE_TEXT,
    country=MAYBE_TEXT,
    locales=array(TEXT),
    policies={**POLICIES, "type": ["object", "null"]},
)


def profile(principal: Principal) -> dict[str, Any]:
    """Name, currency, time zone, locales and policies; the latter are null before the settings."""
    facts = principal.actor.store
    trade = StoreSettings.objects.filter(store_id=facts.id).first()
    currency = facts.currency_code
    policies = trade and {
        "delivery": {
            "default_fee": project(MONEY, trade.default_delivery_fee, currency),
            "fee_payer": trade.delivery_fee_payer,
            "codes_needed_for_orders": trade.require_otp_for_storefront,
        },
        "payment": {
            "storefront_methods": trade.storefront_payment_methods,
            "refund_limit": project(MONEY, trade.refund_limit, currency),
        },
        "tax": {
            "rate_percent": str(trade.tax_rate),
            "prices_include_tax": trade.prices_include_tax,
        },
    }
    return {
        "id": str(facts.id),
        "name": facts.name,
        "currency": currency or None,
        "time_zone": facts.timezone or None,
        "country": facts.country_code or None,
        "locales": ["ar", "en", "ku"],
        "policies": policies,
    }


@tool(
    "Store information",
    "The store's name, currency, time zone and policies. Call it first when amounts or times "
    "matter.",
    scopes="catalog:read",
    output=INFO,
)
def get_store_info(principal: Principal, given: Input) -> dict[str, Any]:
    return profile(principal)


class Provinces(Input):
    country: str | None = Field(
        None, pattern=r"^[A-Z]{2}$", description="ISO country code; the store's own by default."
    )


@tool(
    "Provinces",
    "The provinces of a country with the codes that addresses need. Provinces that are groups "
    "are no address: take one of their own.",
    scopes="catalog:read",
    input=Provinces,
    output=obj(items=array(obj(code=TEXT, name=TEXT, names={"type": "object"}, is_group=BOOL))),
)
def list_provinces(principal: Principal, given: Provinces) -> dict[str, Any]:
    country = given.country or principal.actor.store.country_code or "IQ"
    rows = Province.objects.filter(country_code=country, is_active=True)
    return {
        "items": [
            {"code": row.code, "name": row.name, "names": row.names, "is_group": row.is_group}
            for row in rows
        ]
    }


class Areas(Input):
    province: str = Field(max_length=10, description="A province's code, IQ-BG.")
    query: str | None = Field(None, max_length=200, description="Part of the area's name.")


AREA: Schema = obj(id=ID, name=TEXT, names={"type": "object"}, kind=TEXT)


@tool(
    "Areas of a province",
    "Areas of a province with the ids that addresses need: the best hundred for the words.",
    scopes="catalog:read",
    input=Areas,
    output=obj(items=array(AREA), total=INT),
)
def list_areas(principal: Principal, given: Areas) -> dict[str, Any]:
    province = Province.objects.filter(pk=given.province.upper(), is_active=True).first()
    if province is None:
        raise NotFound("not_found", "There is no such province; list_provinces has the codes.")
    rows = Area.objects.filter(province=province, is_active=True)
    if given.query:
        rows = search(rows, given.query)
    return {
        "items": [
            {"id": str(row.id), "name": row.name, "names": row.names, "kind": row.kind}
            for row in rows[:MAX_AREAS]
        ],
        "total": rows.count(),
    }
