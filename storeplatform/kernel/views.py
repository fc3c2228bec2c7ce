"""The kernel's own resource: the store's audit log."""

from storeplatform.kernel.filters import Since, Texts, Until, WireFilterSet
from storeplatform.kernel.models import AuditEvent
from storeplatform.kernel.serializers import WireSerializer
from storeplatform.kernel.viewsets import ListModelMixin, StoreScoped


class AuditEventSerializer(WireSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = [
            "id",
            "actor_type",
            "actor_id",
            "actor_label",
            "action",
            "target",
            "ip",
            "user_agent",
            "request_id",
            "changes",
            "occurred_at",
        ]
        read_only_fields = fields


class AuditFilters(WireFilterSet):
    action = Texts()
    from_ = Since("occurred_at")
    to = Until("occurred_at")


class AuditLog(ListModelMixin, StoreScoped[AuditEvent]):
    """Who did what in the store, the latest first; by cursor only."""

    permissions = {"list": "audit.read"}
    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilters
    default_ordering = ["-occurred_at"]
    cursor_only = True
