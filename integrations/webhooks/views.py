"""Webhooks from the dashboard: endpoints, their deliveries, and the catalogue of events."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.webhooks import services
from integrations.webhooks.answers import (
    DeliveryDetailSerializer,
    EndpointWithSecretSerializer,
    EventTypeAnswer,
    Queued,
)
from integrations.webhooks.catalogue import EVENT_TYPES
from integrations.webhooks.models import Delivery, Endpoint
from integrations.webhooks.serializers import (
    AttemptSerializer,
    DeliveryFilters,
    DeliverySerializer,
    EndpointChange,
    EndpointForm,
    EndpointSerializer,
    Recovery,
    SecretRotation,
)
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.viewsets import ListModelMixin, StoreScoped

SENDS_AGAIN = frozenset({"test", "recover", "retry"})


class SendsAgain:
    """Deeds that make the server call a receiver have a limit of their own."""

    action: str

    def buckets(self, actor: Actor) -> list[Bucket]:
        found: list[Bucket] = super().buckets(actor)  # type: ignore[misc]  # of StoreScoped
        if self.action in SENDS_AGAIN:
            found.append(Bucket(POLICIES["webhook-replay"], str(actor.store_id)))
        return found


class EndpointViewSet(SendsAgain, ListModelMixin, StoreScoped[Endpoint]):
    permissions = {
        "list": "webhooks.read",
        "retrieve": "webhooks.read",
        "event_types": "webhooks.read",
        "create": "webhooks.manage",
        "update": "webhooks.manage",
        "destroy": "webhooks.manage",
        "rotate_secret": "webhooks.manage",
        "test": "webhooks.manage",
        "recover": "webhooks.manage",
    }
    queryset = Endpoint.objects.live()
    serializer_class = EndpointSerializer
    forms = {
        "create": EndpointForm,
        "update": EndpointChange,
        "rotate_secret": SecretRotation,
        "recover": Recovery,
    }
    accepting_actions = frozenset({"recover"})
    answers = {
        "create": EndpointWithSecretSerializer,
        "rotate_secret": EndpointWithSecretSerializer,
        "test": DeliveryDetailSerializer,
        "recover": Queued,
        "event_types": EventTypeAnswer,
    }
    listing_actions = frozenset({"event_types"})

    def endpoint(self) -> Endpoint:
        found: Endpoint | None = self.get_queryset().filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise Http404
        return found

    def answer(self, endpoint: Endpoint, secret: str = "", status: int = 200) -> Response:
        """The endpoint; with its secret when that was just made."""
        row = self.wire_rows(Endpoint.objects.filter(pk=endpoint.pk))[0][0]
        if secret:
            self.shown_once(id=str(endpoint.pk))
            row = {**as_members(row), "secret": secret}
        return Response(row, status=status, headers={"ETag": f'"{endpoint.version}"'})

    def retrieve(self, request: Request, pk: str) -> Response:
        return self.answer(self.endpoint())

    def create(self, request: Request) -> Response:
        values = self.body()
        services.check_receiver(values["url"])

        def effect() -> Response:
            endpoint, secret = services.create_endpoint(
                self.actor, values, request=request._request
            )
            response = self.answer(endpoint, secret, status=201)
            response["Location"] = f"{request.path}/{endpoint.pk}"
            return response

        return self.once(effect)

    def update(self, request: Request, pk: str) -> Response:
        values = self.body()
        self.refuse_unknown_row()
        if "url" in values:
            services.check_receiver(values["url"])

        def effect() -> Response:
            endpoint = self.locked_object()
            services.change_endpoint(endpoint, self.actor, values, request=request._request)
            return self.answer(endpoint)

        return self.once(effect)

    def destroy(self, request: Request, pk: str) -> Response:
        def effect() -> Response:
            services.delete_endpoint(self.locked_object(), self.actor, request=request._request)
            return Response(status=204)

        return self.once(effect)

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """A new secret. During the overlap messages carry a signature of each."""
        hours = self.body()["overlap_hours"]

        def effect() -> Response:
            endpoint, secret = services.rotate_secret(
                self.locked_object(), self.actor, overlap_hours=hours, request=request._request
            )
            return self.answer(endpoint, secret)

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a `ping` now, also while the webhook is off; the answer shows the attempt."""
        delivery, outcome = services.ping(self.endpoint())

        def effect() -> Response:
            services.keep_ping(delivery, outcome)
            return Response(detail_of(delivery, self.get_serializer_context()))

        return self.once(effect)

    @action(detail=True, methods=["post"])
    def recover(self, request: Request, pk: str) -> Response:
        """Send every event of a time again that did not arrive, under the ids it has."""
        values = self.body()

        def effect() -> Response:
            count = services.recover(
                self.locked_object(), since=values["since"], until=values.get("until")
            )
            return Response({"queued": count}, status=202)

        return self.once(effect)

    @action(detail=False, methods=["get"], url_path="event-types")
    def event_types(self, request: Request) -> Response:
        """Every type with the JSON Schema of its `data` and a sample message."""
        items = [
            {
                "type": kind.name,
                "description": kind.description,
                "scope": kind.scope or None,
                "schema": kind.schema,
                "sample": sample_of(kind.name, kind.sample),
            }
            for kind in EVENT_TYPES.values()
        ]
        count = len(items)
        return Response(
            {
                "items": items,
                "page": 1,
                "pageSize": count,
                "totalCount": count,
                "totalPages": 1,
                "nextCursor": None,
                "prevCursor": None,
            }
        )


def sample_of(name: str, data: Any) -> dict[str, Any]:
    return {
        "id": "evt_0197a2c45e6f7b819c2d3e4f5a6b7c8d",
        "type": name,
        "timestamp": "2026-01-15T09:30:00.000Z",
        "storeId": "0197a2c4-0000-7000-8000-000000000001",
        "apiVersion": "2026-11-01",
        "sequence": 7,
        "data": data,
    }


def detail_of(delivery: Delivery, context: dict[str, Any]) -> dict[str, Any]:
    """A delivery with its body and every attempt, the first one first."""
    rows = DeliverySerializer(context=context).rows(Delivery.objects.filter(pk=delivery.pk))
    attempts = AttemptSerializer(context=context).rows(delivery.attempts.order_by("number"))
    return {
        **as_members(rows[0][0]),
        "body": delivery.body,
        "attempts": [row[0] for row in attempts],
    }


class Deliveries(SendsAgain, ListModelMixin, StoreScoped[Delivery]):
    """What was sent to an endpoint; by cursor only."""

    permissions = {
        "list": "webhooks.read",
        "retrieve": "webhooks.read",
        "retry": "webhooks.manage",
    }
    queryset = Delivery.objects.all()
    serializer_class = DeliverySerializer
    answers = {"retrieve": DeliveryDetailSerializer, "retry": DeliveryDetailSerializer}
    accepting_actions = frozenset({"retry"})
    filterset_class = DeliveryFilters
    cursor_only = True

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(endpoint_id=self.kwargs["pk"])

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        services.find_endpoint(self.actor.store_id, self.kwargs["pk"])
        return super().list(request, *args, **kwargs)

    def delivery(self, *, lock: bool = False) -> Delivery:
        services.find_endpoint(self.actor.store_id, self.kwargs["pk"])
        rows = self.get_queryset().select_related("endpoint").filter(pk=self.kwargs["delivery_id"])
        found: Delivery | None = (rows.select_for_update(of=("self",)) if lock else rows).first()
        if found is None:
            raise Http404
        return found

    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(detail_of(self.delivery(), self.get_serializer_context()))

    def retry(self, request: Request, **_: Any) -> Response:
        """Send it once more: the same `webhook-id` and bytes, a new timestamp and signature."""

        def effect() -> Response:
            delivery = self.delivery(lock=True)
            services.retry(delivery)
            return Response(detail_of(delivery, self.get_serializer_context()), status=202)

        return self.once(effect)
