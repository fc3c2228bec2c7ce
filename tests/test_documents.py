"""The documents say what the code does: guide.md's pages, each table against its source."""

import re
from pathlib import Path

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from orjson import loads

from integrations.api_keys.scopes import SCOPES
from store_modules.stores.grants import GRANTS, STAFF_DEFAULTS
from storeplatform.kernel.openapi import document
from storeplatform.kernel.permissions import grant_for
from storeplatform.kernel.viewsets import PublicView
from storeplatform.urls import OTHER_SPELLINGS
from tests.clients import ApiClient
from tests.documents import SPECS, TABLES, table_of
from tests.test_surface import OPERATIONS

WITHOUT_BODY = (
    "/revoke", "/revoke-previous", "/duplicate", "/approve", "/reject", "/complete", "/order",
    "/purchase-orders/{id}/close", "/return-requests/{id}/cancel", "/restore",
    "/resolve", "/reopen", "/hub-token", "/rotate-secret",
    "/webhooks/{id}/test", "/retry", "/dispatches/{id}/cancel", "/match",
)  # fmt: skip
DOCS = Path(__file__).resolve().parent.parent / "DOCS" / "03-integrations"
ENDPOINTS = (DOCS / "specs/store/endpoints.md").read_text()
SCOPES_PAGE = (DOCS / "specs/store/auth-and-scopes.md").read_text()


def test_every_route_and_what_it_asks_for_is_documented():
    documented = {
        (method, path): asks.strip("`")
        for method, path, asks in re.findall(
            r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| (.+?) \|$", ENDPOINTS, re.MULTILINE
        )
    }
    real = {}
    for method, path, view, action in OPERATIONS:
        public = issubclass(view, PublicView)
        asks = "public" if public else grant_for(view, action, method.upper())
        real[method.upper(), path] = asks or "any valid credential"

    assert documented == real


def test_the_permission_table_is_the_codes():
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.+?) \| yes \| (yes|no) \| (yes|owner only) \|$",
        SCOPES_PAGE,
        re.MULTILINE,
    )

    assert rows == [
        (
            grant.name,
            grant.covers,
            "yes" if grant.name in STAFF_DEFAULTS else "no",
            "yes" if grant.grantable else "owner only",
        )
        for grant in GRANTS.values()
    ]


def test_the_scope_table_is_the_codes():
    rows = re.findall(r"^\| `(\w+:\w+)` \| (.+?) \|$", SCOPES_PAGE, re.MULTILINE)

    assert dict(rows) == SCOPES


def test_the_sections_that_the_guide_points_to_exist():
    assert "## OTP for Storefront Orders" in ENDPOINTS
    assert "## Website Chat (Integration)" in ENDPOINTS
    assert (DOCS / "store-api-key.md").exists()


def test_the_openapi_document_is_valid_and_complete():
    made = loads(document())

    validate(made)
    assert made["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in made["paths"].items() for method in item}
    shown = {
        (method.upper(), path)
        for method, path, _, _ in OPERATIONS
        if not any(spelling.search(path) for spelling in OTHER_SPELLINGS)
    }
    assert shown == described
    for path, item in made["paths"].items():
        for method, operation in item.items():
            assert operation["security"], (method, path)
            assert {"400", "401", "403", "404", "409", "429"} <= operation["responses"].keys()
            done = next(one for code, one in operation["responses"].items() if code < "300")
            schema = done.get("content", {}).get("application/json", {}).get("schema")
            assert schema is None or "$ref" in schema or "properties" in schema, (method, path)
            if method in ("post", "put", "patch") and not path.endswith(WITHOUT_BODY):
                assert "requestBody" in operation, (method, path)


def test_every_body_of_the_openapi_document_has_an_example_that_holds():
    made = loads(document())
    schemas = {"components": made["components"]}
    for answer in made["components"]["responses"].values():
        (content,) = answer["content"].values()
        Draft202012Validator({**schemas, **content["schema"]}).validate(content["example"])
    checked = 0
    for path, item in made["paths"].items():
        for method, operation in item.items():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            contents = (
                content
                for body in bodies
                for media, content in body.get("content", {}).items()
                if media.endswith("json")
            )
            for content in contents:
                validator = Draft202012Validator({**schemas, **content["schema"]})
                faults = [fault.message for fault in validator.iter_errors(content["example"])]
                assert not faults, (method, path, faults)
                checked += 1
    assert checked > 400


def test_the_document_is_made_without_a_warning():
    document()

    assert not GENERATOR_STATS  # what its maker warned of in this process


def test_the_document_and_its_pages_are_served(db):
    http = ApiClient("")

    assert http.get("/api/v1/openapi.json").status_code == 200
    page = http.get("/docs")
    assert page.status_code == 200
    assert b"swagger" in page.content.lower()
    assert b"https://cdn" not in page.content


def test_the_old_provider_is_in_no_file():
    root, name = DOCS.parent.parent, "flow" + "app"
    own = ("chat", "integrations", "store_modules", "storeplatform", "tests", "tickets", "DOCS")
    files = [file for folder in own for file in (root / folder).rglob("*") if file.is_file()]
    files += [file for file in root.iterdir() if file.is_file()]

    found = [
        str(file.relative_to(root))
        for file in files
        if "node_modules" not in file.parts
        and (name in file.name.lower() or name.encode() in file.read_bytes().lower())
    ]

    assert found == []


@pytest.mark.parametrize(("name", "rows"), TABLES.items())
def test_the_tables_that_repeat_the_code_are_the_codes(name, rows):
    assert table_of((SPECS / name).read_text()) == rows(), "run `make documents`"
