"""The README's commands, and its table of settings, hold."""

import json
import os
import re
import subprocess
import sys

from django.conf import settings

from storeplatform.environment import Environment
from tests.clients import key_client_of
from tests.factories import a_product, a_store
from tests.servers import ROOT, RunningServer

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_first_call_and_the_first_order_work_as_pasted(parallel, tmp_path):
    store = a_store()
    a_product(store, sku="TEA-500")
    key = key_client_of(store).headers["X_API_Key"]
    codes = tmp_path / "otp.jsonl"
    server = RunningServer(
        workers=1, PUBLIC_ORIGIN=settings.PUBLIC_ORIGIN, OTP_PROVIDER="file", OTP_FILE=str(codes)
    )
    first_call = next(block for block in BLOCKS if block.startswith("curl"))
    first_order = next(block for block in BLOCKS if "orders/storefront" in block)
    program = first_call + "\necho\n" + first_order
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", program],
            env=os.environ
            | {"STORE_URL": server.url, "STORE_API_KEY": key, "OTP_FILE": str(codes)},
            capture_output=True,
            text=True,
        )
    finally:
        server.stop()

    assert done.returncode == 0, done.stderr
    products, sent, number = done.stdout.split("\n")[0:1] + done.stdout.split("\n")[-3:-1]
    assert [one["sku"] for one in json.loads(products)["items"]] == ["TEA-500"]
    assert json.loads(sent)["sent"] is True
    assert json.loads(sent)["expiresInSeconds"] == 300
    assert number == "ORD-1001"


def test_every_command_and_place_that_it_names_exists():
    targets = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?m)(?:`|^)make\s([a-z-]+)", README))
    commands = set(re.findall(r"manage\.py ([a-z_]+)", README))
    known = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "help", "--commands"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    links = re.findall(r"\]\(([^)#]+)", README)

    assert named <= targets
    assert commands <= set(known)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_settings_are_the_codes():
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    named = {
        name
        for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    }
    real = {str(field.validation_alias or name) for name, field in Environment.model_fields.items()}

    assert real <= named


def test_for_real_names_every_way_to_deploy_and_how_it_grows():
    for_real = README.partition("## For real")[2].partition("\n## ")[0]
    beyond = README.partition("## Beyond one machine")[2].partition("\n## ")[0]
    named = set(re.findall(r"\]\((compose\.yaml|deploy/[^)]+)\)", for_real))

    assert {"compose.yaml", "deploy/store-platform.service", "deploy/kubernetes.yaml"} <= named
    for word in ("PostgreSQL", "Valkey", "TLS", "worker", "Backups", "Upgrade", "restore"):
        assert word in for_real, word
    for word in ("manage.py work", "replicas", "Citus", "`store_id`", "Redis cluster", "Celery"):
        assert word in beyond, word
    assert "measured" in beyond


def test_its_licence_is_the_api_documents():
    files = [file.name for file in ROOT.iterdir() if file.name.upper().startswith("LICEN")]

    assert files == []
    assert settings.SPECTACULAR_SETTINGS["LICENSE"]["name"] in README
