"""Another store's row does not exist: every route with an id, on both surfaces, with real rows."""

import uuid

import pytest

from chat.models import CannedReply, Channel
from integrations.api_keys.models import ApiKey
from integrations.mcp.models import PendingAction
from integrations.mcp.oauth.models import Agent
from integrations.webhooks.models import Endpoint
from store_modules.cashier.models import CashierSession
from store_modules.catalog.models import Category, InventoryItem, Product
from store_modules.customers.models import Customer
from store_modules.delivery.models import CompanyLink, Dispatch, Settlement
from store_modules.discounts.models import DiscountCode, DiscountRule
from store_modules.expenses.models import Expense
from store_modules.orders.models import Order, ReturnRequest
from store_modules.printing.models import PrintTemplate
from store_modules.purchasing.models import PurchaseOrder, Supplier
from store_modules.shipping.models import PackageSize, ShippingRule
from store_modules.spreadsheets.models import ImportJob
from storeplatform.urls import key_router, store_router
from tests.clients import client_of, key_client_of, multipart
from tests.factories import a_channel, a_customer, a_product, a_store, an_order_body
from tests.mcp.agents import a_pending_action, an_agent
from tests.test_surface import VALID_BODIES
from tickets.models import Ticket


def a_category(store):
    body = {"name": "Home"}
    return client_of(store).post("/categories", body).json()["id"]


def an_order(store):
    body = an_order_body(store, (a_product(store), 1))
    return client_of(store).post("/orders", body).json()["id"]


def made(path, body):
    return lambda store: client_of(store).post(path, body).json()["id"]


def a_return(store):
    client = client_of(store)
    order = an_order(store)
    for to in ("confirmed", "shipped", "delivered"):
        client.post(f"/orders/{order}/transition", {"to": to})
    return client.post("/return-requests", {"orderId": order}).json()["id"]


def a_purchase(store):
    supplier = made("/suppliers", {"name": "Basra Trading"})(store)
    line = {"productId": a_product(store).pk, "quantity": 2, "unitCost": "500"}
    return made("/purchase-orders", {"supplierId": supplier, "items": [line]})(store)


def a_sale(store):
    client = client_of(store)
    client.post("/cashier/sessions/open", {"openingFloat": "0"})
    body = {
        "items": [{"sku": a_product(store).sku, "quantity": 1}],
        "payments": [{"method": "cash", "amount": "10000"}],
        "clientSaleId": str(uuid.uuid4()),
    }
    return client.post("/cashier/sales", body).json()["id"]


def an_import(store):
    file = b"sku,name\nA,a\n"
    return multipart(client_of(store), "/products/import", "a.csv", file).json()["id"]


def a_dispatch(store):
    client, order = client_of(store), an_order(store)
    made("/delivery-providers/links", LINK)(store)
    client.post(f"/orders/{order}/transition", {"to": "confirmed"})
    return made("/dispatches", {"orderId": order, "deliveryCompanySlug": "nawa"})(store)


def a_settlement(store):
    made("/delivery-providers/links", LINK)(store)
    line = {"trackingNumber": "NW-1", "collected": "5000"}
    body = {
        "deliveryCompanySlug": "nawa", "reference": "ST-1", "date": "2026-01-01",
        "declaredTotal": "5000", "lines": [line],
    }  # fmt: skip
    return made("/settlements", body)(store)


LINK = {"deliveryCompanySlug": "nawa", "username": "shop", "password": "secret"}
PERCENT = {"name": "Spring", "type": "percentage", "value": "10"}


# A new resource without a maker fails here.
MAKE = {
    Product: lambda store: a_product(store).pk,
    Category: a_category,
    InventoryItem: lambda store: InventoryItem.objects.get(product=a_product(store)).pk,
    Customer: lambda store: a_customer(store).pk,
    "cashier/sales": a_sale,
    Order: an_order,
    ReturnRequest: a_return,
    Supplier: made("/suppliers", {"name": "Basra Trading"}),
    PurchaseOrder: a_purchase,
    DiscountRule: made("/discounts/rules", PERCENT),
    DiscountCode: made("/discounts/codes", PERCENT | {"code": "SPRING"}),
    ShippingRule: made("/shipping/rules", {"name": "Far", "baseFee": "3000"}),
    PackageSize: made("/package-sizes", {"name": "Small"}),
    PrintTemplate: made("/print-templates", {"name": "A", "type": "Invoice", "body": "x"}),
    Expense: made("/expenses", {"amount": "500", "category": "rent", "date": "2026-01-01"}),
    CashierSession: made("/cashier/sessions/open", {"openingFloat": "1000"}),
    ImportJob: an_import,
    Channel: lambda store: a_channel(store).pk,
    CannedReply: made(
        "/chat/canned-replies", {"shortcode": "hello", "title": "Hello", "body": "Hello."}
    ),
    CompanyLink: made("/delivery-providers/links", LINK),
    Dispatch: a_dispatch,
    Settlement: a_settlement,
    Ticket: made("/tickets", {"subject": "Where is it?"}),
    ApiKey: lambda store: key_client_of(store).key_id,
    Endpoint: made("/webhooks", {"url": "https://localhost/hooks", "events": ["*"]}),
    Agent: lambda store: an_agent(store).pk,
    PendingAction: lambda store: a_pending_action(store).pk,
}
LIST_ONLY = {"audit-log", "oauth-mcp/calls", "inventory/movements", "catalog/inventory/movements"}
BODIES = {
    "to": "cancelled",
    "name": "stolen",
    "quantityOnHand": 1,
    "gracePeriodHours": 0,
    "intoCustomerId": "01890000-0000-7000-8000-000000000000",
}

UPDATES = {"put": "update", "patch": "partial_update"}


def resources():
    for base, router, client in (
        ("/api/v1/store", store_router, client_of),
        ("/api/v1/store/integrations", key_router, key_client_of),
    ):
        for prefix, viewset, _ in router.registry:
            if prefix not in LIST_ONLY:
                yield f"{base}/{prefix}", viewset, client


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "viewset", "client"), list(resources()))
def test_another_stores_row_does_not_exist(path, viewset, client):
    owner, stranger = a_store(), client(a_store())
    pk = (MAKE.get(path.rpartition("/store/")[2]) or MAKE[viewset.queryset.model])(owner)
    own = client(owner)
    before = own.get(f"{path}/{pk}").json()
    deeds = [
        (deed.url_path, VALID_BODIES.get(name, BODIES))
        for deed in viewset.get_extra_actions()
        if deed.detail and "<" not in deed.url_path
        for method, name in deed.mapping.items()
        if method == "post"
    ]

    answers = [
        getattr(stranger, method)(f"{path}/{pk}", *([BODIES] if method != "delete" else []))
        for method in ("put", "patch", "delete")
    ]
    answers += [stranger.get(f"{path}/{pk}")]
    answers += [stranger.post(f"{path}/{pk}/{deed}", body) for deed, body in deeds]

    assert {answer.status_code for answer in answers} <= {404, 405}, [a.content for a in answers]
    assert 404 in {answer.status_code for answer in answers}
    assert str(pk) not in stranger.get(path).content.decode()
    assert own.get(f"{path}/{pk}").json() == before


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "viewset", "client"), list(resources()))
def test_a_version_that_is_no_whole_number_is_told_by_its_name(path, viewset, client):
    store = a_store()
    own = client(store)
    pk = (MAKE.get(path.rpartition("/store/")[2]) or MAKE[viewset.queryset.model])(store)
    url = f"{path}/{pk}"
    body = {"quantityOnHand": 1} if "inventory" in path else {}
    methods = [name for name in ("put", "patch") if hasattr(viewset, UPDATES[name])]

    answers = [
        getattr(own, method)(url, body | {"version": version})
        for method in methods
        for version in ("1", "a", 1.0, 1.5, True, [], {})
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
        assert "version" in answer.json()["errors"]
