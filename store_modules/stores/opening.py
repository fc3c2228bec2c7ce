"""Opening a store for somebody, as the platform's operators do."""

from typing import Any

from django.db import transaction

from store_modules.stores import trading
from store_modules.stores.models import Membership, Store, User
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict


@transaction.atomic
def open_store(
    name: str, *, email: str, full_name: str, password: str, trade: dict[str, Any]
) -> tuple[Store, User, bool]:
    """A store with settings and an owner: the person with that e-mail address, or a new one (then
    the last is True). A person who is known keeps the password. Raises Conflict
    `account_disabled`."""
    owner = User.objects.filter(email=email.lower()).first()
    is_new = owner is None
    if owner is None:
        owner = User.objects.create_user(email, password, full_name=full_name)
    elif not owner.is_active:
        raise Conflict("account_disabled", "The account of this address is disabled.")
    store = Store.objects.create(name=name)
    Membership.objects.create(user=owner, store=store, role=Membership.Role.OWNER)
    trading.initialise(store.pk, trade)
    audit("store.created", store_id=store.pk, target=store.pk, label="command line",
          changes={"name": name, "owner": str(owner.pk)})  # fmt: skip
    return store, owner, is_new
