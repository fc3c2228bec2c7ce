"""What all tests stand on: clean state, and clients that speak HTTP to the real application."""

import time

import hypothesis
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from integrations.otp import sms
from storeplatform.kernel import valkey
from storeplatform.kernel.cache import ShortMemory
from tests.clients import client_of, key_client_of
from tests.factories import a_store

# The suite tries the same examples each time; `make fuzz` looks for others.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2_000, deadline=None)
hypothesis.settings.load_profile("suite")

REFERENCE_TABLES = (
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "geography_province",
    "geography_area",
    "delivery_deliverycompany",
)


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker):
    """The database was cloned from the run's template before Django started."""
    yield
    with django_db_blocker.unblock():
        connection.close()


@pytest.fixture(autouse=True)
def _fresh_memory(request):
    """No credential, counter or message of another test."""
    for memory in ShortMemory.kept:
        memory.clear()
    valkey.client().flushdb()
    sms.OUTBOX.clear()


@pytest.fixture(autouse=True)
def _loopback_only(socket_disabled_beyond_loopback):
    """Tests reach no network."""


@pytest.fixture(scope="session")
def socket_disabled_beyond_loopback():
    import pytest_socket

    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture
def parallel(django_db_setup, django_db_blocker):
    """For tests with several connections: really committed, and all but the reference data
    emptied afterwards."""
    with django_db_blocker.unblock():
        yield
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename <> ALL(%s)",
                [list(REFERENCE_TABLES)],
            )
            (tables,) = cursor.fetchone()
            empty(cursor, f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        connection.close()


def empty(cursor, statement, tries=5):
    """A server that is still busy with the test may stand in the way for a moment."""
    for left in reversed(range(tries)):
        try:
            cursor.execute(statement)
            return
        except OperationalError:
            if not left:
                raise
            time.sleep(0.5)


@pytest.fixture
def store(db):
    """A store with Iraqi settings."""
    return a_store()


@pytest.fixture
def api(store):
    """The owner's dashboard client."""
    return client_of(store)


@pytest.fixture
def key(store):
    """A website's client: an API key with every scope."""
    return key_client_of(store)


@pytest.fixture
def queries():
    """Counts statements: `with queries() as seen: …; len(seen)`."""
    return lambda: CaptureQueriesContext(connection)
