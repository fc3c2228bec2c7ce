"""What all desks of the operators' admin share."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import EmailField, Q, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from orjson import loads
from unfold.admin import ModelAdmin

from storeplatform.kernel import background, outbox
from storeplatform.kernel.audit import audit
from storeplatform.kernel.desk import Card, card
from storeplatform.kernel.fields import PhoneField
from storeplatform.kernel.models import AuditEvent, BackgroundTask, OutboxEvent
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.sql import Fold
from storeplatform.kernel.tenancy import Actor, StoreFacts

MANY = 100_000
LATE_SECONDS = 60  # an event that waits longer needs somebody to look


def field_at(model: Any, path: str) -> Any:
    """The field that `user__email` leads to."""
    *way, last = path.split("__")
    for step in way:
        model = model._meta.get_field(step).related_model
    return model._meta.get_field(last)


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]  # no runtime generics
    """Counts tables of up to a hundred thousand rows; of larger ones it asks the planner, because
    counting what a filter leaves would read them whole."""

    @cached_property
    def count(self) -> int:
        queryset: Any = self.object_list
        with connection.cursor() as cursor:
            table = queryset.model._meta.db_table
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE relname = %s", [table])
            (rows,) = cursor.fetchone()
        if rows <= MANY:
            counted: int = queryset.order_by()[: MANY + 1].count()
            return counted
        plan = queryset.order_by().explain(format="json")
        if not plan:  # the ORM knows that nothing can match
            return 0
        return max(1, int(loads(plan)[0]["Plan"]["Plan Rows"]))


def operator_of(request: HttpRequest, store_id: Any = None) -> Actor:
    """The signed-in operator, as services and the audit log name who acts."""
    user: Any = request.user
    return Actor(
        store=StoreFacts(store_id),
        grants=frozenset(),
        kind="user",
        id=str(user.pk),
        label=f"operator {user.full_name}",
    )


def exact(field: Any, term: str) -> Any:
    """A searched word as the column holds it. Raises ValidationError or PhoneError."""
    if isinstance(field, PhoneField):
        return normalise_phone(term, "IQ", mobile=False)
    return field.clean(term.lower() if isinstance(field, EmailField) else term, None)


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
        """A folded column is searched as the API searches it, by its trigram index; any other
        column for exactly the term, by its own index. Django's way would read whole tables."""
        term = term.strip()
        if not term:
            return queryset, False
        found = Q(pk__in=[])
        for name in self.get_search_fields(request):  # type: ignore[attr-defined]
            if name.endswith("search_text"):
                found |= Q(**{f"{name}__contains": Fold(Value(term))})
                continue
            try:
                found |= Q(**{name: exact(field_at(queryset.model, name), term)})
            except (ValidationError, PhoneError):
                continue
        return queryset.filter(found), False

    def store_of(self, obj: Any) -> Any:
        """The id of the store that a row belongs to, for its audit."""
        return getattr(obj, "store_id", None)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)  # type: ignore[misc]
        audit(
            f"admin.{obj._meta.model_name}_changed",
            target=obj.pk,
            request=request,
            actor=operator_of(request, self.store_of(obj)),
            changes={"fields": list(form.changed_data)},
        )


@admin.register(AuditEvent)
class AuditEventAdmin(ReadMostly, ModelAdmin):
    list_display = ["occurred_at", "action", "actor_label", "target", "ip", "store_id"]
    search_fields = ["id", "store_id"]
    ordering = ["-occurred_at"]


@card
def events_stuck() -> Card:
    facts = outbox.standing()
    stuck, waiting, oldest = (
        int(facts[name]) for name in ("given_up", "waiting", "oldest_seconds")
    )
    return Card(
        "Events stuck",
        f"{stuck:,}",
        f"{waiting:,} waiting, the oldest for {oldest} s",
        f"{reverse('admin:kernel_outboxevent_changelist')}?state=dead",
        is_bad=stuck > 0 or oldest > LATE_SECONDS,
    )


@card
def tasks_given_up() -> Card:
    facts = background.standing()
    return Card(
        "Background tasks given up",
        f"{int(facts['given_up']):,}",
        f"{int(facts['waiting']):,} waiting",
        f"{reverse('admin:kernel_backgroundtask_changelist')}?state=dead",
        is_bad=facts["given_up"] > 0,
    )


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
        audit(
            f"admin.{queryset.model._meta.model_name}_run_again",
            target=f"{count} rows",
            request=request,
            actor=operator_of(request),
            changes={"ids": ids},
        )
        self.message_user(request, f"{count} run again.")  # type: ignore[attr-defined]


@admin.register(OutboxEvent)
class OutboxEventAdmin(Revivable, ModelAdmin):
    list_display = ["created_at", "type", "store_id", "attempts", "done_at", "last_error"]
    list_filter = [GivenUp]
    search_fields = ["id"]
    ordering = ["-id"]


@admin.register(BackgroundTask)
class BackgroundTaskAdmin(Revivable, ModelAdmin):
    list_display = ["created_at", "name", "attempts", "due_at", "done_at", "last_error"]
    list_filter = [GivenUp]
    search_fields = ["id"]
    ordering = ["-id"]
