"""The OpenAPI document under the field's linters, and a client generated from it."""

import json
import os
import subprocess

import pytest
from django.conf import settings

from storeplatform.kernel.openapi import document
from tests.clients import key_client_of
from tests.factories import a_product, a_store
from tests.openapi.clients import FOLDER, run
from tests.servers import RunningServer
from tests.signalr.clients import tool


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The document as a file."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_bytes(document())
    return path


def test_redocly_finds_nothing(written):
    code, said = run("redocly", "lint", "--config", "redocly.yaml", "--format", "json", written)

    problems = json.loads(said[said.index("{") : said.rindex("}") + 1])["problems"]
    assert [(one["ruleId"], one["message"]) for one in problems] == []
    assert code == 0


def test_spectral_finds_nothing(written):
    code, said = run("spectral", "lint", "--fail-severity", "hint", "-r", "spectral.yaml", written)

    assert code == 0, said


def test_a_generated_client_compiles_strictly_and_places_an_order(written, parallel, tmp_path):
    store = a_store()
    product = a_product(store, quantity=5)
    key = key_client_of(store)
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    for name in ("place_order.ts", "tsconfig.json", "package.json"):
        (tmp_path / name).symlink_to(FOLDER / name)

    code, said = run("openapi-typescript", written, "-o", tmp_path / "store-api.d.ts")
    assert code == 0, said
    code, said = run("tsc", "--preserveSymlinks", "-p", "tsconfig.json", cwd=tmp_path)
    assert code == 0, said

    server = RunningServer(workers=1, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN)
    try:
        placed = subprocess.run(
            [tool("node"), "--preserve-symlinks-main", "place_order.js"],
            cwd=tmp_path,
            env=os.environ | {"STORE_URL": server.url, "STORE_API_KEY": key.headers["X_API_Key"]},
            capture_output=True,
            text=True,
        )
    finally:
        server.stop()

    assert placed.returncode == 0, placed.stderr
    assert json.loads(placed.stdout)["total"] == str(2 * int(product.price) + 5000)
    assert (
        key.get(f"/orders?search={json.loads(placed.stdout)['number']}").json()["totalCount"] == 1
    )
