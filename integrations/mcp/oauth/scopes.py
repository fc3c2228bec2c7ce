"""What an agent may be allowed, as data (mcp.md, section 6). Write includes read."""

from collections.abc import Iterable
from dataclasses import dataclass

OFFLINE = "offline_access"


@dataclass(frozen=True, slots=True)
class Scope:
    """`grants` are the permissions of the dashboard that the scope stands for: a member's role
    must hold the first of them. `en` and `ar` say it on the consent page."""

    name: str
    grants: tuple[str, ...]
    en: str
    ar: str

    @property
    def writes(self) -> bool:
        return self.name.endswith(":write")


SCOPES: dict[str, Scope] = {
    scope.name: scope
    for scope in [
        Scope(
            "store:read",
            ("settings.read",),
            "See your store's name, currency, time zone and policies",
            "الاطلاع على اسم متجرك وعملته ومنطقته الزمنية وسياساته",
        ),
        Scope(
            "catalog:read",
            ("products.read", "categories.read"),
            "See your products, prices and categories",
            "الاطلاع على المنتجات والأسعار والتصنيفات",
        ),
        Scope(
            "orders:read",
            ("orders.read",),
            "See your orders, without customers' names and phones",
            "الاطلاع على الطلبات من دون أسماء الزبائن وأرقام هواتفهم",
        ),
        Scope(
            "inventory:read",
            ("inventory.read",),
            "See how much of each product is in stock",
            "الاطلاع على كميات المخزون",
        ),
        Scope(
            "customers:read",
            ("customers.read",),
            "See your customers: names, phones, addresses and what they bought",
            "الاطلاع على بيانات الزبائن: الأسماء والهواتف والعناوين والمشتريات",
        ),
        Scope("tickets:read", ("tickets.read",), "Read support tickets", "قراءة تذاكر الدعم"),
        Scope(
            "messaging:read",
            ("chat.read",),
            "Read conversations with customers",
            "قراءة المحادثات مع الزبائن",
        ),
        Scope(
            "analytics:read",
            ("analytics.read",),
            "See sales figures and reports",
            "الاطلاع على أرقام المبيعات والتقارير",
        ),
        Scope(
            "catalog:write",
            ("products.write", "products.cost"),
            "Change products and prices, and see what they cost you",
            "تعديل المنتجات والأسعار والاطلاع على كلفتها",
        ),
        Scope(
            "inventory:write",
            ("inventory.write",),
            "Change stock quantities",
            "تعديل كميات المخزون",
        ),
        Scope(
            "orders:write",
            ("orders.write", "orders.cancel"),
            "Place orders, move or cancel them, and send one-time codes to customers",
            "إنشاء الطلبات ونقلها أو إلغاؤها وإرسال رموز التحقق إلى الزبائن",
        ),
        Scope(
            "customers:write",
            ("customers.write",),
            "Change customers' tags and notes",
            "تعديل وسوم الزبائن وملاحظاتهم",
        ),
        Scope(
            "tickets:write",
            ("tickets.update", "tickets.create"),
            "Open, answer and change support tickets",
            "فتح تذاكر الدعم والرد عليها وتعديلها",
        ),
        Scope(
            "messaging:write",
            ("chat.reply",),
            "Send messages to customers in your name",
            "إرسال رسائل إلى الزبائن باسمك",
        ),
        Scope(
            "purchasing:write",
            ("purchase_orders.write", "purchase_orders.read", "suppliers.read"),
            "Draft purchase orders to your suppliers",
            "إعداد مسودات أوامر الشراء للموردين",
        ),
    ]
}


def implied(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with what they include."""
    given = set(scopes)
    reads = {scope.replace(":write", ":read") for scope in given if scope.endswith(":write")}
    return frozenset(given | (reads & SCOPES.keys()))


def grants_of(scopes: Iterable[str]) -> frozenset[str]:
    """The dashboard's permissions that scopes stand for together."""
    return frozenset(
        grant for scope in implied(scopes) if scope in SCOPES for grant in SCOPES[scope].grants
    )


def allowed_to(grants: frozenset[str], scopes: Iterable[str]) -> list[str]:
    """Those of the scopes that a role with these permissions can give, in the page's order."""
    asked = set(scopes)
    return [s.name for s in SCOPES.values() if s.name in asked and s.grants[0] in grants]
