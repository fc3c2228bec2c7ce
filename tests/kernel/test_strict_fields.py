"""Fields read the JSON that the document names, not what DRF would take for it."""

from decimal import Decimal

import pytest
from rest_framework import serializers

from storeplatform.kernel.serializers import Body, IntField, TextField
from storeplatform.kernel.tenancy import StoreFacts
from tests.factories import a_product

FACTS = StoreFacts(None, "Shop", "IQD", "Asia/Baghdad", "IQ")


class Everything(Body):
    flag = serializers.BooleanField(required=False)
    word = serializers.CharField(required=False, allow_null=True)
    mail = serializers.EmailField(required=False)
    text = TextField(required=False)
    identity = serializers.UUIDField(required=False)
    day = serializers.DateField(required=False)
    count = IntField(required=False)
    share = serializers.FloatField(required=False)
    words = serializers.ListField(child=serializers.CharField(), required=False)
    by_name = serializers.DictField(child=serializers.BooleanField(), required=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("flag", one) for one in ("true", "yes", "on", 1, 0, "", [])),
        *(("word", one) for one in (5, 1.5, Decimal("1.5"), True, [], {})),
        *(("mail", one) for one in (5, True)),
        *(("text", one) for one in (5, True, [])),
        *(("identity", one) for one in (7, True, [])),
        *(("day", one) for one in (20260101, True)),
        *(("count", one) for one in ("5", True, 1.5, Decimal("1.5"), [])),
        *(("share", one) for one in ("5", True)),
        *(("words", one) for one in ([5], [True], "a", {"a": 1})),
        *(("byName", one) for one in ({"a": "yes"}, {"a": 1}, [True])),
    ],
)
def test_json_of_another_kind_is_refused(name, value):
    with pytest.raises(serializers.ValidationError) as refused:
        Everything.read({name: value}, FACTS)

    assert list(refused.value.detail) == [name]


def test_json_of_the_fields_kind_is_read():
    given = {
        "flag": False, "word": None, "text": "a", "count": Decimal("2.0"), "share": 5,
        "words": ["5"], "byName": {"a": True}, "day": "2026-01-31",
    }  # fmt: skip

    values = Everything.read(given, FACTS)

    assert values["flag"] is False
    assert (values["count"], values["words"], values["by_name"]) == (2, ["5"], {"a": True})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/products", {"sku": 5, "name": "A", "price": "1"}),
        ("/products", {"sku": "A", "name": "A", "price": "1", "isActive": "yes"}),
        ("/customers", {"name": "A", "primaryPhone": "07701234567", "email": 5}),
        ("/products", {"sku": "A", "name": "A", "price": "1", "categoryId": ""}),
    ],
)
def test_the_problem_names_the_member(api, store, path, body):
    a_product(store)
    (wrong,) = [name for name, value in body.items() if value in (5, "yes", "")]

    answer = api.post(path, body)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [wrong]
