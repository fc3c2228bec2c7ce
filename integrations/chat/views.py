"""Website chat for API keys: the dashboard's views, asking for scopes instead of permissions."""

from chat import views
from integrations.api_keys.authentication import ApiKeySurface
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.tenancy import Actor


class KeyConversations(ApiKeySurface, views.Conversations):
    resource = "messaging"
    permissions = {}


class KeyMessages(ApiKeySurface, views.Messages):
    resource = "messaging"
    permissions = {}


class KeyAttachments(ApiKeySurface, views.Attachments):
    resource = "messaging"
    permissions = {}


class KeyFeed(ApiKeySurface, views.Feed):
    permissions = {"changes": "messaging:read", "hub_token": "messaging:read"}

    def buckets(self, actor: Actor) -> list[Bucket]:
        own = super().buckets(actor)
        if self.action == "hub_token":
            own.append(Bucket(POLICIES["hub-token"], actor.principal))
        return own


class KeyCannedReplies(ApiKeySurface, views.CannedReplies):
    """Read only."""

    resource = "messaging"
    permissions = {}
