"""The example's real month, a slice of it: what is imported is reported to the penny."""

import sys
from pathlib import Path

import pytest

from tests.clients import client_of, key_client_of
from tests.factories import a_store, an_area

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def examples(monkeypatch):
    """The example's own modules."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names = ("online_retail", "online_retail_business", "online_retail_figures")
    yield [__import__(name) for name in names]
    for name in names:
        sys.modules.pop(name, None)


def test_a_slice_of_a_real_month_is_reported_as_the_file_has_it(db, examples, capsys):
    retail, business, figures = examples
    store = a_store(currency_code="GBP", timezone="Europe/London")
    key, api = key_client_of(store), client_of(store)
    rows = [row for row in figures.rows_of() if row.customer and int(row.customer) % 25 == 3]
    wanted = {row.invoice for row in rows if row.is_sale or row.is_credit}
    invoices, products, _ = retail.read()
    skus = sorted({row.sku for row in rows})
    for chunk in retail.in_chunks([products[sku] for sku in skus], 100):
        key.post("/catalog/products/bulk", {"products": chunk})
    for chunk in retail.by_lines([invoices[number] for number in sorted(wanted)]):
        orders = [retail.order_row(invoice, str(an_area().pk)) for invoice in chunk]
        answer = key.post("/orders/bulk", {"mode": "import", "orders": orders})
        assert answer.status_code == 201, answer.content

    def call(method, path, body=None):
        answer = api.request(method.lower(), path, body)
        assert answer.status_code < 300, answer.content
        return answer.json()

    sku = next(sku for sku in skus if float(products[sku].get("price", 0)) > 1)
    assert business.reconcile(call, rows)
    assert business.receive_goods(call, sku)
    assert business.till_day(call, sku)
    assert len(wanted) > 40
    assert "NOT" not in capsys.readouterr().out
