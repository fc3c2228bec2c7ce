"""The official TypeScript clients and the conformance checks, as programs."""

import subprocess
from pathlib import Path

from tests.signalr.clients import tool

FOLDER = Path(__file__).parent
CHECKS = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


def node(*arguments, **options):
    """Starts Node with the folder's packages."""
    assert CHECKS.exists(), "The npm packages are missing: run `make test`, which installs them."
    return subprocess.Popen(
        [tool("node"), *map(str, arguments)],
        cwd=FOLDER,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )
