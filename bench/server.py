"""The project on production settings and its own servers, for what measures it."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from storeplatform.local_servers import LocalServers

PORT = int(os.environ.get("PORT", "8077"))
SECRETS = (
    "SECRET_KEY", "JWT_KEY", "API_KEY_PEPPER", "TOKEN_KEY", "OTP_KEY", "CURSOR_KEY", "FIELD_KEY",
)  # fmt: skip


@contextmanager
def production(**settings: str) -> Iterator[LocalServers]:
    """Throw-away servers, and this process's environment made for them."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("The benchmark was ended.")
    )  # and its servers
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, LocalServers(Path(folder)) as own:
        os.environ |= {
            "APP_ENV": "production",
            "DATABASE_URL": own.database_url,
            "REDIS_URL": own.redis_url,
            "STATE_DIR": folder,
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_ORIGIN": f"http://127.0.0.1:{PORT}",
            "DJANGO_SETTINGS_MODULE": "storeplatform.settings",
            **{name: secrets.token_urlsafe(40) for name in SECRETS},
            **settings,
        }
        yield own


@contextmanager
def serving(*flags: str) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Two workers that are ready, and their log."""
    log = Path(os.environ["STATE_DIR"]) / "server.log"
    command = [
        sys.executable, "-m", "uvicorn", "storeplatform.asgi:application", "--port", str(PORT),
        "--workers", "2", "--no-access-log", "--http", "storeplatform.serving:Protocol",
        "--no-proxy-headers", "--loop", "uvloop", "--ws", "websockets-sansio",
        "--ws-per-message-deflate", "false", "--log-level", "warning", *flags,
    ]  # fmt: skip
    with log.open("wb") as output:
        server = subprocess.Popen(command, stderr=output, stdout=output)
    try:
        wait_for(log)
        yield server, log
    finally:
        server.terminate()
        server.wait()


def wait_for(log: Path) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{PORT}/health/ready").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(log.read_text()[-3000:])


def sign_in(store_id: uuid.UUID, user_id: uuid.UUID) -> dict[str, str]:
    """The headers of a fresh sign-in of the store's owner."""
    from store_modules.stores.models import SignIn
    from store_modules.stores.tokens import StoreAccessToken, new_end

    row = SignIn.objects.create(user_id=user_id, store_id=store_id, expires_at=new_end())
    return {"Authorization": f"Bearer {StoreAccessToken.of(row, 'store_owner')}"}


def memory_of(server: "subprocess.Popen[bytes]") -> list[int]:
    """MB of each worker, shared pages by their share."""
    found = subprocess.run(
        ["/bin/ps", "-ww", "--ppid", str(server.pid), "-o", "pid=,args="],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    sizes = []
    for line in found.stdout.splitlines():
        pid, args = line.split(None, 1)
        if "spawn_main" in args:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            sizes.append(int(rollup.partition("Pss:")[2].split()[0]) // 1024)
    return sizes
