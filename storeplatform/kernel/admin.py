"""What all desks of the operators' admin share."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Value
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from storeplatform.kernel.audit import audit
from storeplatform.kernel.models import AuditEvent, OutboxEvent
from storeplatform.kernel.sql import Fold
from storeplatform.kernel.tenancy import Actor, StoreFacts

MANY = 100_000


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]  # no runtime generics
    """Counts exactly up to a hundred thousand rows, and asks the planner beyond."""

    @property
    def count(self) -> int:
        queryset: Any = self.object_list
        counted: int = queryset.order_by()[: MANY + 1].count()
        if counted <= MANY:
            return counted
        with connection.cursor() as cursor:
            table = queryset.model._meta.db_table
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE relname = %s", [table])
            return max(counted, int(cursor.fetchone()[0]))


class ReadMostly:
    """Operators look; they change only where `editable` says so, and every change is audited."""

    editable = False
    show_full_result_count = False
    list_per_page = 50
    paginator = EstimatingPaginator

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.editable and super().has_change_permission(request, obj)  # type: ignore[misc]

    def get_search_results(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """A folded column is searched as the API searches it, by its trigram index."""
        fields = list(self.get_search_fields(request))  # type: ignore[attr-defined]
        if term and len(fields) == 1 and fields[0].endswith("search_text"):
            return queryset.filter(**{f"{fields[0]}__contains": Fold(Value(term))}), False
        return super().get_search_results(request, queryset, term)  # type: ignore[misc]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)  # type: ignore[misc]
        user: Any = request.user
        audit(
            f"admin.{obj._meta.model_name}_changed",
            target=obj.pk,
            request=request,
            actor=Actor(
                store=StoreFacts(getattr(obj, "store_id", None) or obj.pk),
                grants=frozenset(),
                kind="user",
                id=str(user.pk),
                label=f"operator {user.full_name}",
            ),
            changes={"fields": list(form.changed_data)},
        )


@admin.register(AuditEvent)
class AuditEventAdmin(ReadMostly, ModelAdmin):
    list_display = ["occurred_at", "action", "actor_label", "target", "ip", "store_id"]
    search_fields = ["=action", "=target"]
    ordering = ["-occurred_at"]


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "type", "store_id", "attempts", "done_at", "last_error"]
    list_filter = [("done_at", admin.EmptyFieldListFilter)]
    ordering = ["-id"]
