"""Shipping rules and package sizes (guide.md, "Shipping rules", "Package sizes"; domain.md, 9)."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from store_modules.shipping.choosing import Box, Parcel, Rule, choose
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


AREA, COMPANY, BOX = uuid4(), uuid4(), uuid4()
OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def a_choice(name, **values):
    values = {"id": uuid4(), "name": name, "created_at": OLD, "base_fee": Decimal(1)} | values
    return Rule(**values)


def a_parcel(**values):
    values = {
        "province_code": "IQ-BG",
        "area_id": AREA,
        "weight": 500,
        "value": Decimal(100),
    } | values
    return Parcel(**values)


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        ([a_choice("any"), a_choice("province", province_code="IQ-BG")], "province"),
        ([a_choice("province", province_code="IQ-BG"), a_choice("area", area_id=AREA)], "area"),
        # 20 + 10 + 5 + 2 + 1 is less than a province
        ([a_choice("many", company_id=COMPANY, package_id=BOX, mode="express", min_weight=0,
                   min_value=Decimal(0)), a_choice("province", province_code="IQ-BG")], "province"),
        ([a_choice("mode", mode="express"), a_choice("package", package_id=BOX)], "package"),
        ([a_choice("package and mode", package_id=BOX, mode="express"),
          a_choice("company", company_id=COMPANY)], "company"),
        ([a_choice("value", min_value=Decimal(0)), a_choice("weight", min_weight=0)], "weight"),
        ([a_choice("late", priority=100), a_choice("first", priority=1)], "first"),
        ([a_choice("new", created_at=NEW), a_choice("old")], "old"),
        ([a_choice("elsewhere", province_code="IQ-BA"), a_choice("any")], "any"),
    ],
)  # fmt: skip
def test_the_most_specific_rule_by_hand(rules, chosen):
    box = Box(BOX, None, None, None, Decimal(0))
    parcel = a_parcel(company_id=COMPANY, mode="express", box=box)

    assert choose(rules, parcel, "USD").rule.name == chosen
    assert choose(list(reversed(rules)), parcel, "USD").rule.name == chosen


@pytest.mark.parametrize(
    ("weight", "value", "matches"),
    [(999, 50, False), (1000, 50, True), (1999, 50, True), (2000, 50, False), (1500, 49, False),
     (1500, 99, True), (1500, 100, False)],
)  # fmt: skip
def test_ranges_hold_their_lower_end_and_not_their_upper(weight, value, matches):
    rule = a_choice("range", min_weight=1000, max_weight=2000,
                    min_value=Decimal(50), max_value=Decimal(100))  # fmt: skip

    found = choose([rule], a_parcel(weight=weight, value=Decimal(value)), "USD").rule

    assert (found is not None) == matches


@pytest.mark.parametrize(
    ("sides", "weight", "grams"),
    [
        ((30, 20, 10), 500, 1200),  # 6000 cm³ / 5
        ((30, 20, 10), 1300, 1300),
        (("10.5", "10.5", "10.5"), 0, 232),  # 1157.625 / 5 = 231.525
        ((None, 20, 10), 500, 500),
    ],
)
def test_the_chargeable_weight_is_the_larger_of_scale_and_volume(sides, weight, grams):
    box = Box(BOX, *(None if side is None else Decimal(side) for side in sides), Decimal(0))

    assert a_parcel(weight=weight, box=box).chargeable == grams


@pytest.mark.parametrize(
    ("weight", "value", "fee"),
    [(1000, 0, "3.00"), (1001, 0, "3.75"), (2000, 0, "3.75"), (2001, 0, "4.50"),
     (9000, "99.99", "9.00"), (9000, 100, "0.00")],
)  # fmt: skip
def test_a_fee_by_hand(weight, value, fee):
    rule = a_choice("fee", base_fee=Decimal(3), included_weight=1000,
                    fee_per_extra_kg=Decimal("0.75"), free_above=Decimal(100))  # fmt: skip

    choice = choose([rule], a_parcel(weight=weight, value=Decimal(value)), "USD")

    assert choice.fee == Decimal(fee)


def test_overlaps_are_told_and_disjoint_ranges_are_not(api):
    light = a_rule(api, name="Light", maxWeightGrams=1000)
    heavy = a_rule(api, name="Heavy", minWeightGrams=1000)
    middle = a_rule(api, name="Middle", minWeightGrams=500, maxWeightGrams=1500)
    basra = a_rule(api, name="Basra", provinceCode="IQ-BA", minWeightGrams=99_000)
    asleep = a_rule(api, name="Asleep", isActive=False)

    assert light["warnings"] == heavy["warnings"] == asleep["warnings"] == []
    assert {one["ruleId"] for one in middle["warnings"]} == {light["id"], heavy["id"]}
    assert {one["ruleId"] for one in basra["warnings"]} == {heavy["id"]}


def test_a_quote_weighs_the_volume_and_names_what_a_rule_failed_on(api):
    size = api.post(
        "/package-sizes",
        {"name": "Crate", "lengthCm": 50, "widthCm": "40", "heightCm": 30, "extraFee": "750"},
    ).json()
    rule = a_rule(api, name="By weight", feePerExtraKg="1000", includedWeightGrams=2000)
    cheap = a_rule(api, name="Cheap", maxOrderValue="5000")
    express = a_rule(api, name="Express", deliveryMode="express")

    quote = a_quote(api, packageSizeId=size["id"], weightGrams=100, orderValue="5000").json()

    assert quote["chargeableWeightGrams"] == 12_000
    assert (quote["baseFee"], quote["packageFee"], quote["fee"]) == ("13000", "750", "13750")
    assert quote["ruleId"] == rule["id"]
    assert {one["id"]: one["reason"] for one in quote["rejected"]} == {
        cheap["id"]: "orderValue",
        express["id"]: "deliveryMode",
    }


def test_guide_package_sizes_one_in_use_is_deleted_softly(api, store):
    first = api.post("/package-sizes", {"name": "Small"}).json()
    second = api.post("/package-sizes", {"name": "Large"}).json()
    body = an_order_body(store, (a_product(store), 1), packageSizeId=second["id"])
    order = api.post("/orders", body).json()

    unset = api.put(f"/package-sizes/{first['id']}", {"isDefault": False})
    resting = api.put(f"/package-sizes/{first['id']}", {"isActive": False})
    gone = api.delete(f"/package-sizes/{second['id']}")

    for refused in (unset, resting):
        assert (refused.status_code, refused.json()["code"]) == (409, "default_required")
    assert gone.status_code == 204
    assert api.get(f"/package-sizes/{second['id']}").status_code == 404
    assert api.get(f"/orders/{order['id']}").json()["packageSizeId"] == second["id"]
    taken = api.post("/package-sizes", {"name": "SMALL"})
    assert (taken.status_code, taken.json()["code"]) == (409, "duplicate_name")
