"""Tickets, their comments and their history."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from storeplatform.kernel.filters import Flag, Ids, People, Since, Until, WireFilterSet, Words
from storeplatform.kernel.viewsets import ListModelMixin, StoreScoped, StoreScopedViewSet
from tickets import services
from tickets.models import OVERDUE, Category, Priority, Status, Ticket, TicketComment, TicketEvent
from tickets.serializers import (
    CommentBody,
    CommentSerializer,
    TicketEventSerializer,
    TicketSerializer,
    fold_word,
)


class Overdue(Flag):
    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        late = Q(pk__in=qs.model._default_manager.filter(OVERDUE).values("pk"))
        return qs.filter(late if value else ~late)


class TicketFilters(WireFilterSet):
    status = Words(Status.values, fold=fold_word)
    priority = Words(Priority.values, fold=fold_word)
    category = Words(Category.values, fold=fold_word)
    assigned_user_id = People("assigned_user_id")
    order_id = Ids("order_id")
    customer_id = Ids("customer_id")
    conversation_id = Ids("conversation_id")
    overdue = Overdue()
    from_ = Since("created_at")
    to = Until("created_at")
    updated_since = Since("updated_at")


class TicketViewSet(StoreScopedViewSet[Ticket]):
    permissions = {
        "list": "tickets.read",
        "retrieve": "tickets.read",
        "create": "tickets.create",
        "update": "tickets.update",
        "partial_update": "tickets.update",
        "destroy": "tickets.delete",
        "restore": "tickets.restore",
    }
    queryset = Ticket.objects.live()
    serializer_class = TicketSerializer
    filterset_class = TicketFilters
    search_fields = ["number", "subject", "description"]
    ordering_fields = {
        "createdAt": "created_at",
        "updatedAt": "updated_at",
        "priority": "severity",
        "dueAt": "due_at",
    }

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.number = services.ticket_number(self.actor.store_id)
        return super().create(request, *args, **kwargs)

    def perform_create(self, values: dict[str, Any]) -> Ticket:
        return services.save_ticket(self.actor, Ticket(number=self.number), dict(values))

    def perform_update(self, row: Ticket, serializer: Any) -> Ticket:
        return services.save_ticket(self.actor, row, dict(serializer.validated_data))

    def perform_destroy(self, instance: Ticket) -> None:
        services.delete_ticket(self.actor, instance, self.request._request)

    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Bring a ticket back that was deleted at most thirty days ago."""

        def effect() -> Response:
            rows = Ticket.objects.of(self.actor.store_id).select_for_update(of=("self",))
            ticket = rows.filter(pk=pk).first()
            if ticket is None:
                raise Http404
            services.restore_ticket(self.actor, ticket)
            return self.row_response(ticket.pk)

        return self.once(effect)


class OfTicket(ListModelMixin, StoreScoped[Any]):
    """Rows below the ticket of the path."""

    queryset: Any = None

    def tickets(self) -> Any:
        return Ticket.objects.of(self.actor.store_id).live().filter(pk=self.kwargs["ticket_id"])

    def refuse_unknown_row(self) -> None:
        if not self.tickets().exists():
            raise Http404

    def get_queryset(self) -> QuerySet[Any]:
        self.refuse_unknown_row()
        return super().get_queryset().filter(ticket=self.kwargs["ticket_id"])


class Comments(OfTicket):
    permissions = {"list": "tickets.read", "create": "tickets.update"}
    queryset = TicketComment.objects.all()
    serializer_class = CommentSerializer
    default_ordering = ["created_at"]
    forms = {"create": CommentBody}

    def create(self, request: Request, ticket_id: Any) -> Response:
        values = self.body()

        def effect() -> Response:
            ticket = self.tickets().select_for_update(of=("self",)).first()
            if ticket is None:
                raise Http404
            made = services.comment(self.actor, ticket, **values)
            return Response(self.wire_rows(self.get_queryset().filter(pk=made.pk))[0][0], 201)

        return self.once(effect)


class History(OfTicket):
    permissions = {"list": "tickets.read"}
    queryset = TicketEvent.objects.all()
    serializer_class = TicketEventSerializer
    default_ordering = ["occurred_at"]
