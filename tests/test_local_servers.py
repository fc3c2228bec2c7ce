"""The project's own servers: started, recognised, shared with nobody, recovered after a kill."""

import os
import shutil
import signal
import stat

import psycopg
import pytest
import redis

from storeplatform.local_servers import CannotStart, LocalServers


@pytest.fixture
def folder(tmp_path):
    """A state folder; what root's servers keep outside it is removed as well."""
    yield tmp_path / "s"
    home = LocalServers(tmp_path / "s").find_home()
    if home.parent != tmp_path:
        shutil.rmtree(home)


def test_servers_start_answer_and_keep_their_data(folder):
    with LocalServers(folder) as servers:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        client = redis.Redis.from_url(servers.redis_url)
        assert client.ping()
        client.close()
        assert stat.S_IMODE(servers.run.stat().st_mode) == 0o700
        with pytest.raises(CannotStart, match="already"):
            LocalServers(folder).__enter__()
        os.kill(servers.postgres.pid, signal.SIGKILL)
        servers.postgres.wait()

    with (
        LocalServers(folder) as servers,
        psycopg.connect(servers.database_url) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_another_major_version_is_refused(folder):
    folder.mkdir()
    data = LocalServers(folder).find_home() / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("12\n")

    with pytest.raises(CannotStart, match="made by PostgreSQL 12"):
        LocalServers(folder).__enter__()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(CannotStart, match="too long"):
        LocalServers(tmp_path / ("x" * 120)).__enter__()
