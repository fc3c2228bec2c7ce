from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Wakes snoozed conversations, forgets what is no longer kept, and takes open conversations
    from members who leave."""

    name = "chat"

    def ready(self) -> None:
        from chat import feed
        from chat.attachments import purge_attachments
        from chat.conversations import unassign_member, wake_snoozed
        from chat.models import Channel
        from chat.visitors import purge_sessions
        from store_modules.stores.people import member_gone
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.rotation import sealed_column

        sealed_column(Channel, "identity_secret", lambda row: row.pk.bytes)
        every(5, "snoozed_conversations")(wake_snoozed)
        every(3600, "chat_feed_purge")(feed.purge)
        every(3600, "chat_attachment_purge")(purge_attachments)
        every(3600, "visitor_session_purge")(purge_sessions)
        member_gone.register(unassign_member)
