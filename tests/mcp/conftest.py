"""A real server of two workers, a store on it, and its owner with a browser."""

import pytest

from store_modules.stores.models import Membership
from tests.factories import a_member, a_store, a_user
from tests.mcp.agents import Wire
from tests.mcp.people import PASSWORD, Browser
from tests.servers import RunningServer


@pytest.fixture(scope="package")
def server(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        running = RunningServer(workers=2)
    running.url = f"http://localhost:{running.port}"
    running.mcp = f"{running.url}/api/v1/store/mcp"
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    yield
    while Wire.opened:
        Wire.opened.pop().http.close()


@pytest.fixture
def shop(parallel):
    """A store whose owner has a password; really committed."""
    store = a_store()
    store.owner = an_owner(store)
    return store


def an_owner(store, **values):
    user = a_user(**values)
    user.set_password(PASSWORD)
    user.save()
    a_member(store, role=Membership.Role.OWNER, user=user)
    return user


@pytest.fixture
def browser(server, shop):
    made = Browser(shop.owner, server.url)
    yield made
    made.close()
