"""Print templates (guide.md, "print-templates"; domain.md, section 9)."""

import time

import pypdfium2 as pdfium
import pytest
import zxingcpp
from PIL import ImageOps

from store_modules.printing import lines, markup
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
        ("one\n{{ order.nmber }}", 2),
        ("{{ store.id }}", 1),
        ("{% for x in items %}", 1),
        ("a\nb\n{{ order.number | nofilter }}", 3),
        ("a\n{% include 'x' %}", 2),
        ("a\n{% render 'x' %}", 2),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_its_line(api, body, line):
    refused = a_template(api, body=body)

    assert refused.status_code == 400, refused.content
    assert refused.json()["code"] == "invalid_template"
    assert refused.json()["line"] == line


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


MANY_LETTERS = "{% assign x = '" + "a," * 20_000 + "' %}"


@pytest.mark.parametrize(
    "body",
    [
        "{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}",
        "{% assign r = (1..99999999999) %}{{ r | join: ',' }}",
        "{{ (1..99999999999) | sum }}",
        "{% if (1..99999999999) contains 'x' %}y{% endif %}",
        "{% for a in (1..99999999999) reversed %}x{% endfor %}",
        "{% for a in (1..99999999999) limit: 1 offset: 9999999999 %}x{% endfor %}",
        MANY_LETTERS + "{{ x | replace: 'a', x | replace: 'a', x | size }}",
        MANY_LETTERS + "{{ x | split: ',' | join: x | size }}",
        MANY_LETTERS + "{% for a in (1..9999) %}{{ x | upcase | size }}{% endfor %}",
        "{% for a in (1..9999) %}" + "{% assign b = a %}" * 3_000 + "{% endfor %}",
        "{% for a in (1..3000) %}<qr value='x'>{% endfor %}",
        "<table><tr><td>" * 4_000,
        "{{ '1e400' | floor }}",
        "{{ 99999999999999 | date: '%Y' }}",
    ],
)
def test_a_template_that_takes_too_much_is_refused_soon(api, order, body):
    made = a_template(api, body=body).json()

    began = time.process_time()
    refused = api.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_template")
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<a", "<a ", "</", "<![", "<!", "<?", "<a b='", "</script", "<p class=x ", "<"],
)
def test_tags_that_are_left_open_take_no_longer_than_others(piece):
    """A million letters of them: what looks for the end of each anew does not come to an end."""
    blocks = markup.read(piece * (1_000_000 // len(piece)))

    assert markup.size_in_letters(blocks) in (0, len(piece) * (1_000_000 // len(piece)) + 1)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a < b &lt; c", "a < b < c"),
        ("<p>a<!-- b <p>c --> d", "a d"),
        ("<p>a<!-- b", "a"),
        ("<p>x<script>if (1 < 2) '<p>'</SCRIPT >y", "xy"),
        ("<style>p{}", ""),
        ("<![CDATA[x]]>y<?php z ?><!doctype html>", "y"),
        ("<P CLASS=\"bold\" data-x='a>b'>é&eacute;&#233;</P>", "ééé"),
        ("<p>&#" + "9" * 5000 + ";", "\ufffd"),
        ("<p>so\u00adft", "soft"),
        ("<p>a" + "\u0301" * 2000, "a" + "\u0301" * 3),
        ("a<b>b</b><br/>c", "ab\nc"),
        ("a<p>b<br />c</p>", "ab\nc"),
    ],
)
def test_markup_is_read_as_browsers_read_it(source, text):
    assert "".join(block.text for block in markup.read(source)) == text


def test_a_code_may_hold_any_letter():
    (code,) = markup.read("<qr size=30 value='a&gt;\"&#39;>' value=x />")

    assert (code.value, code.size) == ("a>\"'>", 30)


def test_a_word_is_cut_with_few_measurements():
    """Letters without a width pile up in one piece; measuring it for each of them takes minutes."""
    measured = []

    def measure(words):
        measured.append(len(words))
        return sum(letter != "\u200d" for letter in words)

    pieces = lines.cut("a" * 25 + "\u200d" * 20_000, 10, measure)

    assert [len(piece) for piece in pieces] == [10, 10, 20_005]
    assert sum(measured) < 100_000


@pytest.mark.parametrize(
    "body", ["<p>" + "{{ order.notes }}" * 10, "<qr value='x'>" * 150, "<hr>" * 15_000]
)
def test_a_template_that_is_too_much_for_many_orders_is_refused_soon(api, key, store, body):
    a_template(api, type="ShippingLabel", body=body)
    product = a_product(store, quantity=1000)
    bodies = [an_order_body(store, (product, 1), notes="A" * 2000) for _ in range(25)]
    made = key.post("/orders/bulk", {"orders": bodies}).json()
    ids = [row["order"]["id"] for row in made["results"]]
    began = time.process_time()

    many = key.post("/orders/labels", {"ids": ids})

    assert many.status_code == 400, len(many.content)
    assert many.json()["code"] == "invalid_template"
    assert many.json()["errors"] == {"body": ["Line 1: It makes too long a document."]}
    assert time.process_time() - began < 5


def test_odd_numbers_in_a_template_stay_as_they_are(api, order):
    body = (
        "<p>{{ '1e999999999' | money }} {% for a in (1..order.itemsCount) %}{{ a }}{% endfor %}</p>"
        "<table><tr><td width='²'>x</td></tr></table><qr value='x' size='²'>"
        f"<qr value='x' size='{'9' * 5000}'>"
    )
    made = a_template(api, body=body).json()

    page = api.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})

    assert page.status_code == 200, page.content
    assert "1e999999999 12" in page.content.decode()


def test_another_stores_order_is_not_printed(api, order):
    stranger = client_of(a_store())
    made = a_template(stranger).json()

    refused = stranger.post(f"/print-templates/{made['id']}/render", {"orderId": order["id"]})
    assert (refused.status_code, refused.json()["code"]) == (400, "not_found")
    assert stranger.post("/orders/labels", {"ids": [order["id"]]}).status_code == 400


PAPERS = [
    ("Invoice", "A4", (595, 842)), ("Invoice", "A5", (420, 595)),
    ("ShippingLabel", "100x150", (283, 425)), ("Receipt", "80mm", (227, None)),
    ("Receipt", "58mm", (164, None)),
]  # fmt: skip


def picture(page, scale=4):
    return page.render(scale=scale).to_pil().convert("L")


def ink(image):
    return sum(image.histogram()[:128])


@pytest.mark.parametrize("language", ["ar", "en", "ku"])
@pytest.mark.parametrize(("kind", "paper", "size"), PAPERS)
def test_the_templates_that_come_with_the_product_print(api, order, kind, paper, size, language):
    wanted = {"ids": [order["id"]], "type": kind, "paper": paper, "language": language}
    pages = pages_of(api.post("/orders/labels", wanted))

    assert len(pages) == 1
    width, height = pages[0].get_size()
    assert round(width) == size[0]
    assert size[1] is None or round(height) == size[1]
    assert 0.01 < dark_share(pages[0]) < 0.4
    words = pages[0].get_textpage().get_text_range()
    assert order["number"] in words
    assert "38,000" in words  # with a comma between thousands
    assert kind == "Receipt" or "+964 770 123 4567" in words


@pytest.mark.parametrize("language", ["ar", "en"])
@pytest.mark.parametrize(("kind", "paper", "size"), PAPERS)
def test_the_codes_on_a_page_can_be_scanned(api, order, kind, paper, size, language):
    wanted = {"ids": [order["id"]], "type": kind, "paper": paper, "language": language}
    page = pages_of(api.post("/orders/labels", wanted))[0]

    read = zxingcpp.read_barcodes(picture(page))

    found = {(str(one.format), one.text) for one in read}
    assert {text for _, text in found} == {order["number"]}
    assert len({form for form, _ in found}) == 2, found  # a QR code and a bar code


def test_nothing_is_printed_off_the_paper(api, order):
    for kind, paper, _ in PAPERS:
        wanted = {"ids": [order["id"]], "type": kind, "paper": paper}
        image = picture(pages_of(api.post("/orders/labels", wanted))[0], scale=2)
        left, top, right, bottom = ImageOps.invert(image).getbbox()
        edge = 2 * 72 / 25.4 * 2  # two millimetres
        assert min(left, top, image.width - right, image.height - bottom) > edge, (kind, paper)


def test_arabic_pages_are_mirrored(api, order):
    wanted = {"ids": [order["id"]], "type": "Invoice", "paper": "A4"}
    boxes = {}
    for language in ("ar", "en"):
        page = pages_of(api.post("/orders/labels", wanted | {"language": language}))[0]
        found = zxingcpp.read_barcodes(picture(page), formats=zxingcpp.BarcodeFormat.QRCode)
        boxes[language] = found[0].position.top_left.x / picture(page).width

    assert boxes["ar"] < 0.3
    assert boxes["en"] > 0.7


def test_a_custom_label_always_shows_its_code_and_what_to_collect(api, order):
    made = a_template(api, type="ShippingLabel", body="<p>{{ store.name }}</p>").json()
    rendered = api.post(
        f"/print-templates/{made['id']}/render", {"orderId": order["id"], "format": "pdf"}
    )

    page = pages_of(rendered)[0]

    assert zxingcpp.read_barcodes(picture(page))[0].text == order["number"]
    assert "38,000" in page.get_textpage().get_text_range()


def test_a_template_of_a_till_is_one_of_its_store_for_receipts(api, store):
    invoice, receipt = a_template(api).json(), a_template(api, type="Receipt").json()
    theirs = a_template(client_of(a_store()), type="Receipt").json()

    for wrong in (invoice, theirs):
        refused = api.put("/cashier/settings", {"receiptTemplateId": wrong["id"]})
        assert refused.status_code == 400
        assert "receiptTemplateId" in refused.json()["errors"]
    assert api.put("/cashier/settings", {"receiptTemplateId": receipt["id"]}).status_code == 200


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("Running shoes", ["Running shoes"]),
        ("\u200e+964 770 123 4567", ["+964 770 123 4567"]),
        ("عدد القطع: 4", ["4", "عدد القطع: "]),
        ("USB كيبل 1 متر", [" متر", "1", " كيبل ", "USB"]),
        ("25,000 د.ع.", [" د.ع.", "25,000"]),
        ("الهاتف \u200e+964 770", ["+964 770", "الهاتف "]),
    ],
)
def test_the_runs_of_a_line_stand_as_a_reader_expects(line, runs):
    assert [run.text for run in lines.runs_of(line, from_right=True)] == runs


@pytest.mark.parametrize(
    ("text", "width", "wrapped"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one\ntwo", 9, ["one", "two"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("", 3, [""]),
        ("x", 0.5, ["x"]),
    ],
)
def test_text_is_broken_between_words(text, width, wrapped):
    assert lines.wrapped(text, width, len) == wrapped


def test_labels_of_a_hundred_orders_are_one_document_in_under_five_seconds_of_work(api, key, store):
    product = a_product(store, quantity=1000, name="قميص قطن")
    bodies = [an_order_body(store, (product, 1), address=f"شارع {n}") for n in range(100)]
    made = key.post("/orders/bulk", {"orders": bodies}).json()
    ids = [row["order"]["id"] for row in made["results"]]

    start = time.process_time()
    answer = key.post("/orders/labels", {"ids": ids})
    seconds = time.process_time() - start

    assert len(pages_of(answer)) == 100
    assert seconds < 5
    assert api.post("/orders/labels", {"ids": [*ids, ids[0]]}).status_code == 400


@pytest.mark.parametrize("language", ["ar", "en"])
def test_a_label_is_one_page_whatever_stands_on_it(api, store, language):
    customer = {"name": "عبدالرحمن " * 19, "primaryPhone": "07701234567",
                "secondaryPhone": "07809876543"}  # fmt: skip
    body = an_order_body(
        store, (a_product(store), 1), address="شارع طويل " * 49, landmark="قرب " * 49,
        notes="Please call " * 160, customer=customer,
    )  # fmt: skip
    order = api.post("/orders", body).json()

    pages = pages_of(api.post("/orders/labels", {"ids": [order["id"]], "language": language}))

    assert len(pages) == 1
    assert {one.text for one in zxingcpp.read_barcodes(picture(pages[0]))} == {order["number"]}


def test_a_long_invoice_repeats_its_head_and_loses_no_line(api, store):
    products = [a_product(store, name=f"Thing {place}") for place in range(60)]
    order = api.post("/orders", an_order_body(store, *((one, 1) for one in products))).json()

    wanted = {"ids": [order["id"]], "type": "Invoice", "paper": "A4", "language": "en"}
    pages = pages_of(api.post("/orders/labels", wanted))
    texts = [page.get_textpage().get_text_range() for page in pages]

    assert len(pages) > 1
    assert all(f"Thing {place}" in "".join(texts) for place in range(60))
    assert sum("Qty" in text for text in texts) >= 2
