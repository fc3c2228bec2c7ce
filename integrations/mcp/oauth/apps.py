from django.apps import AppConfig


class OAuthConfig(AppConfig):
    """Registers the forgetting of dead tokens and of clients that nobody used."""

    name = "integrations.mcp.oauth"
    label = "oauth"

    def ready(self) -> None:
        from integrations.mcp.oauth.agents import purge
        from storeplatform.kernel.housekeeping import every

        every(3600, "oauth_purge")(purge)
