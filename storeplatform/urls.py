"""Every route on one page: the dashboard's router, the API-key router, and the plain paths."""

import re
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularSwaggerView
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.routers import SimpleRouter

from chat import pages as chat_pages
from chat.views import (
    Attachments,
    CannedReplies,
    Channels,
    Conversations,
    Feed,
    Messages,
    Visitors,
)
from chat.widget import OwnAttachments, OwnConversations, OwnMessages, Widget
from integrations.api_keys.views import ApiKeyViewSet, WhoAmI
from integrations.catalog.views import CatalogInventory, CatalogMovements, CatalogProducts
from integrations.chat.views import (
    KeyAttachments,
    KeyCannedReplies,
    KeyConversations,
    KeyFeed,
    KeyMessages,
)
from integrations.mcp.oauth import metadata, pages
from integrations.mcp.oauth import views as oauth
from integrations.mcp.views import (
    AgentCallViewSet,
    AgentSettingsView,
    AgentViewSet,
    PendingActionViewSet,
    RedirectUris,
)
from integrations.nawa.views import NawaWebhooks
from integrations.orders.views import (
    KeyDeliveryCompanies,
    KeyLabels,
    KeyOrders,
    KeyReturnRequests,
)
from integrations.webhooks.feed import EventFeed
from integrations.webhooks.views import Deliveries, EndpointViewSet
from store_modules.analytics.views import Analytics
from store_modules.cashier.views import CashierView, SaleViewSet, SessionViewSet
from store_modules.catalog.views import (
    CategoryViewSet,
    InventoryViewSet,
    MovementViewSet,
    ProductViewSet,
)
from store_modules.customers.views import CustomerViewSet
from store_modules.delivery.views import (
    DeliveryCompanies,
    DispatchViewSet,
    LinkViewSet,
    SettlementViewSet,
)
from store_modules.discounts.views import CodeViewSet, RuleViewSet
from store_modules.expenses.views import ExpenseViewSet
from store_modules.geography.views import AddressReference
from store_modules.orders.views import OrderStatuses, OrderViewSet, ReturnRequestViewSet
from store_modules.printing.views import Labels, PrintTemplateViewSet
from store_modules.purchasing.views import PurchaseViewSet, SupplierViewSet
from store_modules.shipping.views import PackageSizeViewSet, ShippingRuleViewSet
from store_modules.spreadsheets.views import (
    CustomerExport,
    CustomerImport,
    ExpenseExport,
    ExpenseImport,
    ImportViewSet,
    OrderExport,
    OrderImport,
    ProductExport,
    ProductImport,
)
from store_modules.stores.views import AuthView, MeView, SettingsView, StaffView, jwks
from storeplatform import problem_pages
from storeplatform.kernel import health
from storeplatform.kernel.openapi import openapi_json
from storeplatform.kernel.views import AuditLog
from tickets.views import Comments, History, TicketViewSet

store_router = SimpleRouter(trailing_slash=False)
store_router.register("api-keys", ApiKeyViewSet)
store_router.register("categories", CategoryViewSet)
store_router.register("products", ProductViewSet)
store_router.register("inventory/movements", MovementViewSet)
store_router.register("inventory", InventoryViewSet)
store_router.register("audit-log", AuditLog)
store_router.register("customers", CustomerViewSet)
store_router.register("orders", OrderViewSet)
store_router.register("return-requests", ReturnRequestViewSet)
store_router.register("suppliers", SupplierViewSet)
store_router.register("purchase-orders", PurchaseViewSet)
store_router.register("discounts/rules", RuleViewSet)
store_router.register("discounts/codes", CodeViewSet)
store_router.register("shipping/rules", ShippingRuleViewSet)
store_router.register("package-sizes", PackageSizeViewSet)
store_router.register("print-templates", PrintTemplateViewSet)
store_router.register("expenses", ExpenseViewSet)
store_router.register("delivery-providers/links", LinkViewSet)
store_router.register("dispatches", DispatchViewSet)
store_router.register("settlements", SettlementViewSet)
store_router.register("cashier/sessions", SessionViewSet)
store_router.register("imports", ImportViewSet)
store_router.register("tickets", TicketViewSet)
store_router.register("chat/canned-replies", CannedReplies)
store_router.register("chat/channels", Channels)
store_router.register("cashier/sales", SaleViewSet, basename="sale")
store_router.register("webhooks", EndpointViewSet)
store_router.register("oauth-mcp/agents", AgentViewSet)
store_router.register("oauth-mcp/calls", AgentCallViewSet)
store_router.register("oauth-mcp/actions", PendingActionViewSet)

key_router = SimpleRouter(trailing_slash=False)
key_router.register("orders", KeyOrders, basename="key-orders")
key_router.register("return-requests", KeyReturnRequests, basename="key-returns")
key_router.register("catalog/products", CatalogProducts, basename="key-catalog")
key_router.register("catalog/inventory/movements", CatalogMovements, basename="key-movements")
key_router.register("catalog/inventory", CatalogInventory, basename="key-inventory")
# Other spellings of the same product list, which old clients use.
key_router.register("catalog", CatalogProducts, basename="key-catalog-short")
key_router.register("products", CatalogProducts, basename="key-products")


def deed(view: Any, **methods: str) -> Any:
    """One view method for each HTTP method: `deed(AuthView, post="login")`."""
    return view.as_view(methods)


auth_paths: list[URLPattern | URLResolver] = [
    path("register", deed(AuthView, post="register")),
    path("login", deed(AuthView, post="login")),
    path("refresh", deed(AuthView, post="refresh")),
    path("logout", deed(AuthView, post="logout")),
    path("switch-store", deed(MeView, post="switch_store")),
    path("me", deed(MeView, get="me", put="change_me")),
    path("sessions", deed(MeView, get="sessions")),
    path("sessions/<uuid:sid>", deed(MeView, delete="end_session")),
    path("password/change", deed(MeView, post="change_password")),
    path("password/forgot", deed(AuthView, post="forgot")),
    path("password/reset", deed(AuthView, post="reset")),
    path("invitations/accept", deed(AuthView, post="accept")),
]

address_paths: list[URLPattern | URLResolver] = [
    path("countries", deed(AddressReference, get="countries")),
    path("provinces", deed(AddressReference, get="provinces")),
    path("provinces/<str:code>/areas", deed(AddressReference, get="areas")),
]


def chat_paths(
    conversations: Any, messages: Any, attachments: Any, feed: Any
) -> list[URLPattern | URLResolver]:
    """What stands under both mounts."""
    one = "chat/conversations/<uuid:pk>"
    of_conversation = "chat/conversations/<uuid:conversation_id>/messages"
    return [
        path("chat/conversations", deed(conversations, get="list", post="create")),
        path(one, deed(conversations, get="retrieve", patch="partial_update")),
        path(f"{one}/assign", deed(conversations, post="assign")),
        path(f"{one}/read", deed(conversations, post="read")),
        path(f"{one}/typing", deed(conversations, post="typing")),
        path(f"{one}/resolve", deed(conversations, post="resolve")),
        path(f"{one}/reopen", deed(conversations, post="reopen")),
        path(f"{one}/snooze", deed(conversations, post="snooze")),
        path(of_conversation, deed(messages, get="list", post="create")),
        path(
            f"{of_conversation}/<uuid:message_id>",
            deed(messages, patch="partial_update", delete="destroy"),
        ),
        path("chat/attachments", deed(attachments, post="upload")),
        path("chat/attachments/<uuid:attachment_id>", deed(attachments, get="download")),
        path("chat/changes", deed(feed, get="changes")),
        path("chat/hub-token", deed(feed, post="hub_token")),
    ]


store_paths: list[URLPattern | URLResolver] = [
    path("delivery-companies", deed(DeliveryCompanies, get="list")),
    path("order-statuses", deed(OrderStatuses, get="list")),
    path("orders/labels", deed(Labels, post="labels")),
    path("analytics/sales", deed(Analytics, post="sales")),
    path("analytics/products", deed(Analytics, post="products")),
    path("analytics/customers", deed(Analytics, post="customers")),
    path("analytics/expenses", deed(Analytics, post="expenses")),
    path("analytics/revenue", deed(Analytics, post="revenue")),
    path("products/export.csv", deed(ProductExport, get="export")),
    path("customers/export.csv", deed(CustomerExport, get="export")),
    path("orders/export.csv", deed(OrderExport, get="export")),
    path("expenses/export.csv", deed(ExpenseExport, get="export")),
    path("products/import", deed(ProductImport, post="start")),
    path("customers/import", deed(CustomerImport, post="start")),
    path("orders/import", deed(OrderImport, post="start")),
    path("expenses/import", deed(ExpenseImport, post="start")),
    path("cashier/settings", deed(CashierView, get="retrieve", put="update")),
    path("cashier/pinned", deed(CashierView, get="pinned", post="pin")),
    path("cashier/pinned/reorder", deed(CashierView, put="reorder")),
    path("cashier/pinned/<uuid:product_id>", deed(CashierView, delete="unpin")),
    *chat_paths(Conversations, Messages, Attachments, Feed),
    path("chat/visitors/<uuid:pk>", deed(Visitors, get="retrieve", delete="destroy")),
    path("chat/visitors/<uuid:pk>/block", deed(Visitors, post="block")),
    path("tickets/<uuid:ticket_id>/comments", deed(Comments, get="list", post="create")),
    path("tickets/<uuid:ticket_id>/history", deed(History, get="list")),
    path("settings", deed(SettingsView, get="retrieve", post="create", put="update")),
    path("permissions", deed(StaffView, get="matrix")),
    path("webhooks/<uuid:pk>/deliveries", deed(Deliveries, get="list")),
    path("webhooks/<uuid:pk>/deliveries/<uuid:delivery_id>", deed(Deliveries, get="retrieve")),
    path("webhooks/<uuid:pk>/deliveries/<uuid:delivery_id>/retry", deed(Deliveries, post="retry")),
    path("oauth-mcp/settings", deed(AgentSettingsView, get="retrieve", put="update")),
    path(
        "oauth-mcp/redirect-uris", deed(RedirectUris, get="list", post="create", delete="destroy")
    ),
    path("staff", deed(StaffView, get="list", post="create")),
    path("staff/<uuid:user_id>", deed(StaffView, get="retrieve", put="update", delete="destroy")),
]

key_paths: list[URLPattern | URLResolver] = [
    *chat_paths(KeyConversations, KeyMessages, KeyAttachments, KeyFeed),
    path("chat/canned-replies", deed(KeyCannedReplies, get="list")),
    path("delivery-companies", deed(KeyDeliveryCompanies, get="list")),
    path("whoami", deed(WhoAmI, get="whoami")),
    path("events", deed(EventFeed, get="events")),
    path("orders/labels", deed(KeyLabels, post="labels")),
    path("orders/<uuid:order_id>/return-request", deed(KeyReturnRequests, post="ask_for")),
    path("orders/<uuid:order_id>/return-requests", deed(KeyReturnRequests, get="of_order")),
]

widget_paths: list[URLPattern | URLResolver] = [
    path("conversations", deed(OwnConversations, get="list", post="create")),
    path("conversations/<uuid:pk>", deed(OwnConversations, get="retrieve")),
    path(
        "conversations/<uuid:conversation_id>/messages",
        deed(OwnMessages, get="list", post="create"),
    ),
    path("conversations/<uuid:pk>/read", deed(OwnConversations, post="read")),
    path("conversations/<uuid:pk>/typing", deed(OwnConversations, post="typing")),
    path("attachments", deed(OwnAttachments, post="upload")),
    path("attachments/<uuid:attachment_id>", deed(OwnAttachments, get="download")),
    path("hub-token", deed(OwnConversations, post="hub_token")),
    path("channels/<slug:public_key>/config", deed(Widget, get="config")),
    path("channels/<slug:public_key>/sessions", deed(Widget, post="sessions")),
    path("<slug:public_key>/config", deed(Widget, get="config")),
    path("<slug:public_key>/sessions", deed(Widget, post="sessions")),
]

oauth_paths: list[URLPattern | URLResolver] = [
    path("authorize", pages.Authorize.as_view(), name="authorize"),
    path("token", oauth.Token.as_view(), name="token"),
    path("revoke", oauth.Revoke.as_view(), name="revoke-token"),
    path("introspect", oauth.Introspect.as_view(), name="introspect"),
    path("register", oauth.Register.as_view(), name="dcr-register"),
    path("register/<str:client_id>", oauth.Manage.as_view(), name="dcr-register-management"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/auth/", include(auth_paths)),
    path("api/v1/address-reference/", include(address_paths)),
    path("api/v1/widget/", include(widget_paths)),
    path("api/v1/integrations/nawa/webhooks", deed(NawaWebhooks, post="receive")),
    path("api/v1/store/integrations/", include([*key_paths, *key_router.urls])),
    path("api/v1/store/", include([*store_paths, *store_router.urls])),
    path("api/v1/oauth/", include((oauth_paths, "oauth2_provider"))),
    path("agents", pages.ConnectedAgents.as_view()),
    path("agents/sign-in", pages.SignIn.as_view()),
    path("agents/sign-out", pages.sign_out),
    path("api/v1/openapi.json", openapi_json, name="openapi"),
    path(
        "docs",
        SpectacularSwaggerView.as_view(
            url_name="openapi",
            authentication_classes=[],
            permission_classes=[],
            renderer_classes=[TemplateHTMLRenderer],
        ),
    ),
    path("inbox", chat_pages.inbox),
    path("widget.js", chat_pages.widget),
    path("demo-shop", chat_pages.demo_shop),
    path("problems/", problem_pages.index),
    path("problems/<slug:code>", problem_pages.page),
    path("admin/", admin.site.urls),
    path(".well-known/jwks.json", jwks),
    path(".well-known/oauth-authorization-server", metadata.authorization_server),
    path(".well-known/oauth-protected-resource", metadata.protected_resource),
    path(".well-known/oauth-protected-resource/<path:path>", metadata.protected_resource),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", health.metrics),
]

# Served as ever, but left out of the OpenAPI document: read without their ids' types, these paths
# are ambiguous there. Each has a second spelling that is not.
OTHER_SPELLINGS = (
    re.compile(r"^/api/v1/widget/\{public_key\}/"),
    re.compile(r"/orders/by-external-ref/\{ref\}$"),
)


def without_other_spellings(endpoints: list[tuple[str, str, str, Any]]) -> Any:
    """The endpoints that the OpenAPI document shows."""
    return [
        endpoint
        for endpoint in endpoints
        if not any(spelling.search(endpoint[0]) for spelling in OTHER_SPELLINGS)
    ]


handler400 = "storeplatform.kernel.problems.bad_request"
handler403 = "storeplatform.kernel.problems.permission_denied"
handler404 = "storeplatform.kernel.problems.page_not_found"
handler500 = "storeplatform.kernel.problems.server_error"
