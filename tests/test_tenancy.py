"""Another store's row does not exist: every route with an id, on both surfaces, with real rows."""

import pytest

from integrations.api_keys.models import ApiKey
from store_modules.catalog.models import Category, InventoryItem, Product
from store_modules.customers.models import Customer
from store_modules.orders.models import Order
from storeplatform.urls import key_router, store_router
from tests.clients import client_of, key_client_of
from tests.factories import a_customer, a_product, a_store, an_order_body


def a_category(store):
    body = {"name": "Home"}
    return client_of(store).post("/categories", body).json()["id"]


def an_order(store):
    body = an_order_body(store, (a_product(store), 1))
    return client_of(store).post("/orders", body).json()["id"]


# A new resource without a maker fails here.
MAKE = {
    Product: lambda store: a_product(store).pk,
    Category: a_category,
    InventoryItem: lambda store: InventoryItem.objects.get(product=a_product(store)).pk,
    Customer: lambda store: a_customer(store).pk,
    Order: an_order,
    ApiKey: lambda store: key_client_of(store).key_id,
}
LIST_ONLY = {"audit-log", "inventory/movements", "catalog/inventory/movements"}
BODIES = {
    "to": "cancelled",
    "name": "stolen",
    "quantityOnHand": 1,
    "gracePeriodHours": 0,
    "intoCustomerId": "01890000-0000-7000-8000-000000000000",
}


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
    pk = MAKE[viewset.queryset.model](owner)
    own = client(owner)
    before = own.get(f"{path}/{pk}").json()
    deeds = [action.url_path for action in viewset.get_extra_actions() if action.detail]

    answers = [
        getattr(stranger, method)(f"{path}/{pk}", *([BODIES] if method != "delete" else []))
        for method in ("put", "patch", "delete")
    ]
    answers += [stranger.get(f"{path}/{pk}")]
    answers += [stranger.post(f"{path}/{pk}/{deed}", BODIES) for deed in deeds]

    assert {answer.status_code for answer in answers} <= {404, 405}, [a.content for a in answers]
    assert 404 in {answer.status_code for answer in answers}
    assert str(pk) not in stranger.get(path).content.decode()
    assert own.get(f"{path}/{pk}").json() == before
