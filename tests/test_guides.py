"""The guides' programs, run as they stand against a live server, print what their pages say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import actor_of_store, key_client_of
from tests.factories import a_member, a_product, a_store, a_user
from tests.mcp import clients as mcp_clients
from tests.mcp.people import PASSWORD
from tests.openapi.clients import FOLDER, run
from tests.servers import ROOT, RunningServer
from tests.signalr import clients as hub_clients
from tests.signalr.clients import tool

GUIDES = ROOT / "DOCS/03-integrations/guides"
PAGES = sorted(path for path in GUIDES.glob("*.md") if path.name != "README.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = ("sh", "python", "ts")


def program(page, language):
    """The page's blocks of one language, in order."""
    blocks = [text for kind, text in FENCE.findall(page.read_text()) if kind == language]
    return "\n".join(blocks)


def expected(page, language):
    """The text block of the language's own section, else the page's last."""
    heading = {"sh": "## curl", "python": "## Python", "ts": "## TypeScript"}[language]
    section = page.read_text().partition(f"{heading}\n")[2].partition("\n## ")[0]
    said = [text for kind, text in FENCE.findall(section) if kind == "text"]
    return said[0] if said else FENCE.findall(page.read_text())[-1][1]


def link_packages(folder):
    """One node_modules of all that the guides' programs import."""
    for packages in (FOLDER, hub_clients.FOLDER, mcp_clients.FOLDER):
        for package in (packages / "node_modules").iterdir():
            inner = package.iterdir() if package.name.startswith("@") else [package]
            for one in inner:
                place = folder / one.relative_to(packages / "node_modules")
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    place.symlink_to(one)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Every page's TypeScript, compiled strictly at once."""
    folder = tmp_path_factory.mktemp("guides")
    link_packages(folder / "node_modules")
    for name in ("tsconfig.json", "package.json"):
        (folder / name).symlink_to(FOLDER / name)
    for page in PAGES:
        (folder / f"{page.stem}.ts").write_text(program(page, "ts") + "\nexport {};\n")
    options = ("--preserveSymlinks", "--skipLibCheck")  # two packages differ over eventsource
    code, said = run("tsc", *options, "-p", "tsconfig.json", cwd=folder)
    assert code == 0, said
    return folder


@pytest.fixture
def live(parallel, tmp_path):
    """A server, its worker, and for each language a store of its own."""
    codes = tmp_path / "otp.jsonl"
    environment = {"OTP_PROVIDER": "file", "OTP_FILE": str(codes)}
    server = RunningServer(workers=1, **environment)
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "work"], cwd=ROOT, env=os.environ | {"LOG_LEVEL": "ERROR"}
    )
    yield f"http://localhost:{server.port}", codes  # agents' tokens are for this very address
    worker.terminate()
    server.stop()
    worker.wait(timeout=30)


def account(number):
    """A store as the guides find it: two people's worth of credentials and something to sell."""
    store = a_store()
    owner = a_user(email=f"owner{number}@shop.example")
    owner.set_password(PASSWORD)
    owner.save()
    a_member(store, role="store_owner", user=owner)
    actor_of_store(store)
    a_product(store, sku="SHIRT-M", quantity=50)
    return {
        "STORE_API_KEY": key_client_of(store).headers["X_API_Key"],
        "STORE_LOGIN": owner.email,
        "STORE_PASSWORD": PASSWORD,
    }


def command(page, language, compiled):
    if language == "sh":
        return ["bash", "-euo", "pipefail", "-c", program(page, "sh")]
    if language == "python":
        return [sys.executable, "-c", program(page, "python")]
    return [tool("node"), "--preserve-symlinks-main", str(compiled / f"{page.stem}.js")]


def test_every_guide_prints_what_its_page_says(live, compiled, tmp_path):
    url, codes = live
    person = tmp_path / "person"
    person.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.mcp.people "$1"\n')
    person.chmod(0o755)
    shared = {"STORE_URL": url, "OTP_FILE": str(codes), "BROWSER": str(person)}
    cases = [(page, language) for page in PAGES for language in LANGUAGES]

    said = {}
    for number, (page, language) in enumerate(cases):
        done = subprocess.run(
            command(page, language, compiled),
            env=os.environ | account(number) | shared,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said[page.name, language] = done.stdout + (done.stderr if done.returncode else "")

    assert said == {(page.name, language): expected(page, language) for page, language in cases}


def test_the_index_names_every_guide():
    index = (GUIDES / "README.md").read_text()

    assert all(f"({page.name})" in index for page in PAGES)
    assert all(len(program(page, language)) > 200 for page in PAGES for language in LANGUAGES)
    assert Path(GUIDES / "../webhooks.md").exists()
