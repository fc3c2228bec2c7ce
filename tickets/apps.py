from django.apps import AppConfig


class TicketsConfig(AppConfig):
    """Takes the open tickets from members who leave."""

    name = "tickets"

    def ready(self) -> None:
        from store_modules.stores.people import member_gone
        from tickets.services import unassign_member

        member_gone.register(unassign_member)
