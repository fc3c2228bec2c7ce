"""The pull feed: the messages of webhooks, read by API key, so that a receiver that was down
loses nothing."""

import orjson
from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api_keys.authentication import ApiKeySurface
from integrations.webhooks.answers import EventMessage
from integrations.webhooks.catalogue import EVENT_TYPES
from integrations.webhooks.messages import body_of, event_id_of, message_id
from storeplatform.kernel.errors import Refusal, refuse
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.permissions import OR, check_grant
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.viewsets import StoreScoped

PAGE, MOST = 100, 500


class Gone(Refusal):
    status = 410


class EventFeed(ApiKeySurface, StoreScoped[OutboxEvent]):
    """Events in the order in which they became visible, thirty days back."""

    # Each family asks for the scope of its own; a key without any of them reads nothing.
    permissions = {"events": OR.join(sorted({kind.scope for kind in EVENT_TYPES.values()} - {""}))}
    queryset = OutboxEvent.objects.filter(position__isnull=False)
    asks = {
        "events": {
            "after": {"type": "string", "description": "`nextCursor` of the page before."},
            "types": {"type": "array", "items": {"type": "string", "enum": sorted(EVENT_TYPES)}},
            "pageSize": {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
        }
    }
    answers = {"events": EventMessage}
    listing_actions = frozenset({"events"})

    def events(self, request: Request) -> Response:
        """Events after the one named by `after` (an `evt_…` id), or from the oldest on. `types`
        narrows. Ask again with `after` = `nextCursor`; `hasMore` tells whether at once.

        A key sees the families of its scopes: `orders:read` orders, payments, returns, customers
        and shipments, `catalog:read` products, stock and purchases, `messaging:read` chat."""
        query = Query(request.query_params)
        size = query.number("pageSize", PAGE, 1, MOST)
        after = query.get("after") or query.get("cursor")
        rows = self.get_queryset().filter(type__in=visible_types(self.actor, query))
        if after:
            rows = rows.filter(position__gt=self.position_of(after))
        found = list(rows.order_by("position")[: size + 1])
        shown = found[:size]
        return Response(
            {
                "items": [orjson.Fragment(body_of(one, settings.API_VERSION)) for one in shown],
                "page": None,
                "pageSize": size,
                "totalCount": None,
                "totalPages": None,
                "nextCursor": message_id(shown[-1].pk) if shown else after or None,
                "prevCursor": None,
                "hasMore": len(found) > size,
            }
        )

    def position_of(self, after: str) -> int:
        event_id = event_id_of(after)
        if event_id is None:
            raise Refusal(
                "invalid_cursor", "An event's id, evt_….", errors={"after": ["An event's id."]}
            )
        found = self.get_queryset().filter(pk=event_id).values_list("position", flat=True).first()
        if found is None:
            raise Gone(
                "gone", "This event is not kept any more; some may be missing. Begin without it."
            )
        return int(found)


def visible_types(actor: Actor, query: Query) -> list[str]:
    """The types that a key reads. Raises Denied for one that is asked for without its scope."""
    asked = query.all("types")
    for name in asked:
        kind = EVENT_TYPES.get(name)
        if kind is None or not kind.scope:
            raise refuse("types", "validation_error", f"{name} is no event of the feed.")
        check_grant(actor, kind.scope)
    own = [name for name, kind in EVENT_TYPES.items() if kind.scope and actor.may(kind.scope)]
    return asked or own
