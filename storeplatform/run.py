"""`python -m storeplatform.run`: servers, migrations, demo data, the background worker, uvicorn.

With `--server` only the last: where migrations and workers have hosts of their own.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storeplatform.settings")
    development = os.environ.get("APP_ENV") == "development"
    with ExitStack() as stack:
        if development:
            start_local_servers(stack)
        import django
        from django.conf import settings

        refuse_taken_port(settings.ENV.HOST, settings.ENV.PORT)
        django.setup()
        if "--server" not in sys.argv[1:]:
            prepare(development)
            worker = Worker()
            stack.callback(worker.stop)
            worker.start()
        say(banner(settings, development))
        forget_dead_processes()
        serve(settings.ENV)
    return 0


def start_local_servers(stack: ExitStack) -> None:
    """Our own PostgreSQL and Valkey, unless settings name others."""
    from storeplatform.local_servers import CannotStart, LocalServers

    wanted = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    if not wanted:
        return
    state_dir = Path(os.environ.get("STATE_DIR", ROOT / "var"))
    try:
        servers = stack.enter_context(LocalServers(state_dir))
    except CannotStart as fault:
        raise SystemExit(str(fault)) from None
    os.environ.setdefault("DATABASE_URL", servers.database_url)
    os.environ.setdefault("REDIS_URL", servers.redis_url)


def refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise SystemExit(f"Port {port} is taken; set PORT to another.") from None


def prepare(development: bool) -> None:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    call_command("load_geography", verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    if development:
        call_command("create_demo")
    connection.close()


class Worker:
    """The background process; started again when it dies."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self.keep, daemon=True).start()

    def keep(self) -> None:
        while not self.stopping.is_set():
            self.process = subprocess.Popen(
                ["nice", "-n", "5", sys.executable, str(ROOT / "manage.py"), "work"]
            )  # requests come first
            self.process.wait()
            self.stopping.wait(1)

    def stop(self) -> None:
        self.stopping.set()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()


def serve(environment: Any) -> None:
    import uvicorn

    from storeplatform.serving import Protocol

    uvicorn.run(
        "storeplatform.asgi:application",
        host=environment.HOST,
        port=environment.PORT,
        workers=environment.WORKERS,
        http=Protocol,
        loop="uvloop",
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # the hubs have their own
        timeout_keep_alive=75,
        timeout_graceful_shutdown=20,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # the client's address is ours to find: kernel.middleware
        lifespan="on",
    )


def forget_dead_processes() -> None:
    from storeplatform.kernel import metrics

    metrics.forget_dead()


def banner(settings: Any, development: bool) -> str:
    origin = settings.PUBLIC_ORIGIN
    lines = [
        "",
        "Store Platform is serving.",
        f"  API          {origin}/api/v1/",
        f"  API pages    {origin}/docs",
        f"  Inbox        {origin}/inbox",
        f"  Admin        {origin}/admin/",
        f"  Health       {origin}/health/ready",
    ]
    if development:
        demo = json.loads((settings.STATE_DIR / "demo.json").read_text())
        lines += [
            "",
            f"  Sign in      {demo['email']}  {demo['password']}",
            f"  API key      {demo['apiKey']}",
            f"  Demo shop    {origin}/demo-shop",
            f"  Codes go to  {settings.OTP_FILE}",
            "",
            "  For the programs of DOCS, in another terminal:",
            "",
            f"export STORE_URL={origin} OTP_FILE={shlex.quote(str(settings.OTP_FILE))}",
            f"export STORE_LOGIN={demo['email']} STORE_PASSWORD={shlex.quote(demo['password'])}",
            f"export STORE_API_KEY={demo['apiKey']}",
            "",
            "  Ctrl+C stops everything.",
        ]
    return "\n".join([*lines, ""])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
