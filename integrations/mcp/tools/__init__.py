"""The tools, one module an area. Each is a few lines over a service that REST calls too."""

from importlib import import_module

from integrations.mcp.registry import TOOLS

# The order of the list that agents see.
MODULES = (
    "stores",
    "catalog",
    "orders",
    "inventory",
    "customers",
    "tickets",
    "conversations",
    "purchasing",
    "analytics",
)


def load_tools() -> None:
    places = {f"integrations.mcp.tools.{name}": place for place, name in enumerate(MODULES)}
    for module in places:
        import_module(module)
    ordered = sorted(TOOLS.items(), key=lambda item: places[item[1].function.__module__])
    TOOLS.clear()
    TOOLS.update(ordered)
