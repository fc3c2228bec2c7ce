"""The scopes of API keys, as data (guide.md, "Scope expectations"). Write does not imply read."""

SCOPES = {
    "orders:read": "list and read orders",
    "orders:write": "create, change and cancel orders; send one-time codes",
    "catalog:read": "list products and stock",
    "catalog:write": "create and change products and stock; see cost prices",
    "messaging:read": "read website chat and join the hub",
    "messaging:write": "answer in website chat",
}
