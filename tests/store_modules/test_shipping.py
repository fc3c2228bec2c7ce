"""Shipping rules and package sizes (guide.md, "Shipping rules", "Package sizes"; domain.md, 9)."""

import pytest

from tests.clients import client_of
from tests.factories import a_product, a_store, an_area, an_order_body


def a_rule(api, **values):
    answer = api.post("/shipping/rules", {"name": "Rule", "baseFee": "3000"} | values)
    assert answer.status_code == 201, answer.content
    return answer.json()


def a_quote(api, **values):
    place = {"addressProvinceCode": "BG", "addressAreaId": str(an_area().pk)}
    return api.post("/shipping/rules/quote", place | values)


def test_the_most_specific_rule_wins_and_the_quote_says_why(api):
    a_rule(api, name="Country", baseFee="9000", priority=1)
    province = a_rule(api, name="Baghdad", baseFee="4000", provinceCode="BG")
    area = a_rule(api, name="Near", baseFee="2000", areaId=str(an_area().pk))
    far = a_rule(api, name="Basra", baseFee="7000", provinceCode="IQ-BA")

    quote = a_quote(api).json()

    assert (quote["fee"], quote["ruleId"]) == ("2000", area["id"])
    assert [one["name"] for one in quote["matched"]] == ["Near", "Baghdad", "Country"]
    assert quote["rejected"] == [{"id": far["id"], "name": "Basra", "reason": "provinceCode"}]
    assert area["provinceCode"] == "IQ-BG"
    assert province["warnings"]


def test_weight_and_value_set_the_fee(api):
    a_rule(api, baseFee="3000", includedWeightGrams=1000, feePerExtraKg="500",
           freeAboveOrderValue="100000")  # fmt: skip

    assert a_quote(api, weightGrams=1000).json()["fee"] == "3000"
    assert a_quote(api, weightGrams=3001).json()["fee"] == "4500"
    assert a_quote(api, weightGrams=9000, orderValue="100000").json()["fee"] == "0"


def test_no_rule_falls_back_to_the_store_and_then_refuses(api):
    poor = client_of(a_store(default_delivery_fee=None))

    assert a_quote(api).json()["source"] == "default"
    assert a_quote(poor).json()["code"] == "no_shipping_rule"


@pytest.mark.parametrize(
    "values",
    [
        {"minWeightGrams": 5, "maxWeightGrams": 5},
        {"minOrderValue": "10", "maxOrderValue": "2"},
        {"baseFee": "-1"},
        {"provinceCode": "XX"},
        {"areaId": "01890000-0000-7000-8000-000000000000"},
        {"deliveryCompanyId": "01890000-0000-7000-8000-000000000000"},
    ],
)
def test_a_rule_that_cannot_be(api, values):
    assert api.post("/shipping/rules", {"name": "x", "baseFee": "1"} | values).status_code == 400


def test_the_same_conditions_twice_are_refused(api):
    a_rule(api, provinceCode="BG")

    again = api.post("/shipping/rules", {"name": "y", "baseFee": "1", "provinceCode": "IQ-BG"})

    assert (again.status_code, again.json()["code"]) == (409, "duplicate_rule")


def test_orders_are_charged_by_rule_and_package(api, store):
    size = api.post("/package-sizes", {"name": "Box", "extraFee": "250"}).json()
    a_rule(api, baseFee="3000", provinceCode="BG")

    order = api.post("/orders", an_order_body(store, (a_product(store), 1))).json()
    named = api.post(
        "/orders", an_order_body(store, (a_product(store), 1), deliveryFee="1000")
    ).json()

    assert (order["deliveryFee"], order["total"]) == ("3250", "13250")
    assert order["packageSizeId"] == size["id"]
    assert (named["deliveryFee"], named["deliveryFeeSource"]) == ("1000", "client")


def test_guide_package_sizes_a_new_default_clears_the_former(api):
    first = api.post("/package-sizes", {"name": "Small"}).json()
    second = api.post("/package-sizes", {"name": "Large", "isDefault": True}).json()
    sizes = {one["id"]: one["isDefault"] for one in api.get("/package-sizes").json()["items"]}

    assert first["isDefault"] is True
    assert sizes == {first["id"]: False, second["id"]: True}
    refused = api.delete(f"/package-sizes/{second['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "default_required")
    assert api.delete(f"/package-sizes/{first['id']}").status_code == 204
    assert api.delete(f"/package-sizes/{second['id']}").status_code == 204
    assert api.post("/package-sizes", {"name": "small", "lengthCm": 0}).status_code == 400
