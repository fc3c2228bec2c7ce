"""The guides' programs, run as they stand against a live server, print what their pages say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from integrations.otp.models import OtpChallenge
from tests.pages import account, blocks, compile_strictly, node, program
from tests.servers import ROOT, RunningServer, RunningWorker

GUIDES = ROOT / "DOCS/03-integrations/guides"
PAGES = sorted(path for path in GUIDES.glob("*.md") if path.name != "README.md")
LANGUAGES = ("sh", "python", "ts")


def expected(page, language):
    """The text block of the language's own section, else the page's last."""
    heading = {"sh": "curl", "python": "Python", "ts": "TypeScript"}[language]
    said = [block for block in blocks(page) if block.language == "text"]
    own = [block.text for block in said if block.heading == heading]
    return (own or [said[-1].text])[0]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Every page's TypeScript, compiled strictly at once."""
    folder = tmp_path_factory.mktemp("guides")
    compile_strictly(folder, {page.stem: program(page, "ts") for page in PAGES})
    return folder


@pytest.fixture
def live(parallel, tmp_path):
    """A server and its worker."""
    codes = tmp_path / "otp.jsonl"
    environment = {"OTP_PROVIDER": "file", "OTP_FILE": str(codes)}
    server = RunningServer(workers=1, **environment)
    worker = RunningWorker()
    yield f"http://localhost:{server.port}", codes  # agents' tokens are for this very address
    worker.stop()
    server.stop()


def command(page, language, compiled):
    if language == "sh":
        return ["bash", "-euo", "pipefail", "-c", program(page, "sh")]
    if language == "python":
        return [sys.executable, "-c", program(page, "python")]
    return node(compiled / f"{page.stem}.js")


def test_every_guide_prints_what_its_page_says(live, compiled, tmp_path):
    url, codes = live
    person = tmp_path / "person"
    person.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m tests.mcp.people "$1"\n')
    person.chmod(0o755)
    shared = {"STORE_URL": url, "OTP_FILE": str(codes), "BROWSER": str(person)}
    cases = [(page, language) for page in PAGES for language in LANGUAGES]

    stores = {page: account() for page in PAGES}  # a reader tries one language after the other

    said = {}
    for page, language in cases:
        if page.stem == "move-from-another-platform":
            stores[page] = account()  # moving the same orders again says something else
        OtpChallenge.objects.all().delete()  # as if a minute had passed
        done = subprocess.run(
            command(page, language, compiled),
            env=os.environ | stores[page] | shared,
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
