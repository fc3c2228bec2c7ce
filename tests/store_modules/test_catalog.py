"""Categories, products and stock on both surfaces (guide.md, Product categories)."""

import pytest

from store_modules.catalog.models import InventoryItem, Product, StockMovement
from tests.clients import client_of, key_client_of
from tests.factories import a_member, a_product, a_store, an_order_body

CATEGORIES, PRODUCTS, INVENTORY = "/categories", "/products", "/inventory"


def make(api, name, parent=None):
    return api.post(CATEGORIES, {"name": name, "parentId": parent}).json()


def test_categories_nest_move_and_know_their_path(api):
    root, other = make(api, "Home"), make(api, "Garden")
    child = make(api, "Lamps", root["id"])
    leaf = make(api, "Desk lamps", child["id"])

    moved = api.put(f"{CATEGORIES}/{child['id']}", {"parentId": other["id"]}).json()

    assert moved["path"] == [other["id"], child["id"]]
    assert api.get(f"{CATEGORIES}/{leaf['id']}").json()["path"] == [
        other["id"], child["id"], leaf["id"],
    ]  # fmt: skip
    assert api.get(f"{CATEGORIES}/{leaf['id']}").json()["depth"] == 3
    tree = api.get(f"{CATEGORIES}?tree=true").json()["items"]
    garden = next(row for row in tree if row["name"] == "Garden")
    assert garden["children"][0]["children"][0]["name"] == "Desk lamps"
    assert api.get(f"{CATEGORIES}?parentId=root").json()["totalCount"] == 2
    assert api.get(f"{CATEGORIES}?parentId={child['id']}").json()["totalCount"] == 1


def test_a_category_cannot_stand_below_itself_or_too_deep(api):
    first = last = make(api, "1")
    for depth in range(2, 6):
        last = make(api, str(depth), last["id"])

    cycle = api.put(f"{CATEGORIES}/{first['id']}", {"parentId": last["id"]})
    itself = api.put(f"{CATEGORIES}/{first['id']}", {"parentId": first["id"]})
    deeper = api.post(CATEGORIES, {"name": "6", "parentId": last["id"]})

    assert cycle.json()["code"] == itself.json()["code"] == "category_cycle"
    assert deeper.status_code == 400


def test_names_are_unique_among_siblings_only(api):
    home = make(api, "Home")

    twin = api.post(CATEGORIES, {"name": "HOME"})
    below = api.post(CATEGORIES, {"name": "Home", "parentId": home["id"]})

    assert twin.status_code == 409
    assert below.status_code == 201


def test_a_category_in_use_is_not_deleted(api, store):
    """guide.md: blocked if subcategories or products exist."""
    root = make(api, "Home")
    child = make(api, "Lamps", root["id"])
    product = api.post(
        PRODUCTS, {"sku": "L", "name": "Lamp", "price": "1", "categoryId": child["id"]}
    ).json()

    with_child = api.delete(f"{CATEGORIES}/{root['id']}")
    with_product = api.delete(f"{CATEGORIES}/{child['id']}")
    api.delete(f"{PRODUCTS}/{product['id']}")

    assert with_child.status_code == with_product.status_code == 409
    assert with_child.json()["code"] == "category_in_use"
    assert with_child.json()["childCount"] == with_product.json()["productCount"] == 1
    assert api.delete(f"{CATEGORIES}/{child['id']}").status_code == 204
    assert api.get(f"{CATEGORIES}/{child['id']}").status_code == 404


def test_a_product_is_made_changed_and_softly_deleted(api):
    made = api.post(
        PRODUCTS,
        {
            "sku": "Mug-1", "name": "A mug", "price": 4000, "compareAtPrice": "5000",
            "costPrice": "2500", "tags": ["new"], "names": {"ar": "كوب"}, "quantityOnHand": 7,
        },
    )  # fmt: skip
    assert made.status_code == 201, made.content
    product = made.json()
    path = f"{PRODUCTS}/{product['id']}"

    changed = api.put(path, {"price": "4500", "description": None})

    assert (product["price"], product["quantityAvailable"]) == ("4000", 7)
    assert product["trackInventory"] is True
    assert changed.json()["price"] == "4500"
    assert changed.json()["compareAtPrice"] == "5000"
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == api.delete(path).status_code == 404
    again = api.post(PRODUCTS, {"sku": "MUG-1", "name": "Another", "price": "1"})
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sku": "bad sku"}, "sku"),
        ({"sku": ""}, "sku"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"price": "-1"}, "price"),
        ({"price": "1.5"}, "price"),
        ({"price": True}, "price"),
        ({"compareAtPrice": "5"}, "compareAtPrice"),
        ({"weightGrams": -1}, "weightGrams"),
        ({"quantityOnHand": -1}, "quantityOnHand"),
        ({"imageUrls": ["x"]}, "imageUrls.0"),
        ({"productType": "bundle"}, "productType"),
        ({"productType": "variant"}, "parentId"),
        ({"categoryId": "01890000-0000-7000-8000-000000000000"}, "categoryId"),
    ],
)
def test_what_a_product_cannot_be(api, body, field):
    answer = api.post(PRODUCTS, {"sku": "A", "name": "A", "price": "10"} | body)

    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_a_sku_is_unique_in_any_letter_case(api, store):
    a_product(store, sku="Mug")

    assert api.post(PRODUCTS, {"sku": "MUG", "name": "B", "price": "1"}).status_code == 409
    assert client_of(a_store()).post(
        PRODUCTS, {"sku": "MUG", "name": "B", "price": "1"}
    ).status_code == 201  # fmt: skip


def test_variants_hang_on_their_parent(api, store):
    parent = api.post(PRODUCTS, {"sku": "SHIRT", "name": "Shirt", "productType": "parent"}).json()
    red = {
        "sku": "SHIRT-R", "name": "Red", "productType": "variant", "price": "9000",
        "parentId": parent["id"], "options": {"colour": "red"},
    }  # fmt: skip

    made = api.post(PRODUCTS, red)
    twin = api.post(PRODUCTS, red | {"sku": "SHIRT-R2"})

    assert made.status_code == 201, made.content
    assert twin.status_code == 409
    assert parent["inventoryItemId"] is None
    assert api.delete(f"{PRODUCTS}/{parent['id']}").json()["code"] == "product_in_use"
    sale = api.post("/orders", an_order_body(store, *[(Product(sku="SHIRT"), 1)]))
    assert sale.json()["code"] == "not_sellable"


def test_a_reserved_product_is_not_deleted(api, key, store):
    product = a_product(store)
    key.post("/orders", an_order_body(store, (product, 1)))

    answer = api.delete(f"{PRODUCTS}/{product.pk}")

    assert answer.status_code == 409
    assert answer.json()["code"] == "product_in_use"


def test_costs_are_shown_only_to_those_who_may_see_them(api, store):
    product = a_product(store, cost_price=2500)
    blind = client_of(store, a_member(store, denies=["products.cost"]))
    reader = key_client_of(store, scopes=["catalog:read"])
    writer = key_client_of(store, scopes=["catalog:read", "catalog:write"])

    assert api.get(f"{PRODUCTS}/{product.pk}").json()["costPrice"] == "2500"
    assert "costPrice" not in blind.get(f"{PRODUCTS}/{product.pk}").json()
    assert "costPrice" not in reader.get("/catalog/products").json()["items"][0]
    assert writer.get("/catalog/products").json()["items"][0]["costPrice"] == "2500"


def test_a_key_upserts_by_sku(key):
    body = {"sku": "TEA", "name": "Tea", "price": "6500"}

    first = key.post("/catalog/products", body)
    second = key.post("/catalog/products", {"sku": "tea", "name": "Green tea"})

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    assert (second.json()["name"], second.json()["price"]) == ("Green tea", "6500")
    for spelling in ("/catalog", "/products"):
        assert key.get(spelling).json()["totalCount"] == 1


def test_products_come_in_bulk(key):
    rows = [{"sku": f"P{n}", "name": f"P {n}", "price": "1"} for n in range(3)]

    mixed = key.post("/catalog/products/bulk", {"products": [*rows, {"sku": "x y", "name": "n"}]})
    twice = key.post("/catalog/products/bulk", {"products": [rows[0], rows[0]]})
    many = key.post("/catalog/products/bulk", {"products": rows * 40})

    assert mixed.status_code == 207
    assert mixed.json()["summary"] == {"total": 4, "created": 3, "failed": 1}
    assert "products.3.sku" in mixed.json()["results"][3]["error"]["errors"]
    assert twice.json()["errors"]["skus"] == ["P0"]
    assert many.status_code == 400


def test_stock_is_counted_and_adjusted_with_a_ledger(key, api, store):
    product = a_product(store, quantity=10)
    item = InventoryItem.objects.get(product=product)

    counted = key.put(f"/catalog/inventory/{item.pk}", {"quantityOnHand": 8, "note": "count"})
    adjusted = key.post(
        "/catalog/inventory/adjust", {"sku": product.sku.lower(), "delta": -3, "reason": "damage"}
    )
    too_much = key.post(
        "/catalog/inventory/adjust",
        {"storeProductId": str(product.pk), "delta": -6, "reason": "loss"},
    )

    assert counted.json()["quantityOnHand"] == 8
    assert adjusted.json()["quantityAvailable"] == 5
    assert too_much.status_code == 409
    ledger = api.get(f"{INVENTORY}/movements?productId={product.pk}").json()["items"]
    assert [(row["delta"], row["reason"], row["balanceAfter"]) for row in ledger] == [
        (-3, "damage", 5), (-2, "count_correction", 8), (10, "opening", 10),
    ]  # fmt: skip
    assert sum(row["delta"] for row in ledger) == 5


def test_a_count_below_what_is_reserved_is_refused(key, store):
    product = a_product(store, quantity=10)
    key.post("/orders", an_order_body(store, (product, 6)))
    item = InventoryItem.objects.get(product=product)

    answer = key.put(f"/catalog/inventory/{item.pk}", {"quantityOnHand": 5})

    assert answer.status_code == 409
    assert answer.json()["code"] == "below_reserved"
    assert answer.json()["quantityReserved"] == 6


def test_stock_is_set_in_bulk(key, store):
    first, second = a_product(store, quantity=1), a_product(store, quantity=None)
    items = [{"sku": first.sku, "quantity": 9}, {"sku": second.sku, "quantity": 4}]

    done = key.put("/catalog/inventory/bulk", {"mode": "set", "items": items})
    some = key.put(
        "/catalog/inventory/bulk",
        {
            "mode": "adjust",
            "items": [{"sku": first.sku, "quantity": 1}, {"sku": "?", "quantity": 1}],
        },
    )
    twice = key.put("/catalog/inventory/bulk", {"mode": "set", "items": items + items})

    assert done.status_code == 200, done.content
    assert some.status_code == 207
    assert twice.json()["errors"]["skus"] == [first.sku, second.sku]
    first_item = InventoryItem.objects.get(product=first)
    assert first_item.quantity_on_hand == 10
    second.refresh_from_db()
    assert second.track_inventory is True
    assert StockMovement.objects.filter(product=second).get().delta == 4


def test_low_stock_and_filters(api, key, store):
    low, plenty = a_product(store, quantity=3, price=1000), a_product(store, quantity=50)
    untracked = a_product(store, quantity=None)
    category = make(api, "Home")
    api.put(f"{PRODUCTS}/{low.pk}", {"categoryId": category["id"]})

    def skus(query):
        return {row["sku"] for row in api.get(f"{PRODUCTS}?{query}").json()["items"]}

    assert skus("lowStock=true") == {low.sku}
    assert skus("inStock=true") == {low.sku, plenty.sku, untracked.sku}
    assert skus(f"categoryId={category['id']}") == {low.sku}
    assert skus("maxPrice=1000") == {low.sku}
    assert skus(f"search={plenty.name.upper()}") == {plenty.sku}
    assert skus("ordering=-onHand,name&pageSize=1") == {plenty.sku}
    low_items = key.get("/catalog/inventory?lowStock=true").json()["items"]
    assert [row["sku"] for row in low_items] == [low.sku]


def test_untracked_products_never_run_short_until_a_figure_exists(api, key, store):
    product = a_product(store, quantity=None)
    early = key.post("/orders", an_order_body(store, (product, 500))).json()
    api.post(f"{INVENTORY}/adjust", {"sku": product.sku, "delta": 20, "reason": "opening"})
    path = f"/orders/{early['id']}/transition"
    api.post(path, {"to": "confirmed"})

    short = api.post(path, {"to": "shipped"})
    api.post(f"{INVENTORY}/adjust", {"sku": product.sku, "delta": 500, "reason": "manual"})
    shipped = api.post(path, {"to": "shipped"})

    assert early["items"][0]["quantityReserved"] == 0
    assert short.status_code == 409
    assert short.json()["code"] == "insufficient_stock"
    assert shipped.status_code == 200
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 20
