"""Every permission of the dashboard, as data: who has it by default, who may be given it.

The table is platform.md, section 5; `DOCS/03-integrations/specs/store/auth-and-scopes.md` shows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from storeplatform.kernel.errors import Refusal


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission, what it covers, and whether staff have it unless told otherwise."""

    name: str
    covers: str
    staff_default: bool = True
    grantable: bool = True


def read_write(resource: str, covers: str) -> list[Grant]:
    return [
        Grant(f"{resource}.read", f"see {covers}"),
        Grant(f"{resource}.write", f"change {covers}"),
    ]


GRANTS: dict[str, Grant] = {
    grant.name: grant
    for grant in [
        *read_write("settings", "the store's settings"),
        *read_write("categories", "categories"),
        *read_write("products", "products, variants and media"),
        *read_write("inventory", "stock levels and adjustments"),
        *read_write("orders", "orders, payments and returns"),
        Grant("orders.cancel", "cancel orders"),
        *read_write("customers", "customers"),
        Grant("customers.export", "export customers", staff_default=False),
        *read_write("suppliers", "suppliers"),
        *read_write("purchase_orders", "purchase orders and their attachments"),
        *read_write("expenses", "expenses"),
        Grant("cashier.use", "sessions, sales and pinned products of the till"),
        Grant("cashier.settings", "change the till's settings"),
        *read_write("discounts", "discount rules and codes"),
        *read_write("shipping", "shipping rules"),
        *read_write("package_sizes", "package sizes"),
        *read_write("print_templates", "print templates"),
        Grant("analytics.read", "see the reports"),
        Grant("products.cost", "see cost prices, cost of goods and profit"),
        Grant("customers.delete", "anonymise customers", staff_default=False),
        Grant("customers.merge", "merge customers", staff_default=False),
        Grant("purchase_orders.close", "give up the rest of a purchase", staff_default=False),
        Grant("orders.refund_over_limit", "refund above the limit", staff_default=False),
        Grant("cashier.close_others", "close another person's session", staff_default=False),
        Grant("settlements.read", "see courier settlements", staff_default=False),
        Grant("settlements.accept", "accept courier settlements", staff_default=False),
        Grant("delivery.manage", "link delivery companies", staff_default=False),
        Grant("data.import", "import spreadsheets", staff_default=False),
        Grant("tickets.read", "see tickets"),
        Grant("tickets.create", "open tickets"),
        Grant("tickets.update", "change tickets"),
        Grant("tickets.delete", "delete tickets"),
        Grant("tickets.restore", "bring deleted tickets back", staff_default=False),
        Grant("chat.read", "read the inbox"),
        Grant("chat.reply", "answer in the inbox"),
        Grant("chat.assign", "assign conversations"),
        Grant("chat.moderate", "delete messages, block visitors", staff_default=False),
        Grant("chat.settings", "change chat channels", staff_default=False),
        Grant("canned_replies.write", "change canned replies"),
        Grant("webhooks.read", "see webhooks", staff_default=False),
        Grant("webhooks.manage", "change webhooks", staff_default=False),
        Grant("api_keys.read", "list API keys", staff_default=False),
        Grant("api_logs.read", "see the log of API calls", staff_default=False),
        Grant("audit.read", "see the audit log", staff_default=False),
        Grant("staff.read", "list colleagues"),
        Grant("agents.connect", "let AI agents act in one's own name"),
        Grant(
            "agents.manage",
            "see and end everybody's agents, approve what they ask, register redirect URIs",
            staff_default=False,
        ),
        Grant("api_keys.manage", "issue and revoke keys", staff_default=False, grantable=False),
        Grant("staff.manage", "invite and change colleagues", staff_default=False, grantable=False),
        Grant("store.transfer", "give the store away", staff_default=False, grantable=False),
        Grant("store.delete", "delete the store", staff_default=False, grantable=False),
    ]
}
ALL = frozenset(GRANTS)
STAFF_DEFAULTS = frozenset(name for name, grant in GRANTS.items() if grant.staff_default)


def effective(*, is_owner: bool, grants: Iterable[str], denies: Iterable[str]) -> frozenset[str]:
    """What a member may do: owners everything; staff the defaults and grants, less the denies."""
    if is_owner:
        return ALL
    return (STAFF_DEFAULTS | (ALL & set(grants))) - set(denies)


def check_known(names: Iterable[str], *, field: str) -> None:
    """Refuses names that do not exist: a deny with a slip of the pen would deny nothing."""
    wrong = [name for name in names if name not in GRANTS]
    if wrong:
        raise Refusal(
            "validation_error",
            "Not every name is a permission.",
            errors={field: [f"There is no permission {name}." for name in wrong]},
        )


def check_grantable(names: Iterable[str], *, field: str) -> None:
    """Refuses names that do not exist or that only an owner may have."""
    wrong = [name for name in names if name not in GRANTS or not GRANTS[name].grantable]
    if wrong:
        raise Refusal(
            "validation_error",
            "Not every name can be granted.",
            errors={field: [f"{name} cannot be granted." for name in wrong]},
        )
