"""A store's view of its agents: who is connected, what they did, what waits for a person."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.mcp import approvals
from integrations.mcp.models import AgentCall, AgentSettings, PendingAction
from integrations.mcp.oauth import agents
from integrations.mcp.oauth.models import Agent, Application
from integrations.mcp.serializers import (
    AgentCallSerializer,
    AgentSerializer,
    AgentSettingsSerializer,
    PendingActionSerializer,
    RedirectUriAnswer,
    RedirectUriBody,
    redirect_uri_rows,
)
from storeplatform.kernel.filters import Ids, Since, Texts, Until, WireFilterSet, Words
from storeplatform.kernel.viewsets import ListModelMixin, RetrieveModelMixin, StoreScoped


class AgentViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[Agent]):
    """Connected agents: everybody's for who manages them, else one's own."""

    permissions = dict.fromkeys(("list", "retrieve", "destroy"), agents.CONNECT)
    queryset = Agent.objects.filter(revoked_at=None)
    serializer_class = AgentSerializer
    ordering_fields = {"createdAt": "created_at"}

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows if self.actor.may(agents.MANAGE) else rows.filter(user_id=self.actor.user_id)

    def row_response(self, pk: Any, status: int = 200) -> Response:
        found = self.wire_rows(self.get_queryset().filter(pk=pk))
        if not found:
            raise Http404
        return Response(found[0][0], status=status)

    def destroy(self, request: Request, pk: str) -> Response:
        """Disconnect: all its tokens end at once."""

        def effect() -> Response:
            row = self.get_queryset().select_related("application").filter(pk=pk).first()
            if row is None:
                raise Http404
            agents.revoke_agent(row, self.actor, request=request._request)
            return Response(status=204)

        return self.once(effect)


class CallFilters(WireFilterSet):
    agent_id = Ids("agent_id")
    tool = Texts()
    outcome = Words(AgentCall.Outcome.values)
    from_ = Since("occurred_at")
    to = Until("occurred_at")


class AgentCallViewSet(ListModelMixin, StoreScoped[AgentCall]):
    """What agents did, the latest first; by cursor only."""

    permissions = {"list": agents.MANAGE}
    queryset = AgentCall.objects.all()
    serializer_class = AgentCallSerializer
    filterset_class = CallFilters
    default_ordering = ["-occurred_at"]
    cursor_only = True


class ActionFilters(WireFilterSet):
    status = Words(PendingAction.Status.values)


class PendingActionViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[PendingAction]):
    """Destructive calls that wait for a person."""

    permissions = dict.fromkeys(("list", "retrieve", "approve", "reject"), agents.MANAGE)
    queryset = PendingAction.objects.all()
    serializer_class = PendingActionSerializer
    filterset_class = ActionFilters

    def row_response(self, pk: Any, status: int = 200) -> Response:
        found = self.wire_rows(self.get_queryset().filter(pk=pk), ["version"])
        if not found:
            raise Http404
        return Response(found[0][0], status=status, headers={"ETag": f'"{found[0][1]}"'})

    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Let it happen; what refuses it now is kept as `failed` with its reason."""
        return self.once(lambda: self.row_response(approvals.approve(self.actor, UUID(pk)).pk))

    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self.once(lambda: self.row_response(approvals.reject(self.actor, UUID(pk)).pk))


class AgentSettingsView(StoreScoped[AgentSettings]):
    """How agents work in this store."""

    permissions = {"retrieve": agents.CONNECT, "update": agents.MANAGE}
    queryset = AgentSettings.objects.all()
    serializer_class = AgentSettingsSerializer

    def answer(self) -> Response:
        row, _ = AgentSettings.objects.get_or_create(store_id=self.actor.store_id)
        wire, version = self.wire_rows(self.get_queryset().filter(pk=row.pk), ["version"])[0]
        return Response(wire, headers={"ETag": f'"{version}"'})

    def retrieve(self, request: Request) -> Response:
        return self.answer()

    def update(self, request: Request) -> Response:
        values = self.body()

        def effect() -> Response:
            self.answer()
            row = self.get_queryset().select_for_update().get()
            self.check_version(row)
            self.get_serializer().update(row, values)
            return self.answer()

        return self.once(effect)

    def read_body(self) -> dict[str, Any]:
        serializer = self.get_serializer(data=self.data_object(), partial=True)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values


class RedirectUris(StoreScoped[Application]):
    """Clients that the store registers itself, and where they may come back to."""

    permissions = dict.fromkeys(("list", "create", "destroy"), agents.MANAGE)
    queryset = Application.objects.order_by("created", "id")
    forms = {"create": RedirectUriBody, "destroy": RedirectUriBody}
    answers = {"list": RedirectUriAnswer, "create": RedirectUriAnswer}
    is_whole_list = True
    listing_actions = frozenset({"list"})

    def list(self, request: Request) -> Response:
        rows = [row for client in self.get_queryset()[:100] for row in redirect_uri_rows(client)]
        return Response({"items": rows})

    def create(self, request: Request) -> Response:
        values = self.body()

        def effect() -> Response:
            client = agents.register_redirect_uri(self.actor, **values, request=request._request)
            rows = redirect_uri_rows(client)
            row = next(one for one in rows if one["redirectUri"] == values["redirect_uri"])
            return Response(row, status=201)

        return self.once(effect)

    def destroy(self, request: Request) -> Response:
        """Takes an address away; a client without any is forgotten."""
        values = self.body()

        def effect() -> Response:
            agents.remove_redirect_uri(
                self.actor,
                values["client_id"],
                values["redirect_uri"],
                request=request._request,
            )
            return Response(status=204)

        return self.once(effect)
