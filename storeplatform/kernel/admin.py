"""What all desks of the operators' admin share."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Value
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from storeplatform.kernel import background, outbox
from storeplatform.kernel.audit import audit
from storeplatform.kernel.models import AuditEvent, BackgroundTask, OutboxEvent
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


class GivenUp(admin.SimpleListFilter):
    """Done, waiting, or given up after the last try."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("done", "done"), ("waiting", "waiting"), ("dead", "given up")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "done":
            return queryset.filter(done_at__isnull=False)
        if self.value() == "waiting":
            return queryset.filter(done_at=None, attempts__lt=outbox.MAX_ATTEMPTS)
        if self.value() == "dead":
            return queryset.filter(done_at=None, attempts__gte=outbox.MAX_ATTEMPTS)
        return queryset


class Revivable(ReadMostly):
    """Rows that were given up after eight tries; operators have them tried again."""

    actions = ["run_again"]

    @admin.action(description="Run the given-up ones again")
    def run_again(self, request: HttpRequest, queryset: Any) -> None:
        module = outbox if queryset.model is OutboxEvent else background
        ids = [str(pk) for pk in queryset.values_list("pk", flat=True)[:100]]
        count = module.revive(queryset)
        user: Any = request.user
        audit(
            f"admin.{queryset.model._meta.model_name}_run_again",
            target=f"{count} rows",
            request=request,
            label=f"operator {user.full_name}",
            changes={"ids": ids},
        )
        self.message_user(request, f"{count} run again.")  # type: ignore[attr-defined]


@admin.register(OutboxEvent)
class OutboxEventAdmin(Revivable, ModelAdmin):
    list_display = ["created_at", "type", "store_id", "attempts", "done_at", "last_error"]
    list_filter = [GivenUp]
    search_fields = ["=type"]
    ordering = ["-id"]


@admin.register(BackgroundTask)
class BackgroundTaskAdmin(Revivable, ModelAdmin):
    list_display = ["created_at", "name", "attempts", "due_at", "done_at", "last_error"]
    list_filter = [GivenUp]
    search_fields = ["=name"]
    ordering = ["-id"]
