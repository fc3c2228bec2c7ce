"""DOCS/new-module.md, carried out on a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.servers import ROOT
from tests.servers_plugin import recreate, url_of

PAGE = (ROOT / "DOCS/new-module.md").read_text()
BLOCK = r"\n\n```(?:python|text|toml)\n(.*?)```"
MADE = re.compile(r"Make `(store_modules/vehicles/\w+\.py)`:" + BLOCK, re.DOTALL)
FIRST = re.compile(r"and `(store_modules/vehicles/models\.py)`:" + BLOCK, re.DOTALL)
ADDED = re.compile(r"In `([\w/.]+)`, below `([^`]+)`[^\n]*:" + BLOCK, re.DOTALL)
OWN_TEST = re.compile(r"`tests/store_modules/test_vehicles\.py`.*?" + BLOCK[4:], re.DOTALL)
USE = """
import json
from tests.clients import client_of
from tests.factories import a_store

api, stranger = client_of(a_store()), client_of(a_store())
made = api.post("/vehicles", {"name": "Van", "plate": "A 1"})
again = api.post("/vehicles", {"name": "Lorry", "plate": "A 1"})
path = f"/vehicles/{made.json()['id']}"
print(json.dumps([
    made.status_code, again.json()["code"], api.get("/vehicles?search=van").json()["totalCount"],
    api.put(path, {"name": "Bus"}).json()["name"], stranger.get(path).status_code,
    api.delete(path).status_code, api.get(path).status_code,
]))
"""


@pytest.fixture
def project(tmp_path):
    """A copy with the steps applied, and a database cloned from the run's."""
    left_out = shutil.ignore_patterns(
        ".venv", ".git", "node_modules", "var", "__pycache__", ".*_cache", ".hypothesis", "examples"
    )
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=left_out)
    (copy / "store_modules/vehicles/migrations").mkdir(parents=True)
    for folder in ("", "migrations/"):
        (copy / f"store_modules/vehicles/{folder}__init__.py").touch()
    for path, text in FIRST.findall(PAGE) + MADE.findall(PAGE):
        (copy / path).write_text(text)
    for path, line, text in ADDED.findall(PAGE):
        whole = (copy / path).read_text()
        assert whole.count(f"{line}\n") == 1, (path, line)
        (copy / path).write_text(whole.replace(f"{line}\n", f"{line}\n{text}"))
    name = f"test_module_{os.getpid()}"
    recreate(name, template=os.environ["TEST_TEMPLATE"])
    yield copy, url_of(name)
    recreate(name)


def python(project, *command):
    copy, database = project
    return subprocess.run(
        [sys.executable, "-W", "ignore", *command],
        cwd=copy,
        env=os.environ
        | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "storeplatform.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip


def test_a_new_module_takes_less_than_forty_lines():
    blocks = [text for *_, text in FIRST.findall(PAGE) + MADE.findall(PAGE) + ADDED.findall(PAGE)]
    lines = [line for text in blocks for line in text.splitlines() if line.strip()]

    assert len(blocks) == 10
    assert f"\nits own. {len(lines)} lines of code;" in PAGE
    assert len(lines) < 40


def test_the_steps_to_a_new_module_work(project):
    steps = (
        ("manage.py", "makemigrations", "vehicles", "-v0"),
        ("manage.py", "check", "--fail-level", "WARNING"),
        ("manage.py", "migrate", "-v0"),
    )
    for step in steps:
        done = python(project, *step)
        assert done.returncode == 0, done.stdout + done.stderr
    own_test = OWN_TEST.search(PAGE)[1]
    (name,) = re.findall(r"def (test_\w+)\(api\)", own_test)
    program = f"import django; django.setup()\n{USE}\n{own_test}\n{name}(client_of(a_store()))"

    used = python(project, "-c", program)

    assert used.returncode == 0, used.stderr
    assert used.stdout.strip() == '[201, "duplicate_plate", 1, "Bus", 404, 204, 404]'
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "store_modules/vehicles", "storeplatform"],
        cwd=project[0], capture_output=True, text=True,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout
