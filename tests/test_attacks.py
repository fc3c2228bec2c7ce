"""What an attacker found once; each stays mended."""

import pytest

from tests.clients import client_of
from tests.factories import a_product, a_store, an_order_body


def test_an_invalid_transition_keeps_its_http_status(api, store):
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()
    api.post(f"/orders/{order['id']}/cancel", {})

    refused = api.post(f"/orders/{order['id']}/transition", {"to": "confirmed"})

    assert refused.json()["status"] == refused.status_code == 409
    assert refused.json()["current"] == {"status": "cancelled"}


def test_guide_duplicate_skus_are_told_beside_other_faults(key, store):
    product = a_product(store)
    body = an_order_body(store, (product, 1))
    body["items"] = [{"sku": "a-1", "quantity": 1}, {"sku": " A-1 ", "quantity": 1}]
    del body["payment_method"]

    refused = key.post("/orders", body)

    assert refused.json()["errors"]["skus"] == ["a-1"]
    assert refused.json()["errors"]["payment_method"]


def test_one_product_by_sku_and_by_id_is_a_duplicate(key, store):
    product = a_product(store)
    body = an_order_body(store, (product, 1))
    body["items"].append({"productId": str(product.pk), "quantity": 1})

    refused = key.post("/orders", body)

    assert (refused.status_code, refused.json()["errors"]) == (400, {"skus": [product.sku]})


def test_every_line_that_cannot_be_is_told(key, store):
    body = an_order_body(store, (a_product(store), 1), fulfillmentType="warehouse")
    body["items"] += [{"sku": "none-1", "quantity": 1}, {"sku": "none-2", "quantity": 1}]

    refused = key.post("/orders", body)

    assert refused.json()["code"] == "unknown_sku"
    assert refused.json()["errors"].keys() == {"items.1.sku", "items.2.sku"}


def test_customers_are_found_by_arabic_digits(api):
    api.post("/customers", {"name": "Ali", "primaryPhone": "07701234567"})

    assert api.get("/customers?search=٠٧٧٠١٢٣").json()["totalCount"] == 1


def test_a_customers_addresses_are_replaced(api, store):
    made = api.post("/customers", {"name": "Ali", "primaryPhone": "07701234567"}).json()
    order = an_order_body(store, (a_product(store), 1))
    address = {name: order[name] for name in ("addressProvinceCode", "addressAreaId")}

    changed = api.put(f"/customers/{made['id']}", {"addresses": [address]})
    wrong = api.put(f"/customers/{made['id']}", {"addresses": [{"label": "Home"}]})

    assert changed.status_code == 200, changed.content
    assert changed.json()["addresses"][0]["addressAreaId"] == address["addressAreaId"]
    assert wrong.status_code == 400
    assert "addresses.0.addressAreaId" in wrong.json()["errors"]


def test_a_website_names_its_customer_in_full(key, api, store):
    customer = api.post("/customers", {"name": "Ali", "primaryPhone": "07701234567"}).json()
    body = an_order_body(store, (a_product(store), 1))
    del body["customer"]

    refused = key.post("/orders", body | {"customerId": customer["id"]})

    assert refused.status_code == 400
    assert "customer" in refused.json()["errors"]


def test_an_unknown_row_is_told_before_a_bad_body(api):
    path = "/orders/01890000-0000-7000-8000-000000000000"

    assert api.request("put", path, b"{").status_code == 404
    assert api.put(path, {"items": 5}).status_code == 404


def test_an_order_in_a_body_that_is_not_the_stores_is_a_fault_of_its_field(api, store):
    theirs = a_store()
    order = client_of(theirs).post("/orders", an_order_body(theirs, (a_product(theirs), 1))).json()

    refused = api.post("/return-requests", {"orderId": order["id"]})

    assert refused.status_code == 400
    assert refused.json()["errors"].keys() == {"orderId"}


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", b"{", b'{"a": "\\u0000"}'])
def test_a_deed_without_a_body_refuses_a_malformed_one(api, store, body):
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()

    assert api.request("post", f"/orders/{order['id']}/duplicate", body).status_code == 400


def test_a_parent_product_needs_no_sku(api):
    parent = api.post("/products", {"name": "Shirt", "productType": "parent"})
    simple = api.post("/products", {"name": "Shirt"})

    assert parent.status_code == 201, parent.content
    assert parent.json()["sku"] is None
    assert simple.json()["errors"].keys() == {"sku"}


def test_an_encoded_key_in_an_address_is_noticed(key):
    text = key.headers["X_API_Key"]

    refused = key.get(f"/orders?key={text.replace('.', '%2E')}")

    assert refused.json()["code"] == "credential_in_url"


def test_a_deleted_row_is_named_by_no_body(api):
    parent = api.post("/products", {"name": "Shirt", "productType": "parent"}).json()
    api.delete(f"/products/{parent['id']}")

    variant = {"name": "M", "sku": "M", "productType": "variant", "options": {"size": "M"}}

    refused = api.post("/products", variant | {"parentId": parent["id"]})
    assert refused.status_code == 400
    assert refused.json()["errors"].keys() == {"parentId"}


NUL_PATHS = [
    "/customers?tag=%00", "/products?sku=%00", "/orders?externalRef=%00",
    "/categories?parentId=%00", "/audit-log?action=%00", "/expenses?category=%00",
]  # fmt: skip


@pytest.mark.parametrize("path", NUL_PATHS)
def test_control_characters_in_a_query_are_refused(api, path):
    assert api.get(path).status_code == 400


def test_control_characters_in_a_path_find_nothing(api, key):
    assert key.get("/orders/by-external-ref/%00").status_code == 404
    assert api.get("/api/v1/address-reference/provinces/%00/areas").status_code == 404


def test_a_parent_that_is_no_id_is_a_fault_of_the_query(api):
    assert api.get("/categories?parentId=shirts").status_code == 400


def test_a_stale_order_is_not_cancelled(api, store):
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()
    api.put(f"/orders/{order['id']}", {"notes": "Call first"})

    assert api.delete(f"/orders/{order['id']}", If_Match='"1"').status_code == 412
    assert api.post(f"/orders/{order['id']}/cancel", {"version": 1}).status_code == 409
    assert api.delete(f"/orders/{order['id']}", If_Match='"2"').status_code == 200


def test_an_empty_idempotency_key_is_none(key):
    refused = key.post("/orders", {}, Idempotency_Key='""')

    assert refused.json()["code"] == "invalid_idempotency_key"


def test_a_reference_with_a_slash_is_found(key, store):
    body = an_order_body(store, (a_product(store), 1), externalRef="2026/17")
    made = key.post("/orders", body).json()

    assert key.get("/orders/by-external-ref/2026%2F17").json()["id"] == made["id"]


def test_a_website_makes_no_drafts(key, store):
    made = key.post("/orders", an_order_body(store, (a_product(store), 1), isDraft=True))

    assert made.json()["status"] == "pending"


def test_a_store_trades_in_money(db):
    store = a_store(settings=False)
    body = {
        "currencyCode": "XXX",
        "timezone": "Asia/Baghdad",
        "industry": "general",
        "countryCode": "IQ",
    }

    refused = client_of(store).post("/settings", body)

    assert refused.json()["errors"].keys() == {"currencyCode"}


MOST = "99999999999999"


@pytest.mark.parametrize("path", ["/orders", "/orders/quote"])
def test_an_order_is_worth_no_more_than_can_be_kept(key, store, path):
    body = an_order_body(store, (a_product(store), 2))
    body["items"][0]["unitPrice"] = MOST

    refused = key.post(path, body)

    assert (refused.status_code, refused.json()["code"]) == (400, "number_too_large")


def test_one_bulk_row_of_too_much_money_leaves_the_others_their_results(key, store):
    rows = [an_order_body(store, (a_product(store), 2)) for _ in range(3)]
    rows[1]["items"][0]["unitPrice"] = MOST

    answer = key.post("/orders/bulk", {"orders": rows})

    assert answer.status_code == 207
    assert [row["status"] for row in answer.json()["results"]] == ["created", "failed", "created"]


def test_stock_grows_no_further_than_can_be_counted(key, store):
    product = a_product(store, quantity=2**31 - 1)

    refused = key.post(
        "/catalog/inventory/adjust", {"sku": product.sku, "delta": 5, "reason": "manual"}
    )

    assert (refused.status_code, refused.json()["code"]) == (400, "number_too_large")


def test_a_range_of_days_runs_forwards(api):
    assert api.get("/orders?from=2026-11-24&to=2026-11-23").json()["errors"].keys() == {"from"}
    assert api.get("/orders?from=2026-11-24&to=2026-11-24").status_code == 200
