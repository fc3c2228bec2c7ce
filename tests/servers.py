"""The real server against the test's database, for what only real connections show."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunningServer:
    """uvicorn with the front, ended by its own pid."""

    def __init__(
        self,
        workers=2,
        application="storeplatform.asgi:application",
        log=None,
        port=None,
        **environment,
    ):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", application,
                "--port", str(self.port), "--workers", str(workers), "--no-access-log",
                "--http", "storeplatform.serving:Protocol", "--ws", "websockets-sansio",
                "--no-proxy-headers", "--log-level", "warning", "--timeout-graceful-shutdown", "20",
                "--ws-max-size", str(64 * 1024), "--ws-per-message-deflate", "false",
            ],
            cwd=ROOT,
            stderr=log,
            env=os.environ
            | {"PORT": str(self.port), "RATE_LIMITS": "off", "LOG_LEVEL": "ERROR"}
            | environment,
        )  # fmt: skip
        try:
            self.wait()
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise

    def wait(self):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert self.process.poll() is None, "the server ended while starting"
            time.sleep(0.1)
        raise AssertionError("the server did not become ready")

    def worker_pids(self):
        found = subprocess.run(
            ["ps", "-ww", "--ppid", str(self.process.pid), "-o", "pid=,args="],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split(None, 1) for line in found.stdout.splitlines()]
        return [int(pid) for pid, args in lines if "spawn_main" in args]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


class RunningWorker:
    """The background worker as a process of its own."""

    def __init__(self, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "work"],
            cwd=ROOT,
            env=os.environ | {"LOG_LEVEL": "ERROR"} | environment,
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def until(condition, seconds=60):
    """Wait for what other processes do; returns what the condition gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def at_once(count, send):
    """`send(0)` to `send(count - 1)` in as many threads; their answers in order."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))
