"""schemathesis on the whole document: what it describes is what a live server does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.clients import client_of, key_client_of, visitor_client_of
from tests.factories import a_customer, a_product, a_store, an_order_body
from tests.servers import ROOT, RunningServer

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1"))


@pytest.fixture
def credentials(parallel):
    """Of a store with something in it."""
    store = a_store()
    api, key = client_of(store), key_client_of(store)
    product = a_product(store)
    a_customer(store)
    key.post("/orders", an_order_body(store, (product, 1)))
    visitor = visitor_client_of(store)
    return {
        "STORE_API_KEY": key.headers["X_API_Key"],
        "STORE_TOKEN": api.headers["Authorization"].removeprefix("Bearer "),
        "VISITOR_TOKEN": visitor.headers["Authorization"].removeprefix("Bearer "),
    }


def test_schemathesis_finds_nothing(credentials, tmp_path):
    server = RunningServer(workers=1, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN)
    try:
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{server.url}/api/v1/openapi.json",
            "--url",
            server.url,
            "--seed",
            "7",
            "--max-examples",
            str(EXAMPLES),
            "--phases",
            os.environ.get("FUZZ_PHASES", "examples,coverage,fuzzing"),
            "--workers",
            "2",
            "--continue-on-failure",
            "--report",
            "ndjson,json",
            "--report-dir",
            str(tmp_path),
        ]
        found = subprocess.run(
            command, cwd=ROOT, env=os.environ | credentials, capture_output=True, text=True
        )
    finally:
        server.stop()
    if keep := os.environ.get("FUZZ_KEEP"):
        shutil.copytree(tmp_path, keep, dirs_exist_ok=True)
        Path(keep, "out.txt").write_text(found.stdout + found.stderr)
    assert found.returncode == 0, found.stdout + found.stderr
