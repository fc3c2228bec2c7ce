"""Customers: personal data, behind scopes of their own."""

from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from integrations.mcp.principal import Principal
from integrations.mcp.registry import tool
from integrations.mcp.schemas import (
    BOOL,
    ID,
    INT,
    MAYBE_TEXT,
    MAYBE_TIME,
    MONEY,
    TEXT,
    UNTRUSTED,
    Input,
    Paged,
    array,
    listing,
    obj,
    page,
    project,
    rows_of,
)
from integrations.mcp.tools.catalog import check_version
from store_modules.customers import services
from store_modules.customers.models import Customer
from store_modules.customers.serializers import CustomerSerializer
from store_modules.customers.views import CustomerFilters
from storeplatform.kernel.errors import NotFound

SUMMARY = obj(
    id=ID, name=UNTRUSTED, primary_phone=TEXT, tags=array(TEXT), is_blocked=BOOL,
    orders_count=INT, total_spent=MONEY, last_order_at=MAYBE_TIME,
)  # fmt: skip
ADDRESS = obj(
    address_province_code=TEXT, address_area_id=ID, area_name=TEXT, address=UNTRUSTED,
    landmark=UNTRUSTED, is_default=BOOL,
)  # fmt: skip
CUSTOMER = obj(
    **SUMMARY["properties"],
    secondary_phone=MAYBE_TEXT,
    email=UNTRUSTED,
    notes=UNTRUSTED,
    blocked_reason=MAYBE_TEXT,
    delivered_count=INT,
    returned_count=INT,
    refusal_rate=MAYBE_TEXT,
    first_order_at=MAYBE_TIME,
    addresses=array(ADDRESS),
    version=INT,
)


class CustomerSearch(Paged):
    query: str | None = Field(None, max_length=200, description="Part of name, phone or e-mail.")
    tag: str | None = Field(None, max_length=50)
    since: AwareDatetime | None = Field(None, description="Only those known since then.")


@tool(
    "Search customers",
    "The store's customers, newest first, with what they bought in all.",
    scopes="customers:read",
    input=CustomerSearch,
    output=listing(SUMMARY),
)
def search_customers(principal: Principal, given: CustomerSearch) -> dict[str, Any]:
    actor = principal.actor
    return page(
        actor,
        Customer.objects.live().of(actor.store_id),
        CustomerSerializer,
        SUMMARY,
        given,
        filters=CustomerFilters,
        query={
            "tag": given.tag,
            "createdFrom": given.since.isoformat() if given.since else None,
        },
        words=given.query or "",
    )


class OneCustomer(Input):
    id: UUID


@tool(
    "Customer",
    "One customer: profile, addresses, totals, whether they are blocked, and the version that "
    "update_customer needs.",
    scopes="customers:read",
    input=OneCustomer,
    output=CUSTOMER,
)
def get_customer(principal: Principal, given: OneCustomer) -> dict[str, Any]:
    return customer_of(principal, given.id)


def customer_of(principal: Principal, pk: UUID) -> dict[str, Any]:
    actor = principal.actor
    mine = Customer.objects.live().of(actor.store_id).filter(pk=pk)
    found = rows_of(CustomerSerializer, actor, mine)
    if not found:
        raise NotFound("not_found", "There is no such customer; try search_customers.")
    answer: dict[str, Any] = project(CUSTOMER, found[0][0], actor.store.currency_code)
    return answer


class CustomerChange(Input):
    id: UUID
    version: int = Field(ge=1, description="The version that get_customer gave.")
    tags: list[str] | None = Field(None, max_length=20, description="Replaces all tags.")
    note: str | None = Field(None, max_length=2000, description="Replaces the note.")


@tool(
    "Change a customer",
    "Replaces a customer's tags or note. Names and phones are changed by people only.",
    scopes="customers:write",
    input=CustomerChange,
    output=CUSTOMER,
    writes=True,
)
def update_customer(principal: Principal, given: CustomerChange) -> dict[str, Any]:
    actor = principal.actor
    live = Customer.objects.live().of(actor.store_id).select_for_update(of=("self",))
    row = live.filter(pk=given.id).first()
    if row is None:
        raise NotFound("not_found", "There is no such customer; try search_customers.")
    check_version(row, given.version)
    values = {"tags": given.tags, "notes": given.note}
    serializer = CustomerSerializer(
        row,
        data={name: value for name, value in values.items() if value is not None},
        partial=True,
        context={"store": actor.store, "grants": actor.grants},
    )
    serializer.is_valid(raise_exception=True)
    services.save_customer(row, dict(serializer.validated_data), None, actor.store)
    return customer_of(principal, given.id)
