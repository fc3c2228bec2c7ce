"""The commands of DOCS/operations.md, pasted as they stand on a database of their own."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from tests.pages import Shell, blocks
from tests.servers import ROOT
from tests.servers_plugin import recreate, url_of

PAGE = ROOT / "DOCS/operations.md"
NAME = f"test_operations_page_{os.environ['TEST_TEMPLATE'][-8:]}"


@pytest.fixture
def variables(tmp_path):
    """A new platform's, with the two that the page names."""
    recreate(NAME, os.environ["TEST_TEMPLATE"])
    settings = tmp_path / "store-platform.env"
    settings.write_text(f"FIELD_KEY=1:{'k' * 32}\n")
    (tmp_path / "backups").mkdir()
    yield {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": url_of(NAME),
        "STATE_DIR": str(tmp_path / "state"),
        "BACKUPS": str(tmp_path / "backups"),
        "ENV_FILE": str(settings),
    }
    recreate(NAME)


def test_the_commands_of_the_page_work(variables):
    serve, begin, backup, rotate = [one.text for one in blocks(PAGE) if one.language == "sh"]
    with Shell(variables, ROOT) as shell:
        said = shell.paste(begin)
        assert said[-1].startswith("stk_")
        shell.paste(backup)
        said = shell.paste(rotate)

    assert "storeplatform.run" in serve  # what every test's server is
    (made,) = Path(variables["BACKUPS"]).iterdir()
    assert {file.name for file in made.iterdir()} >= {"database.dump", "manifest.json"}
    assert any(line.startswith("API_KEY_PEPPER=2:") for line in said)
    assert Path(variables["ENV_FILE"]).read_text().startswith("FIELD_KEY=2:")


def test_the_scraper_of_the_page_is_well_formed():
    (text,) = [one.text for one in blocks(PAGE) if one.language == "yaml"]
    (job,) = yaml.safe_load(text)["scrape_configs"]

    assert job["scheme"] == "https"
    assert job["static_configs"][0]["targets"]
