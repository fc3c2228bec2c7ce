"""CSV out of a store and into it (issue "Every module of the store", point 9)."""

import csv
import io
import json
import uuid

import pytest
from django.db.models import Sum

from store_modules.catalog.models import Category, InventoryItem, Product, StockMovement
from store_modules.customers.models import Customer
from store_modules.expenses.models import Expense
from store_modules.orders.models import Order
from store_modules.spreadsheets import importing, views
from store_modules.spreadsheets.csv_files import cell_of, guarded, joined, split, unguarded
from store_modules.spreadsheets.models import ImportJob
from storeplatform.kernel import outbox
from storeplatform.kernel.models import AuditEvent, OutboxEvent
from tests.clients import client_of, multipart
from tests.factories import a_customer, a_member, a_product, a_store, an_area, an_order_body

KINDS = ["products", "customers", "orders", "expenses"]


def exported(client, path):
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    content = b"".join(answer.streaming_content)
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def upload(client, kind, content, query="", **headers):
    content = content.encode() if isinstance(content, str) else content
    return multipart(client, f"/{kind}/import{query}", "file.csv", content, **headers)


def work():
    """What the background worker does until nothing is due."""
    while outbox.drain():
        pass


def imported(client, kind, content, query=""):
    answer = upload(client, kind, content, query)
    assert answer.status_code == 202, answer.content
    work()
    job = client.get(f"/imports/{answer.json()['id']}").json()
    assert job["done"] == job["total"] == job["created"] + job["updated"] + job["failed"]
    return job


def figures(job):
    return tuple(job[name] for name in ("status", "created", "updated", "failed"))


def table(*rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


# Cells


@pytest.mark.parametrize(
    "text", ["=1+1", "+964", "-5", "@x", "\tx", "\rx", "'=1", "''=1", "'x", "x", ""]
)
def test_a_guarded_cell_gives_its_text_back(text):
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("texts", [["a", "b"], ["a|b", "c"], ["[a"], [" a"], [""], []])
def test_lists_in_a_cell_are_read_back(texts):
    assert split(joined(texts)) == texts


@pytest.mark.parametrize(
    ("value", "number", "cell"),
    [
        ("-5.00", True, "-5.00"), ("-5.00", False, "'-5.00"), (-5, False, "-5"), (None, True, ""),
        (True, False, "true"), (["-a", "b"], False, "'-a|b"), ({"a": 1}, False, '{"a":1}'),
    ],
)  # fmt: skip
def test_amounts_stay_numbers_and_texts_cannot_run(value, number, cell):
    assert cell_of(value, is_number=number) == cell


# Out


def test_an_export_is_the_list_with_its_query(api, store):
    for number in range(3):
        a_product(store, name=f"Tea {number}", price=1000 * (number + 1))
    a_product(store, name="Coffee")

    rows = exported(api, "/products/export.csv?search=tea&maxPrice=2500&ordering=-price")

    assert [row["name"] for row in rows] == ["Tea 1", "Tea 0"]
    listed = api.get("/products?search=tea&maxPrice=2500&ordering=-price").json()["items"]
    assert set(listed[0]) <= set(rows[0])
    assert rows[0]["price"] == listed[0]["price"]
    assert rows[0]["quantityOnHand"] == "100"


@pytest.mark.parametrize("query", ["search=" + "x" * 300, "ordering=;drop", "minPrice=NaN"])
def test_an_exports_query_is_checked_before_it_begins(api, query):
    answer = api.get(f"/products/export.csv?{query}")

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


def test_formulas_in_exported_texts_do_not_run(api, store):
    api.post("/customers", {"name": "=cmd|' /C calc'!A0", "primaryPhone": "07701234567"})
    api.post("/expenses", {"amount": "5", "category": "rent", "date": "2026-01-01",
                           "description": "@SUM(A1)"})  # fmt: skip

    (customer,) = exported(api, "/customers/export.csv")
    (expense,) = exported(api, "/expenses/export.csv")

    assert customer["name"] == "'=cmd|' /C calc'!A0"
    assert customer["primaryPhone"] == "'+9647701234567"
    assert customer["totalSpent"] == "0"
    assert expense["description"] == "'@SUM(A1)"
    assert expense["amount"] == "5"


def test_an_export_is_a_file_to_keep_and_is_audited(api, store):
    a_customer(store, name="سارة")

    answer = api.get("/customers/export.csv?isBlocked=false", Accept="text/csv")

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="customers-')
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "سارة" in b"".join(answer.streaming_content).decode()
    event = AuditEvent.objects.get(action="customers.exported")
    assert event.store_id == store.pk
    assert event.changes == {"query": "isBlocked=false"}


def test_exports_hold_only_the_stores_own_rows(api, store):
    other = a_store()
    a_product(other)
    client_of(other).post("/orders", an_order_body(other, (a_product(other), 1)))
    client_of(other).post("/expenses", {"amount": "5", "category": "rent", "date": "2026-01-01"})

    assert [exported(api, f"/{kind}/export.csv") for kind in KINDS] == [[], [], [], []]


def test_a_long_export_is_made_of_pages_that_neither_lose_nor_repeat(
    api, store, monkeypatch, queries
):
    for number in range(11):
        a_product(store, name="Same" if number % 2 else f"Name {number}")

    def count(size):
        monkeypatch.setattr(views, "ROWS_AT_ONCE", size)
        with queries() as seen:
            rows = exported(api, "/products/export.csv?ordering=name")
        assert len({row["sku"] for row in rows}) == len(rows) == 11
        assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
        return len(seen)

    count(500)  # the credential is known from here on
    assert count(4) == count(500) + 2


def test_what_an_export_shows_and_asks_for_follows_the_permissions(store):
    staff = client_of(store, a_member(store, denies=["products.cost", "orders.read"]))
    trusted = client_of(store, a_member(store, grants=["customers.export"]))
    a_product(store, cost_price=500)

    assert "costPrice" not in exported(staff, "/products/export.csv")[0]
    assert exported(client_of(store), "/products/export.csv")[0]["costPrice"] == "500"
    assert staff.get("/orders/export.csv").json()["requiredPermission"] == "orders.read"
    refused = staff.get("/customers/export.csv")
    assert refused.json()["requiredPermission"] == "customers.export"
    assert exported(trusted, "/customers/export.csv") == []


def test_slow_readers_cannot_take_every_thread(api, store, monkeypatch):
    monkeypatch.setattr(views, "running", views.BoundedSemaphore(1))
    monkeypatch.setattr(views, "ROWS_AT_ONCE", 1)
    for _ in range(2):
        a_product(store)
    first = api.get("/products/export.csv")

    busy = api.get("/products/export.csv")
    list(first.streaming_content)
    after = api.get("/products/export.csv")

    assert busy.status_code == 503
    assert busy["Retry-After"] == "5"
    assert after.status_code == 200


def test_orders_are_exported_with_the_customer_beside_them(api, store):
    api.post("/orders", an_order_body(store, (a_product(store), 2)))

    (row,) = exported(api, "/orders/export.csv?status=pending,confirmed")

    assert row["customer.name"] == "Sara"
    assert row["customer.primaryPhone"].startswith("'+964771")
    assert row["total"] == "25000"
    assert row["number"].startswith("ORD-")


# Products in


def test_products_are_made_and_changed_by_sku(api, store):
    kept = a_product(store, sku="TEA-1", name="Tea", description="Old", barcode="77")

    job = imported(
        api,
        "products",
        table(
            ["SKU", "Name", "price", "quantityOnHand", "tags", "barcode", "isActive", "colour"],
            ["tea-1", "Black tea", "1500", "999", "hot|black", "", "TRUE", "x"],
            ["TEA-2", "شاي أخضر", "2000", "7", "", "78", "false", "y"],
        ),
    )

    assert figures(job) == ("completed", 1, 1, 0)
    assert job["unknownColumns"] == ["colour"]
    kept.refresh_from_db()
    assert (kept.name, kept.description, kept.barcode) == ("Black tea", "Old", None)
    assert (kept.tags, kept.version) == (["hot", "black"], 2)
    assert InventoryItem.objects.get(product=kept).quantity_on_hand == 100
    new = Product.objects.get(sku="TEA-2")
    assert (new.name, new.is_active, new.track_inventory) == ("شاي أخضر", False, True)
    assert InventoryItem.objects.get(product=new).quantity_on_hand == 7
    assert StockMovement.objects.get(product=new).reason == "opening"
    events = OutboxEvent.objects.filter(store_id=store.pk).values_list("type", flat=True)
    assert {"product.created", "product.updated"} <= set(events)


def test_a_repeated_upload_changes_nothing(api, store):
    file = table(["sku", "name", "price"], ["A", "a", "1"], ["B", "b", "2"])
    imported(api, "products", file)

    again = imported(api, "products", file)

    assert figures(again) == ("completed", 0, 2, 0)
    assert set(Product.objects.values_list("version", flat=True)) == {1}


def test_an_export_that_comes_back_leaves_the_average_cost_alone(api, store):
    product = a_product(store, cost_price="99.6667")
    answer = api.get("/products/export.csv")

    job = imported(api, "products", b"".join(answer.streaming_content))

    product.refresh_from_db()
    assert figures(job) == ("completed", 0, 1, 0)
    assert (product.version, str(product.cost_price)) == (1, "99.6667")


def test_an_export_of_products_imports_into_another_store_unchanged(api, store):
    root = api.post("/categories", {"name": "Home"}).json()["id"]
    shelf = api.post("/categories", {"name": "Kit|chen", "parentId": root}).json()["id"]
    parent = api.post("/products", {"sku": "P", "name": "Shirt", "productType": "parent"}).json()
    bodies = [
        {"sku": "V-1", "name": "Red", "productType": "variant", "parentId": parent["id"],
         "options": {"Size": "M", "لون": "أحمر"}, "price": "10000", "quantityOnHand": 3},
        {"sku": "V-2", "name": "Blue", "productType": "variant", "parentId": parent["id"],
         "options": {"Size": "L"}, "price": "12000", "compareAtPrice": "15000"},
        {"sku": "S", "name": "=1+1", "description": 'Two\nlines, "quoted"; and more',
         "names": {"ar": "قميص"}, "tags": ["a|b", "c"], "imageUrls": ["https://x.example/a,b.png"],
         "categoryId": shelf, "price": "5", "costPrice": "3", "weightGrams": 7, "barcode": "0012",
         "isActive": False, "quantityOnHand": 0},
        {"sku": "N", "name": "No price", "trackInventory": False, "categoryId": root},
    ]  # fmt: skip
    for body in bodies:
        assert api.post("/products", body).status_code == 201, body
    other = client_of(a_store())

    answer = api.get("/products/export.csv")
    file = b"".join(answer.streaming_content)
    job = imported(other, "products", file)

    assert (figures(job), job["errors"]) == (("completed", 5, 0, 0), [])
    assert job["unknownColumns"] == []
    ids = ("id", "parentId", "categoryId", "inventoryItemId", "createdAt", "updatedAt")

    def plain(client):
        rows = exported(client, "/products/export.csv?ordering=name")
        return [{k: v for k, v in row.items() if k not in ids} for row in rows]

    assert plain(other) == plain(api)
    again = imported(other, "products", file)
    assert figures(again) == ("completed", 0, 5, 0)
    assert plain(other) == plain(api)


def test_missing_shelves_are_made_only_by_those_who_may(store):
    member = a_member(store, grants=["data.import"], denies=["categories.write"])
    file = table(["sku", "name", "categoryPath"], ["A", "a", "Home|Kitchen"])

    refused = imported(client_of(store, member), "products", file)
    made = imported(client_of(store), "products", file)

    assert figures(refused) == ("completed", 0, 0, 1)
    assert not Product.objects.filter(version__gt=1).exists()
    assert figures(made) == ("completed", 1, 0, 0)
    assert [c.name for c in Category.objects.order_by("depth")] == ["Home", "Kitchen"]


def test_each_fault_is_told_with_its_row_and_column(api, store):
    a_product(store, barcode="77")

    job = imported(
        api,
        "products",
        table(
            ["sku", "name", "price", "barcode", "compareAtPrice"],
            ["OK-1", "fine", "1", "", ""],
            ["BAD SKU", "x", "1", "", ""],
            ["A", "", "abc", "", ""],
            ["OK-1", "again", "1", "", ""],
            ["B", "x", "1", "77", ""],
            ["C", "x", "10", "", "5"],
            ["D", "x", "1", "", "", "more", "cells"],
            [""] * 5,
            ["OK-2", "short"],
            ["", "no sku", "1"],
        ),
    )

    assert figures(job) == ("completed", 2, 0, 7)
    assert [(error["line"], error["field"]) for error in job["errors"]] == [
        (3, "sku"), (4, "name"), (4, "price"), (5, "sku"), (6, "barcode"), (7, "compareAtPrice"),
        (8, "_"), (11, "sku"),
    ]  # fmt: skip
    assert job["errorsTotal"] == 8
    assert all(error["message"] and error["code"] for error in job["errors"])


def test_kept_errors_are_bounded_and_counted(api, monkeypatch):
    monkeypatch.setattr(importing, "MAX_ERRORS", 3)

    job = imported(api, "products", table(["sku", "name"], *([f"bad {n}", "x"] for n in range(7))))

    assert (len(job["errors"]), job["errorsTotal"], job["failed"]) == (3, 7, 7)


def test_amounts_in_another_currency_are_refused(api):
    file = table(["sku", "name", "price", "currencyCode"], ["A", "a", "1", "USD"])

    job = imported(api, "products", file)

    assert job["errors"][0]["field"] == "currencyCode"


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_a_dry_run_reports_the_same_and_writes_nothing(api, store, monkeypatch, batch):
    from store_modules.spreadsheets.kinds import ProductRows

    monkeypatch.setattr(ProductRows, "batch", batch)
    a_product(store, sku="OLD")
    file = table(
        ["sku", "name", "productType", "parentSku", "options.Size", "price", "categoryPath"],
        ["V-1", "v", "variant", "P", "M", "1", ""],
        ["OLD", "new name", "", "", "", "", "Shelf"],
        ["V-2", "v", "variant", "P", "M", "1", ""],
        ["V-3", "v", "variant", "GONE", "M", "1", ""],
        ["P", "parent", "parent", "", "", "", "Shelf"],
    )
    before = [exported(api, "/products/export.csv"), Category.objects.count()]

    dry = imported(api, "products", file, "?dryRun=true")

    assert [exported(api, "/products/export.csv"), Category.objects.count()] == before
    real = imported(api, "products", file)
    assert figures(real) == ("completed", 2, 1, 2)
    same = ("status", "total", "done", "created", "updated", "failed", "errors", "errorsTotal")
    assert {name: dry[name] for name in same} == {name: real[name] for name in same}
    assert (dry["dryRun"], real["dryRun"]) == (True, False)


# Files as people send them


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffsku,name,price\r\nA,a,1\r\n",
        "sku;name;price\nA;a;1",
        "sku\tname\tprice\nA\ta\t1\n",
        "sep=;\nsku;name;price\nA;a;1\n",
        'sku,"name",price,,\n\n"A","a",1,,\n,,,,\n',
    ],
)
def test_files_are_read_as_programs_write_them(api, content):
    assert figures(imported(api, "products", content)) == ("completed", 1, 0, 0)
    assert exported(api, "/products/export.csv")[0]["price"] == "1"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed_csv"),
        (b"sku,name\n", 400, "malformed_csv"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, 400, "not_utf8"),
        (b"PK\x03\x04 a workbook", 415, "unsupported_media_type"),
        ("sku,name\nA,شاي".encode("windows-1256"), 400, "not_utf8"),
        ("sku,name\nA,a".encode("utf-16"), 400, "not_utf8"),
        (b"sku,name\nA,a\x00b\n", 400, "malformed_csv"),
        (b"sku,name,SKU\nA,a,b\n", 400, "duplicate_columns"),
        (b"name,price\na,1\n", 400, "missing_columns"),
        (b"sku,name\nA," + b"x" * 200_000 + b"\n", 400, "malformed_csv"),
        (b'sku,name\nA,"never ends\n' + b"B,b\n" * 9, 400, "malformed_csv"),
        (b'sku,name\nA,"a"b\n', 400, "malformed_csv"),
        (b"sku," + b"," * 300 + b"x\nA\n", 400, "malformed_csv"),
        (b"sku,name\n" + b"A,a\n" * 50_001, 400, "too_many_rows"),
        (b"x" * (10 * 2**20 + 1), 413, "payload_too_large"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_at_once(api, content, status, code):
    answer = upload(api, "products", content)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not ImportJob.objects.exists()
    if code == "not_utf8":
        assert "CSV UTF-8" in answer.json()["title"]


def test_hostile_cells_fail_their_row_only(api):
    job = imported(
        api,
        "products",
        table(
            ["sku", "name", "tags", "options", "price", "quantityOnHand"],
            ["A", "=HYPERLINK(1)", "", "", "1", ""],
            ["B", "x\u202ey", "", "", "1", ""],
            ["C", "x", "[" * 5000, "", "1", ""],
            ["D", "x", "", '{"a": ' * 500, "1", ""],
            ["E", "x", "", "", "1e400", ""],
            ["F", "x", "", "", "NaN", ""],
            ["G", "x", "", "", "1", "9" * 5000],
            ["H", "x" * 201, "", "", "1", ""],
            ["I", "x", '{"a": 1}', "", "1", ""],
        ),
    )

    assert (job["created"], job["failed"]) == (2, 7)
    assert Product.objects.get(sku="A").name == "=HYPERLINK(1)"


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_asks_for_two_permissions(store, kind):
    without = client_of(store, a_member(store))
    half = client_of(store, a_member(store, grants=["data.import"], denies=[f"{kind}.write"]))

    answers = [upload(client, kind, "x\n1\n").json() for client in (without, half)]

    assert [one["requiredPermission"] for one in answers] == ["data.import", f"{kind}.write"]


def test_an_import_is_of_its_store_and_audited(api, store):
    job = imported(api, "products", table(["sku", "name"], ["A", "a"]))
    other = client_of(a_store())

    assert other.get(f"/imports/{job['id']}").status_code == 404
    assert other.get("/imports").json()["items"] == []
    assert [one["id"] for one in api.get("/imports?kind=products").json()["items"]] == [job["id"]]
    event = AuditEvent.objects.get(action="products.imported")
    assert event.changes == {"file": "file.csv", "records": 1, "dryRun": False}


def test_an_import_needs_the_stores_currency(db):
    answer = upload(client_of(a_store(settings=False)), "products", "sku,name\nA,a\n")

    assert (answer.status_code, answer.json()["code"]) == (409, "settings_not_initialized")


def test_one_key_starts_one_import(api):
    key = str(uuid.uuid4())
    file = table(["sku", "name"], ["A", "a"])

    first = upload(api, "products", file, Idempotency_Key=key)
    again = upload(api, "products", file, Idempotency_Key=key)
    other = upload(api, "products", file + "B,b\n", Idempotency_Key=key)

    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    assert other.status_code == 422
    assert ImportJob.objects.count() == 1


# The worker


def test_a_killed_worker_is_continued_without_doubling(api, store, monkeypatch):
    from store_modules.spreadsheets.kinds import ExpenseRows

    monkeypatch.setattr(ExpenseRows, "batch", 3)
    monkeypatch.setattr(importing, "TURN_SECONDS", -1)  # one batch a turn
    rows = [["5", "rent", "2026-01-01"] for _ in range(10)]
    job_id = upload(api, "expenses", table(["amount", "category", "date"], *rows)).json()["id"]
    write = ExpenseRows.write
    calls = []

    def dying(self, ready):
        made = write(self, ready)
        calls.append(len(made))
        if len(calls) == 2:
            raise KeyboardInterrupt  # the process ends between the rows and the progress
        return made

    monkeypatch.setattr(ExpenseRows, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        work()
    halfway = api.get(f"/imports/{job_id}").json()
    stored = Expense.objects.count()
    OutboxEvent.objects.filter(done_at=None).update(due_at="2026-01-01T00:00:00Z")  # lease over
    importing.units_of.cache_clear()
    work()

    assert (halfway["status"], halfway["done"], stored) == ("running", 3, 3)
    job = api.get(f"/imports/{job_id}").json()
    assert figures(job) == ("completed", 10, 0, 0)
    assert Expense.objects.aggregate(total=Sum("amount"))["total"] == 50
    assert Expense.objects.count() == 10


def test_an_event_that_comes_twice_does_nothing_more(api, store):
    job = imported(
        api, "expenses", table(["amount", "category", "date"], ["5", "rent", "2026-01-01"])
    )
    event = OutboxEvent.objects.get(type=importing.EVENT, subject_id=job["id"])

    importing.take_turn(event)

    assert Expense.objects.count() == 1


def test_a_job_that_always_fails_is_given_up_and_says_so(api, monkeypatch):
    job_id = upload(api, "products", "sku,name\nA,a\n").json()["id"]
    monkeypatch.setattr(importing, "carry_on", lambda event: 1 / 0)
    for _ in range(outbox.MAX_ATTEMPTS):
        OutboxEvent.objects.filter(type=importing.EVENT).update(due_at="2026-01-01T00:00:00Z")
        work()

    job = api.get(f"/imports/{job_id}").json()
    assert job["status"] == "failed"
    assert job["fault"]


def test_who_may_no_longer_import_stops(store):
    member = a_member(store, grants=["data.import"])
    client = client_of(store, member)
    job_id = upload(client, "products", "sku,name\nA,a\n").json()["id"]
    member.grants = []
    member.save()
    work()

    job = client_of(store).get(f"/imports/{job_id}").json()
    assert (job["status"], job["created"]) == ("failed", 0)
    assert "data.import" in job["fault"]


# Customers, expenses and orders in


def test_customers_are_made_and_changed_by_phone_in_any_spelling(api, store):
    kept = a_customer(store, primary_phone="+9647701234567", name="Old", email="a@b.example")
    area = an_area()
    address = [
        {"addressProvinceCode": "IQ-BG", "addressAreaId": str(area.pk), "address": "Street 1"}
    ]

    job = imported(
        api,
        "customers",
        table(
            ["name", "Primary Phone", "tags", "addresses"],
            ["New", "٠٧٧٠ ١٢٣ ٤٥٦٧", "vip|wholesale", json.dumps(address)],
            ["Ali", "'+964 771 000 0001", "", ""],
            ["Twice", "07710000001", "", ""],
            ["Bad", "123", "", ""],
        ),
    )

    assert figures(job) == ("completed", 1, 1, 2)
    assert [(e["line"], e["field"]) for e in job["errors"]] == [
        (4, "primaryPhone"), (5, "primaryPhone"),
    ]  # fmt: skip
    kept.refresh_from_db()
    assert (kept.name, kept.email, kept.tags) == ("New", "a@b.example", ["vip", "wholesale"])
    assert kept.addresses.get().area_id == area.pk
    assert Customer.objects.get(primary_phone="+9647710000001").name == "Ali"


def test_an_export_of_customers_imports_into_another_store_unchanged(api, store):
    address = {"addressProvinceCode": "IQ-BG", "addressAreaId": str(an_area().pk), "label": "-x"}
    body = {"name": "سارة", "primaryPhone": "07701234567", "email": "s@x.example",
            "secondaryPhone": "07701234568", "notes": "a\nb", "addresses": [address],
            "isBlocked": True, "blockedReason": "why"}  # fmt: skip
    assert api.post("/customers", body).status_code == 201
    other = client_of(a_store())
    answer = api.get("/customers/export.csv")
    file = b"".join(answer.streaming_content)

    job = imported(other, "customers", file)

    assert (figures(job), job["unknownColumns"]) == (("completed", 1, 0, 0), [])
    mine, theirs = (exported(client, "/customers/export.csv")[0] for client in (api, other))
    differing = {name for name in mine if mine[name] != theirs[name]}
    assert differing <= {"id", "createdAt", "updatedAt", "addresses"}


def test_expenses_are_new_and_their_reference_counts_once(api, store):
    file = table(
        ["date", "amount", "category", "description", "clientRef", "payment_method"],
        ["2026-01-01", "500", "Rent", "January", "r-1", "bank_transfer"],
        ["2026-01-02", "700", "packaging", "", "", ""],
        ["2026-01-03", "-5", "rent", "", "", ""],
    )

    first, again = imported(api, "expenses", file), imported(api, "expenses", file)

    assert figures(first) == ("completed", 2, 0, 1)
    assert figures(again) == ("completed", 1, 0, 2)
    assert again["errors"][0]["field"] == "clientRef"
    assert Expense.objects.filter(client_ref="r-1").count() == 1


ORDER_COLUMNS = [
    "externalRef", "placedAt", "status", "payment_method", "customerName", "customerPhone",
    "addressProvinceCode", "areaName", "deliveryFee", "sku", "name", "quantity", "unitPrice",
    "lineTotal",
]  # fmt: skip


def order_rows(reference="W-1", status="delivered", phone="07701234567", quantity="2"):
    area = an_area()
    head = ["2026-01-05T10:00:00Z", status, "cod", "Sara", phone, "IQ-BG", area.name, "1000"]
    return [
        [reference, *head, "A", "Apple", quantity, "500", ""],
        [reference, *[""] * 8, "B", "Bread", "3", "", "999"],
    ]


def test_rows_of_one_reference_make_one_past_order(api, store):
    product = a_product(store, sku="A")
    first, second = order_rows()
    file = table(ORDER_COLUMNS, first, *order_rows("W-2", "returned"), second)

    job = imported(api, "orders", file)

    assert (figures(job), job["errors"], job["total"]) == (("completed", 2, 0, 0), [], 2)
    order = Order.objects.get(external_ref="W-1")
    assert (order.channel, order.status, order.total) == ("import", "delivered", 2999)
    assert order.amount_paid == order.total
    assert [item.sku for item in order.items.all()] == ["A", "B"]
    assert order.items.first().product_id == product.pk
    assert InventoryItem.objects.get(product=product).quantity_on_hand == 100
    customer = Customer.objects.get()
    assert (customer.orders_count, customer.delivered_count, customer.total_spent) == (2, 1, 1999)


def test_an_imported_order_is_replaced_and_a_real_one_is_not(api, store):
    imported(api, "orders", table(ORDER_COLUMNS, *order_rows(), *order_rows("W-2")))
    before = Order.objects.get(external_ref="W-1")
    body = an_order_body(store, (a_product(store), 1)) | {"externalRef": "W-3"}
    api.post("/orders", body)

    file = table(ORDER_COLUMNS, *order_rows(quantity="5"), *order_rows("W-2"), *order_rows("W-3"))
    job = imported(api, "orders", file)

    assert figures(job) == ("completed", 0, 2, 1)
    assert (job["errors"][0]["line"], job["errors"][0]["field"]) == (6, "externalRef")
    order = Order.objects.get(external_ref="W-1")
    assert (order.pk, order.number, order.subtotal) == (before.pk, before.number, 3499)
    customer = Customer.objects.get(primary_phone="+9647701234567")
    assert (customer.orders_count, customer.total_spent) == (2, 3499 + 1999)
    sales = api.post("/analytics/sales", {"from": "2026-01-01", "to": "2026-01-31"}).json()
    assert "5498" in json.dumps(sales)


def test_faults_of_orders_name_the_line_they_stand_in(api, store):
    bad_line = order_rows("W-1")
    bad_line[1][11] = "0"
    contradiction = order_rows("W-2")
    contradiction[1][2] = "cancelled"
    nowhere = order_rows("W-3")
    nowhere[0][7] = "Atlantis"
    without = order_rows("")
    twice = order_rows("W-5")
    twice[1][9] = "a"

    file = table(ORDER_COLUMNS, *bad_line, *contradiction, *nowhere, *without, *twice)
    job = imported(api, "orders", file)

    assert figures(job) == ("completed", 0, 0, 6)
    assert [(error["line"], error["field"]) for error in job["errors"]] == [
        (3, "quantity"), (4, "status"), (6, "areaName"), (8, "externalRef"), (9, "externalRef"),
        (10, "sku"),
    ]  # fmt: skip
    assert not Order.objects.exists()


def test_a_dry_run_of_orders_takes_no_number(api, store):
    dry = imported(api, "orders", table(ORDER_COLUMNS, *order_rows()), "?dryRun=true")
    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()

    assert figures(dry) == ("completed", 1, 0, 0)
    assert order["number"] == "ORD-1001"
    assert not Customer.objects.filter(primary_phone="+9647701234567").exists()


def test_a_large_file_is_taken_in_by_statements_of_many_rows(api, store, queries):
    rows = [[f"S-{n}", f"Name {n}", "1000", "5"] for n in range(600)]
    answer = upload(api, "products", table(["sku", "name", "price", "quantityOnHand"], *rows))

    with queries() as seen:
        work()

    assert api.get(f"/imports/{answer.json()['id']}").json()["created"] == 600
    assert len([one for one in seen if "product" in one["sql"] and "outbox" not in one["sql"]]) < 20
