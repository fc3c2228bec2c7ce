"""Print templates (guide.md, "print-templates"; domain.md, section 9)."""

import pypdfium2 as pdfium
import pytest

from tests.clients import client_of
from tests.factories import a_product, a_store, an_order_body


@pytest.fixture
def order(api, store):
    body = an_order_body(
        store,
        (a_product(store, name="قميص قطن أبيض", price=15_000), 2),
        (a_product(store, name="USB cable 1 m", price=3_000), 1),
        address="شارع الكندي، قرب المستشفى",
        customer={"name": "سارة أحمد", "primaryPhone": "07701234567"},
    )
    return api.post("/orders", body).json()


def a_template(api, **values):
    body = {"name": "Mine", "type": "Invoice", "body": "<h1>{{ order.number }}</h1>"} | values
    return api.post("/print-templates", body)


def pages_of(answer):
    assert answer["Content-Type"] == "application/pdf"
    return pdfium.PdfDocument(answer.content)


def dark_share(page):
    """How much of a page is ink."""
    image = page.render(scale=1).to_pil().convert("L")
    histogram = image.histogram()
    return sum(histogram[:128]) / sum(histogram)


def test_guide_print_templates_are_filtered_by_type_in_any_letter_case(api):
    a_template(api)
    a_template(api, type="Receipt")

    invoices = api.get("/print-templates?type=invoice").json()["items"]

    assert [one["type"] for one in invoices] == ["Invoice"]
    assert api.get("/print-templates?type=Poster").status_code == 400


def test_the_first_of_a_type_is_its_default_and_a_new_one_clears_it(api):
    first, second = a_template(api).json(), a_template(api, name="B", isDefault=True).json()

    shown = {one["id"]: one["isDefault"] for one in api.get("/print-templates").json()["items"]}

    assert first["isDefault"]
    assert shown == {first["id"]: False, second["id"]: True}
    api.delete(f"/print-templates/{second['id']}")
    assert api.get(f"/print-templates/{first['id']}").json()["isDefault"]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("one\n{{ secret.key }}", 2),
        ("{% for x in items %}", 1),
        ("a\nb\n{{ order.number | nofilter }}", 3),
        ("{% include 'x' %}", 1),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_its_line(api, body, line):
    refused = a_template(api, body=body)

    assert refused.status_code == 400, refused.content
    assert refused.json()["code"] == "invalid_template"
    assert refused.json()["line"] == line or "include" in body


def test_a_template_makes_html_without_a_way_out(api, order):
    body = (
        "<script>x()</script><p onclick='x()'>{{ order.customer.name }}</p>"
        "<img src=http://evil/><qr value='{{ order.number }}'>"
    )
    made = a_template(api, body=body).json()
    page = api.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})

    html = page.content.decode()
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert "سارة أحمد" in html
    for word in ("script>", "onclick", "evil"):
        assert word not in html
    assert "data:image/svg+xml" in html
    assert "sandbox" in page["Content-Security-Policy"]


def test_a_template_that_runs_too_long_is_refused(api, order):
    body = "{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}"
    made = a_template(api, body=body).json()

    refused = api.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_template")


def test_another_stores_order_is_not_printed(api, order):
    stranger = client_of(a_store())
    made = a_template(stranger).json()

    refused = stranger.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})
    assert (refused.status_code, refused.json()["code"]) == (400, "not_found")
    assert stranger.post("/orders/labels", {"ids": [order["id"]]}).status_code == 400


@pytest.mark.parametrize("language", ["ar", "en"])
@pytest.mark.parametrize(
    ("kind", "paper", "size"),
    [
        ("Invoice", "A4", (595, 842)), ("Invoice", "A5", (420, 595)),
        ("ShippingLabel", "100x150", (283, 425)), ("Receipt", "80mm", (227, None)),
        ("Receipt", "58mm", (164, None)),
    ],
)  # fmt: skip
def test_the_templates_that_come_with_the_product_print(api, order, kind, paper, size, language):
    wanted = {"ids": [order["id"]], "type": kind, "paper": paper, "language": language}
    pages = pages_of(api.post("/orders/labels", wanted))

    assert len(pages) == 1
    width, height = pages[0].get_size()
    assert round(width) == size[0]
    assert size[1] is None or round(height) == size[1]
    assert 0.01 < dark_share(pages[0]) < 0.4
    assert order["number"] in pages[0].get_textpage().get_text_range()


def test_arabic_is_shaped_and_starts_at_the_right(api, order):
    wanted = {"ids": [order["id"]], "language": "ar"}
    page = pages_of(api.post("/orders/labels", wanted))[0]

    image = page.render(scale=2).to_pil().convert("L")
    width, height = image.size
    top = image.crop((0, 0, width, height // 12))
    left, right = (
        top.crop((0, 0, width // 2, top.height)),
        top.crop((width // 2, 0, width, top.height)),
    )
    assert ink(right) > 0
    assert ink(left) > ink(right)  # the code stands left, the store's name right


def ink(image):
    return sum(image.histogram()[:128])


def test_labels_of_a_hundred_orders_are_one_document(api, key, store):
    product = a_product(store, quantity=1000)
    ids = [key.post("/orders", an_order_body(store, (product, 1))).json()["id"] for _ in range(20)]

    pages = pages_of(key.post("/orders/labels", {"ids": ids}))

    assert len(pages) == 20
    assert api.post("/orders/labels", {"ids": ids * 6}).status_code == 400
