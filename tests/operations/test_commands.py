"""The operators' commands, run as an operator runs them, on a database of their own."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from integrations.api_keys.scopes import SCOPES
from tests.servers import ROOT
from tests.servers_plugin import recreate, url_of

NAME = f"test_operations_{os.environ['TEST_TEMPLATE'][-8:]}"


class Desk:
    """A shell of the operator."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {
            "DATABASE_URL": url_of(NAME),
            "STATE_DIR": str(folder / "state"),
        }

    def run(self, *command, **environment):
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, command)],
            cwd=ROOT, env=self.environment | environment, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    def __call__(self, *command, **environment):
        done = self.run(*command, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sql(self, statement):
        with psycopg.connect(url_of(NAME), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    recreate(NAME, os.environ["TEST_TEMPLATE"])
    desk = Desk(tmp_path_factory.mktemp("desk"))
    (desk.folder / "state").mkdir()
    yield desk
    with psycopg.connect(url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


@pytest.fixture(scope="module")
def traded(desk):
    """A store with a key, a product, a past and an uploaded file."""
    made = json.loads(desk("create_store", "Baghdad Books", "--owner", "o@books.example", "--json"))
    made["key"] = desk("issue_key", made["storeId"], "--name", "Website")
    desk(
        "shell", "-c",
        "from integrations.api_keys.authentication import verify, actor_of\n"
        "from store_modules.catalog.services import create_product\n"
        f"actor = actor_of(verify('{made['key']}')[0])\n"
        "create_product(actor, {'sku': 'B-1', 'name': 'Atlas', 'price': 9000}, quantity=7)\n"
        "from integrations.webhooks.models import Endpoint\n"
        "from integrations.webhooks.sealing import sealed\n"
        "hook = Endpoint(store_id=actor.store_id, url='https://a.example/', events=['*'])\n"
        "hook.secret = sealed(hook, b'the secret of the receiver')\n"
        "hook.save(force_insert=True)\n",
    )  # fmt: skip
    until = f"{timezone.now() - timedelta(days=10):%Y-%m-%d}"  # so old that nobody was told
    desk("make_orders", "--store", made["storeId"], "--count", 40, "--days", 30, "--until", until)
    file = desk.folder / "state" / "media" / "ab" / "one.pdf"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"%PDF an invoice")
    return made


@pytest.mark.parametrize(
    "command",
    ["backup", "restore", "create_store", "issue_key", "rotate_secrets", "doctor"],
)
def test_help_says_what_a_command_is_for(desk, command):
    shown = desk(command, "--help")

    assert len(shown.split("options:")[0]) > 120


def test_a_store_is_opened_for_its_owner(desk, traded):
    again = json.loads(
        desk("create_store", "Second Shop", "--owner", "O@books.example", "--currency", "usd",
             "--json")
    )  # fmt: skip

    assert len(traded["password"]) >= 16
    assert "password" not in again  # the owner is known
    assert desk.sql(
        "SELECT count(*) FROM stores_membership WHERE role = 'store_owner' AND user_id ="
        " (SELECT id FROM stores_user WHERE email = 'o@books.example')"
    ) == [(2,)]
    assert desk.sql(
        f"SELECT currency_code FROM stores_storesettings WHERE store_id = '{again['storeId']}'"
    ) == [("USD",)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create_store", "X", "--owner", "nobody"], "email: Enter a valid email address."),
        (["create_store", "X", "--owner", "a@b.example", "--currency", "ZZZ"], "ISO 4217"),
        (["create_store", "X", "--owner", "a@b.example", "--timezone", "Mars"], "Asia/Baghdad"),
        (["issue_key", "Nowhere", "--name", "W"], "There is no store Nowhere"),
        (["issue_key", "Baghdad Books", "--name", "W", "--days", "-1"], "lie in the future"),
        (["issue_key", "Baghdad Books", "--name", "W", "--allow-ip", "x"], "CIDR"),
        (["issue_key", "Baghdad Books", "--name", "Website"], "Another live key has this name."),
        (["rotate_secrets", "PASSWORD"], "PASSWORD is no secret"),
        (["restore", "/nowhere"], "is no backup"),
        (["backup", "--to", "/proc/here"], "choose another --to"),
    ],
)
def test_a_wrong_word_gets_one_sentence(desk, traded, arguments, sentence):
    done = desk.run(*arguments)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_does_what_it_was_issued_for(desk, traded):
    key = desk(
        "issue_key", "Baghdad Books", "--name", "Till", "--scope", "orders:read", "--days", 0,
        "--allow-ip", "10.0.0.0/8",
    )  # fmt: skip

    (row,) = desk.sql(
        "SELECT scopes, expires_at, allowed_ips FROM api_keys_apikey"
        f" WHERE key_id = '{key.partition('.')[0]}'"
    )
    assert row == (["orders:read"], None, ["10.0.0.0/8"])
    assert traded["key"].startswith("stk_")
    assert desk.sql(
        f"SELECT scopes FROM api_keys_apikey WHERE key_id = '{traded['key'].partition('.')[0]}'"
    ) == [(list(SCOPES),)]
    assert desk.sql(
        "SELECT count(*) FROM kernel_auditevent WHERE action = 'api_key.created'"
        " AND actor_label = 'command line'"
    ) >= [(2,)]


def test_what_is_lost_comes_back_from_a_backup(desk, traded):
    folder = desk("backup", "--to", desk.folder / "backups")
    before = desk.sql("SELECT count(*), sum(total) FROM orders_order")
    desk.sql("TRUNCATE orders_orderitem, orders_order CASCADE")
    desk.sql("CREATE TABLE stray (id int)")
    desk.sql("UPDATE catalog_inventoryitem SET quantity_on_hand = 999")
    shutil.rmtree(desk.folder / "state" / "media")
    assert desk.run("doctor").returncode == 1

    refused = desk.run("restore", folder)
    said = desk("restore", folder, "--replace", NAME)

    assert f"--replace {NAME}" in refused.stderr
    assert "Restored what was backed up" in said
    assert desk.sql("SELECT count(*), sum(total) FROM orders_order") == before
    assert desk.sql("SELECT to_regclass('stray')") == [(None,)]
    assert (desk.folder / "state/media/ab/one.pdf").read_bytes() == b"%PDF an invoice"
    desk("migrate", "--check")
    assert "broken" not in desk("doctor")
    second = desk("backup", "--to", desk.folder / "second")  # a restored database is like any other
    desk("restore", second, "--replace", NAME)
    assert desk.sql("SELECT count(*), sum(total) FROM orders_order") == before


def test_an_empty_database_is_filled_without_a_word(desk, traded):
    folder = desk("backup", "--to", desk.folder / "empty", "--without-files")
    orders = desk.sql("SELECT count(*) FROM orders_order")
    recreate(NAME)

    desk("restore", folder)

    assert desk.sql("SELECT count(*) FROM orders_order") == orders
    assert "broken" not in desk("doctor")


def test_nothing_is_restored_over_a_running_server_or_from_a_damaged_backup(desk, traded):
    folder = desk("backup", "--to", desk.folder / "damaged")
    with psycopg.connect(url_of(NAME)) as server:
        server.execute("SELECT 1")
        running = desk.run("restore", folder, "--replace", NAME)
    other = desk.run("restore", folder, "--replace", NAME, FIELD_KEY="9:" + "another " * 5)
    with open(f"{folder}/database.dump", "r+b") as dump:  # noqa: PTH123
        dump.seek(2000)
        dump.write(b"flipped")
    damaged = desk.run("restore", folder, "--replace", NAME)

    assert "Stop the server and the workers first." in running.stderr
    assert "FIELD_KEY:1" in other.stderr
    assert "missing or damaged" in damaged.stderr
    assert desk.sql("SELECT count(*) FROM orders_order") > [(0,)]


def test_a_restore_that_fails_changes_nothing(desk, traded):
    folder = desk("backup", "--to", desk.folder / "broken")
    orders = desk.sql("SELECT count(*) FROM orders_order")
    dump = desk.folder / "broken" / folder.rpartition("/")[2] / "database.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) // 2])  # as if the disk had been full
    manifest = json.loads((dump.parent / "manifest.json").read_text())
    del manifest["files"]["database.dump"]
    (dump.parent / "manifest.json").write_text(json.dumps(manifest))

    failed = desk.run("restore", folder, "--replace", NAME)

    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert desk.sql("SELECT count(*) FROM orders_order") == orders


def test_without_pg_dump_the_fix_is_named(desk, traded, monkeypatch, db):
    from storeplatform.kernel import backups

    monkeypatch.setattr(backups, "program_folders", lambda: iter(()))

    with pytest.raises(backups.BackupError, match="apt-get install postgresql-client-"):
        backups.programs()


def test_secrets_are_renewed_without_a_gap(desk, traded):
    file = desk.folder / "environment"
    file.write_text("# kept\nOTHER=1\nexport FIELD_KEY=old\n")
    desk("rotate_secrets", "FIELD_KEY", "API_KEY_PEPPER", "SECRET_KEY", "--env-file", file)
    lines = dict(
        line.removeprefix("export ").split("=", 1)
        for line in file.read_text().splitlines()
        if "=" in line
    )
    renewed = {name: lines[name] for name in ("FIELD_KEY", "API_KEY_PEPPER", "SECRET_KEY")}

    told = desk("rotate_secrets", "--finish", **renewed)
    again = desk("rotate_secrets", "--finish", **renewed)
    only_new = renewed["FIELD_KEY"].split(",")[0]
    secret = desk(
        "shell", "-c",
        "from integrations.webhooks.models import Endpoint\n"
        "from integrations.webhooks.sealing import secrets_of\n"
        "print(secrets_of(Endpoint.objects.get(url='https://a.example/')))",
        **(renewed | {"FIELD_KEY": only_new}),
    )  # fmt: skip
    lost = desk.run(
        "rotate_secrets", "--finish", **(renewed | {"FIELD_KEY": "7:" + "unrelated" * 4})
    )

    assert file.read_text().startswith("# kept\nOTHER=1\nexport FIELD_KEY=2:")
    assert file.stat().st_mode & 0o077 == 0
    assert "FIELD_KEY: nothing counted on old versions" in told
    assert "API_KEY_PEPPER: version 1 has" in told
    assert told == again
    assert "the secret of the receiver" in secret
    assert "put the old version back" in lost.stderr


def test_every_sealed_column_is_sealed_anew():
    """A new BinaryField is registered, or named here with the reason."""
    from django.apps import apps
    from django.db.models import BinaryField

    from storeplatform.kernel.rotation import sealed_columns

    others = {
        "IdempotencyKey.id": "a hash",
        "IdempotencyKey.fingerprint": "a hash",
        "IdempotencyKey.body": "forgotten after a week",
    }
    found = {
        f"{model.__name__}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, BinaryField)
    }

    assert found == {f"{one.model.__name__}.{one.column}" for one in sealed_columns()} | set(others)
