"""What the platform's operators do with stores: open, suspend and resume them."""

from typing import Any

from django.db import transaction

from store_modules.stores import trading
from store_modules.stores.authentication import forget_sign_ins
from store_modules.stores.models import Membership, Store, User
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict
from storeplatform.kernel.tenancy import Actor


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


@transaction.atomic
def change_status(store: Store, status: str, actor: Actor, *, request: Any = None) -> bool:
    """Suspend a store or let it trade again; False when it is so already. Its keys and sign-ins
    are refused, or serve, within five seconds."""
    locked = Store.objects.select_for_update().get(pk=store.pk)
    if locked.status == status:
        return False
    locked.status = status
    locked.save(update_fields=["status", "updated_at"])
    audit(
        "store.suspended" if status == Store.Status.SUSPENDED else "store.resumed",
        target=store.pk,
        actor=actor,
        request=request,
    )
    transaction.on_commit(forget_sign_ins)
    return True
