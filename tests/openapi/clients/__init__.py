"""npm programs that read our OpenAPI document, run from their own folder."""

import os
import subprocess
from pathlib import Path

from tests.signalr.clients import tool

FOLDER = Path(__file__).parent
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def run(*command, cwd=FOLDER, **environment):
    """A program of the npm packages; its output, or an AssertionError with it."""
    program = FOLDER / "node_modules" / ".bin" / command[0]
    assert program.exists(), "The npm packages are missing: run `make test`, which installs them."
    node = str(Path(tool("node")).parent)
    done = subprocess.run(
        [program, *command[1:]],
        cwd=cwd,
        env=os.environ | QUIET | environment | {"PATH": node + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr
