from django.apps import AppConfig


class McpConfig(AppConfig):
    """Registers the forgetting of old calls."""

    name = "integrations.mcp"

    def ready(self) -> None:
        from integrations.mcp.audit import purge
        from storeplatform.kernel.housekeeping import every

        every(3600, "agent_call_purge")(purge)
