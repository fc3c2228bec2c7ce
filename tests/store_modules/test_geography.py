"""The address reference: domain.md, sections 1 and 20."""

import csv
import io

import pytest
from django.core.management import CommandError, call_command

from store_modules.geography.models import Area, Province
from tests.clients import anonymous

HEADER = ["provinceCode", "externalKey", "name_en", "name_ar", "name_ku", "kind", "lat", "lng",
          "parentName", "aliases", "active"]  # fmt: skip


@pytest.fixture
def public(db):
    return anonymous()


def write(tmp_path, *rows, bom=False):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    writer.writerows(rows)
    file = tmp_path / "areas.csv"
    file.write_text(("\ufeff" if bom else "") + text.getvalue(), encoding="utf-8")
    return file


def row(key, name, province="BG", kind="neighbourhood", active="1"):
    return [province, key, name, "", "", kind, "", "", "", "", active]


def test_iraq_is_there_in_three_languages(public):
    provinces = public.get("/address-reference/provinces?countryCode=IQ").json()["items"]

    leaves = [one for one in provinces if not one["isGroup"]]
    assert len(leaves) == 19
    assert all(one["names"].keys() == {"en", "ar", "ku"} for one in leaves)
    assert {one["code"] for one in provinces if one["isGroup"]} == {"IQ-KR"}
    assert [one["code"] for one in leaves if not one["isIso"]] == ["IQ-HA"]
    for one in leaves:
        areas = public.get(f"/address-reference/provinces/{one['code']}/areas").json()
        assert areas["totalCount"] >= 1


def test_names_follow_the_readers_language_and_search_folds(public):
    arabic = public.get("/address-reference/provinces", Accept_Language="ar-IQ,ar;q=0.9").json()
    baghdad = next(one for one in arabic["items"] if one["code"] == "IQ-BG")
    found = public.get("/address-reference/provinces/IQ-BG/areas?search=ابو غريب").json()

    assert baghdad["name"] == "بغداد"
    assert any(one["name"] == "Abū Ghurayb" for one in found["items"])
    assert public.get("/address-reference/provinces/IQ-XX/areas").status_code == 404


def test_the_reference_is_cached_by_its_tag(public):
    first = public.get("/address-reference/provinces/IQ-BG/areas")

    second = public.get("/address-reference/provinces/IQ-BG/areas", If_None_Match=first["ETag"])

    assert first["Cache-Control"] == "public, max-age=86400"
    assert second.status_code == 304
    assert second.content == b""


def test_loading_again_changes_nothing(db):
    before = dict(Area.objects.values_list("source_key", "id"))

    call_command("load_geography", verbosity=0, stdout=io.StringIO())

    assert dict(Area.objects.values_list("source_key", "id")) == before


def test_another_country_comes_from_the_packages(db):
    out = io.StringIO()

    call_command("load_geography", countries="JO", stdout=out)

    assert "JO: 12 provinces" in out.getvalue()
    assert Area.objects.filter(province__country_code="JO").count() > 12
    with pytest.raises(CommandError, match="no ISO"):
        call_command("load_geography", countries="QQ", stdout=out)


def test_an_operators_list_is_imported_twice_the_same(db, tmp_path):
    file = write(tmp_path, row("1", "Zayouna"), row("2", "Mansour"), bom=True)
    first, second = io.StringIO(), io.StringIO()

    call_command("import_areas", file, country="IQ", stdout=first)
    call_command("import_areas", file, country="IQ", stdout=second)

    assert "2 created, 0 updated, 0 unchanged" in first.getvalue()
    assert "0 created, 0 updated, 2 unchanged" in second.getvalue()
    shorter = write(tmp_path, row("1", "Zayouna Street"))
    third = io.StringIO()
    call_command("import_areas", shorter, country="IQ", deactivate_missing=True, stdout=third)
    assert "0 created, 1 updated, 0 unchanged, 1 deactivated" in third.getvalue()
    assert Area.objects.get(name="Mansour").is_active is False


def test_a_bad_line_stops_the_file_unless_skipped(db, tmp_path):
    file = write(
        tmp_path, row("1", "Zayouna"), row("2", "", kind="city"), row("3", "X", province="XX"),
        row("4", "Y", kind="planet"), row("1", "Again"),
    )  # fmt: skip
    err = io.StringIO()

    with pytest.raises(CommandError):
        call_command("import_areas", file, country="IQ", stdout=io.StringIO(), stderr=err)
    assert not Area.objects.filter(name="Zayouna").exists()
    assert [line.split(":")[0] for line in err.getvalue().splitlines()] == [
        "line 3", "line 4", "line 5", "line 6",
    ]  # fmt: skip

    call_command(
        "import_areas", file, country="IQ", skip_bad=True, stdout=io.StringIO(), stderr=err
    )
    assert Area.objects.filter(name="Zayouna").exists()


def test_a_dry_run_writes_nothing(db, tmp_path):
    file = write(tmp_path, row("1", "Zayouna"))

    call_command("import_areas", file, country="IQ", dry_run=True, stdout=io.StringIO())

    assert not Area.objects.filter(source="operator").exists()
    assert Province.objects.filter(country_code="IQ").count() == 20
