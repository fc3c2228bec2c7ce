"""The programs in the documents: found in their pages, compiled, and run as they stand."""

import os
import queue
import re
import subprocess
import textwrap
import threading
import time
from dataclasses import dataclass
from functools import cache
from itertools import count

from tests.clients import actor_of_store, key_client_of
from tests.factories import a_member, a_product, a_store, a_user
from tests.mcp import clients as mcp_clients
from tests.mcp.people import PASSWORD
from tests.openapi.clients import FOLDER, run
from tests.servers import ROOT
from tests.signalr import clients as hub_clients
from tests.signalr.clients import tool

INTEGRATIONS = ROOT / "DOCS/03-integrations"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$|^##+ (.*?)$", re.MULTILINE | re.DOTALL)
RUNNABLE = {"sh", "bash", "python", "ts", "js", "html"}
OWNERS = count(1)


@dataclass(frozen=True)
class Block:
    heading: str
    language: str
    text: str


@cache
def blocks(page):
    """The page's fenced blocks, in order, each with the heading that it stands under."""
    found, heading = [], ""
    for fence in FENCE.finditer(page.read_text()):
        _, language, text, title = fence.groups()
        if title is not None:
            heading = title
        else:
            found.append(Block(heading, language, textwrap.dedent(text)))
    return found


def program(page, language, heading=None):
    """The page's blocks of one language, in order; of one section when that is named."""
    return "\n".join(
        block.text
        for block in blocks(page)
        if block.language == language and heading in (None, block.heading)
    )


def account():
    """A store as the pages find it: two people's worth of credentials and something to sell."""
    store = a_store()
    owner = a_user(email=f"owner{next(OWNERS)}@shop.example")
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


def link_packages(folder):
    """One node_modules of all that the pages' programs import."""
    for packages in (FOLDER, hub_clients.FOLDER, mcp_clients.FOLDER):
        for package in (packages / "node_modules").iterdir():
            inner = package.iterdir() if package.name.startswith("@") else [package]
            for one in inner:
                place = folder / one.relative_to(packages / "node_modules")
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists():
                    place.symlink_to(one)


def compile_strictly(folder, programs):
    """TypeScript by name becomes JavaScript beside the packages."""
    link_packages(folder / "node_modules")
    for name in ("tsconfig.json", "package.json"):
        (folder / name).symlink_to(FOLDER / name)
    for name, text in programs.items():
        (folder / f"{name}.ts").write_text(text + "\nexport {};\n")
    options = ("--preserveSymlinks", "--skipLibCheck")  # two packages differ over eventsource
    code, said = run("tsc", *options, "-p", "tsconfig.json", cwd=folder)
    assert code == 0, said


def node(file):
    return [tool("node"), "--preserve-symlinks-main", str(file)]


class Running:
    """A program that goes on until it is stopped. `said` holds the lines that it printed."""

    def __init__(self, command, environment, cwd):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            cwd=cwd,
            text=True,
        )
        self.said, self.lines = [], queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            self.lines.put(self.said[-1])
        self.lines.put(None)

    def next_line(self, seconds=90):
        line = self.lines.get(timeout=seconds)
        assert line is not None, ("it ended", self.said)
        return line

    def hears(self, line, seconds=0.2):
        """Whether it printed the line, or does soon."""
        deadline = time.monotonic() + seconds
        while line not in self.said and time.monotonic() < deadline:
            time.sleep(0.01)
        return line in self.said

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.reader.join(5)
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Shell(Running):
    """Somebody who pastes a page's blocks into one shell, and reads what each prints."""

    END = "the end of what was pasted"

    def __init__(self, environment, cwd):
        super().__init__(["bash", "-euo", "pipefail"], environment, cwd)

    def paste(self, text):
        self.process.stdin.write(f"{text}\necho '{self.END}'\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.next_line()) != self.END:
            lines.append(line)
        return lines


def walk(page, environment, cwd):
    """What the page's shell blocks print, pasted one after the other."""
    with Shell(environment, cwd) as shell:
        return [line for block in pasted(page) for line in shell.paste(block.text)]


def pasted(page):
    """The page's shell blocks but the one that starts the platform: it runs already."""
    return [one for one in blocks(page) if one.language == "sh" and "make run" not in one.text]
