"""The base of every store-owned view: scoped rows, declared grants, limits, one-time effects."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import orjson
from django.db import IntegrityError
from django.db.models import Model, Q, QuerySet, Value
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from storeplatform.kernel import limits
from storeplatform.kernel.addresses import network_of
from storeplatform.kernel.errors import (
    Conflict,
    PreconditionFailed,
    Refusal,
    Unauthenticated,
    refuse,
)
from storeplatform.kernel.filters import WireFilterSet
from storeplatform.kernel.idempotency import (
    KEPT_HEADERS,
    AnotherWasFirst,
    Answer,
    Attempt,
    attempt_of,
)
from storeplatform.kernel.limits import POLICIES, Bucket
from storeplatform.kernel.pagination import Ordering, Query, page_of, read_ordering
from storeplatform.kernel.parsing import dumps
from storeplatform.kernel.permissions import READ_ACTIONS, HasGrant, actor_of
from storeplatform.kernel.serializers import Body, camel
from storeplatform.kernel.sql import Fold
from storeplatform.kernel.tenancy import Actor, StoreFacts, StoreOwned
from storeplatform.kernel.text import fold
from storeplatform.kernel.transactions import in_transaction

M = TypeVar("M", bound=Model)
SEARCH_LENGTH = 200
UUID_PATTERN = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


class StoreScoped(GenericViewSet, Generic[M]):  # type: ignore[type-arg]  # bound by subclasses
    """A view of one store's rows. Subclasses declare:

    - `resource` (asks for `resource.read` or `resource.write`) or `permissions = {action: grant}`;
    - `queryset`, `serializer_class`, `forms = {action: Body}`, `answers = {action: serializer}`;
    - `search_fields` (folded columns), `ordering_fields` {wire name: column}, `filterset_class`.
    """

    resource: ClassVar[str] = ""
    permissions: ClassVar[Mapping[str, str]] = {}
    reading_actions: ClassVar[frozenset[str]] = frozenset()  # POSTs that only read
    grant_separator: ClassVar[str] = "."
    permission_classes: Sequence[type[BasePermission]] = [HasGrant]
    search_fields: ClassVar[Sequence[str]] = ()
    ordering_fields: ClassVar[Mapping[str, str]] = {}
    default_ordering: ClassVar[Sequence[str]] = ("-created_at",)
    filterset_class: ClassVar[type[WireFilterSet] | None] = None
    cursor_only: ClassVar[bool] = False
    is_whole_list: ClassVar[bool] = False  # `list` has no pages and reads no query
    forms: ClassVar[Mapping[str, type[Body]]] = {}  # what an action reads
    asks: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # {action: {query name: JSON schema}}
    answers: ClassVar[Mapping[str, Any]] = {}  # what it answers, where not the view's serializer
    bulk_rows: ClassVar[tuple[str, Any] | None] = None  # member and serializer of bulk rows
    listing_actions: ClassVar[frozenset[str]] = frozenset()  # answer `items` beside `list`
    upload_actions: ClassVar[frozenset[str]] = frozenset()  # read one multipart `file`
    filtering_actions: ClassVar[frozenset[str]] = frozenset()  # take the list's filters too
    accepting_actions: ClassVar[frozenset[str]] = frozenset()  # answer before the work is done
    statuses: ClassVar[Mapping[str, Sequence[int]]] = {}  # {action: of success, where not 200, 201}
    file_answers: ClassVar[Mapping[str, Sequence[str]]] = {}  # media types of answers not in JSON
    lookup_value_regex = UUID_PATTERN
    attempt: Attempt | None = None

    # Before the handler

    def get_parsers(self) -> list[Any]:
        action = getattr(self, "action", None)
        if action is None and self.request is not None:
            action = self.action_map.get((self.request.method or "").lower())
        return [MultiPartParser()] if action in self.upload_actions else super().get_parsers()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
            request, force=self.action in self.file_answers
        )
        self.authenticate(request)
        if self.action is None:
            raise drf.MethodNotAllowed(request.method or "")
        self.charge(request)
        self.check_permissions(request)

    def authenticate(self, request: Request) -> None:
        """Fills `request.auth`; too many failures from one address are refused by themselves."""
        try:
            self.perform_authentication(request)
            if request.auth is None:
                self.permission_denied(request)
        except Unauthenticated:
            ip = getattr(request, "client_ip", "")
            failed = limits.charge([Bucket(POLICIES["auth-failure"], network_of(ip))])
            limits.refuse_over(failed)
            raise

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> Any:
        authenticator: Any = self.get_authenticators()[0]
        raise Unauthenticated(
            "authentication_required",
            "This needs a credential.",
            scheme=authenticator.authenticate_header(request) or "Bearer",
        )

    def buckets(self, actor: Actor) -> list[Bucket]:
        """The rate limits of a call."""
        return [Bucket(POLICIES["dashboard"], f"{actor.id}:{actor.store_id}", self.cost())]

    def cost(self) -> int:
        """How many tokens the call takes; bulk calls take one for ten rows."""
        return 1

    def charge(self, request: Request) -> None:
        levels = limits.charge(self.buckets(actor_of(request)))
        self.headers |= limits.headers(levels)
        limits.refuse_over(levels)

    @property
    def is_reading(self) -> bool:
        return (
            self.request.method in ("GET", "HEAD", "OPTIONS")
            or self.action in READ_ACTIONS
            or self.action in self.reading_actions
        )

    # Rows

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(store_id=self.actor.store_id)

    def locked_object(self) -> Any:
        """The row of the path, locked, inside a transaction."""
        queryset = self.get_queryset().select_for_update(of=("self",))
        row = queryset.filter(pk=self.kwargs[self.lookup_field]).first()
        if row is None:
            raise Http404
        self.check_version(row)
        return row

    def check_version(self, row: Any) -> None:
        """If-Match or a `version` in the body: the caller's picture must be the latest."""
        if not isinstance(row, StoreOwned):
            return
        match = self.request.headers.get("If-Match")
        if match is not None and match.strip() not in ("*", f'"{row.version}"'):
            raise PreconditionFailed(
                "precondition_failed",
                "The row has changed since.",
                details={"current": {"version": row.version}},
            )
        body = self.request.data if isinstance(self.request.data, Mapping) else {}
        version = body.get("version")
        if version is None:
            return
        if type(version) is not int:  # True and 1.0 equal 1
            raise refuse("version", "validation_error", "A whole number, as it was read.")
        if version != row.version:
            raise Conflict(
                "version_conflict",
                "The row has changed since.",
                details={"current": {"version": row.version}},
            )

    def wire_rows(self, queryset: QuerySet[Any], columns: Sequence[str] = ()) -> Any:
        """Rows as the view's serializer shows them, with the values of `columns` behind."""
        serializer: Any = self.get_serializer()
        return serializer.rows(queryset, columns)

    # Input

    def get_serializer_context(self) -> dict[str, Any]:
        actor = self.actor
        return {"request": self.request, "store": actor.store, "grants": actor.grants}

    def body(self) -> dict[str, Any]:
        """The validated body: by the action's form, else by the view's serializer. Of a row that
        does not exist that is said first."""
        try:
            return self.read_body()
        except (Refusal, drf.ValidationError):
            self.refuse_unknown_row()
            raise

    def refuse_unknown_row(self) -> None:
        wanted = {name: self.kwargs[name] for name in (self.lookup_field,) if name in self.kwargs}
        if wanted and not self.get_queryset().filter(**wanted).exists():
            raise Http404

    def read_body(self) -> dict[str, Any]:
        form = self.forms.get(self.action)
        if form is not None:
            return form.read(self.data_object(), self.actor.store)
        serializer = self.get_serializer(data=self.data_object())
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values

    def data_object(self) -> Any:
        """The parsed body, which must be an object; none at all is an empty one."""
        data = self.request.data
        if not isinstance(data, Mapping):
            raise refuse("_", "validation_error", "The body is a JSON object.")
        return data

    # Effects

    def once(self, effect: Callable[[], Response]) -> Response:
        """Carry out `effect` in one transaction, and only once for an Idempotency-Key."""
        attempt = self.attempt
        if attempt is None:
            return in_transaction(effect)

        def kept_effect() -> Response:
            attempt.lock()
            response = effect()
            self.keep(attempt, response)
            return response

        try:
            return in_transaction(kept_effect)
        except AnotherWasFirst:
            return self.replay(attempt)

    def keep(self, attempt: Attempt, response: Response) -> None:
        """Store the answer with its effect."""
        body = dumps(response.data) if response.data is not None else b""
        headers = {name: response[name] for name in KEPT_HEADERS if name in response}
        attempt.store(Answer(response.status_code, headers, body))

    def shown_once(self, **instead: str) -> None:
        """Inside an effect whose answer holds a secret: keep these members in its place."""
        if self.attempt:
            self.attempt.instead = instead

    def replay(self, attempt: Attempt) -> Response:
        """The answer that another request with the same key stored meanwhile."""
        attempt.stored = True
        answer = attempt.find()
        if answer is None:
            raise Conflict("idempotency_in_progress", "Ask again shortly.")
        return replayed(answer)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """DRF's dispatch with the idempotency lookup between permission and handler."""
        self.args, self.kwargs = args, kwargs
        drf_request = self.request = self.initialize_request(request, *args, **kwargs)
        self.headers: dict[str, str] = {}
        try:
            self.initial(drf_request, *args, **kwargs)
            response = self.repeated(drf_request) or self.answered(drf_request, *args, **kwargs)
        except Exception as error:  # DRF's own way: the handler knows which are answers
            response = self.handle_exception(error)
        self.response = self.finalize_response(drf_request, response, *args, **kwargs)
        return self.response

    def answered(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The handler's answer. What stands in its way may be the effect of the same request,
        committed since `repeated` looked."""
        try:
            return self.handle(request, *args, **kwargs)
        except (Refusal, drf.APIException, Http404, IntegrityError):
            answer = self.attempt.find() if self.attempt else None
            if answer is None:
                raise
            return replayed(answer)

    def handle(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if request.method in ("POST", "PUT", "PATCH") and self.action not in self.upload_actions:
            self.refuse_malformed(request)
        response: Response = getattr(self, (request.method or "").lower())(request, *args, **kwargs)
        succeeded = response.status_code < 400 and not self.is_reading
        if succeeded and self.attempt and not self.attempt.stored:
            raise AssertionError(f"{type(self).__name__}.{self.action} forgot its key")
        return response

    def refuse_malformed(self, request: Request) -> None:
        """Also where no body is needed, one that is sent must be JSON."""
        try:
            _ = request.data
        except (Refusal, drf.APIException):
            self.refuse_unknown_row()
            raise

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def repeated(self, request: Request) -> Response | None:
        """The kept answer of a request that was carried out before."""
        if "Idempotency-Key" not in request.headers or self.is_reading:
            return None
        if self.action in self.upload_actions:
            content = contents_of(request)
        else:
            is_json = (request.content_type or "").startswith("application/json")
            content = request.data if is_json else request._request.body
        self.attempt = attempt_of(request._request, self.actor, content)
        if self.attempt is None:
            return None
        answer = self.attempt.find()
        if answer is None:
            return None
        return replayed(answer)

    # Lists

    def list_page(self, queryset: QuerySet[Any]) -> dict[str, Any]:
        """The page that the query string asks for, searched, filtered and ordered."""
        query = Query(self.request.query_params)
        queryset = self.narrowed(queryset, query)
        serializer: Any = self.get_serializer()
        return page_of(
            queryset,
            query,
            self.ordering_keys(query),
            serializer.page_rows,
            store_id=self.actor.store_id,
            cursor_only=self.cursor_only,
        )

    def narrowed(self, queryset: QuerySet[Any], query: Query) -> QuerySet[Any]:
        """The rows that the query's filters and search leave."""
        if self.filterset_class is not None:
            queryset = self.filterset_class.apply(query, queryset, self.actor)
        return self.searched(queryset, query.get("search"))

    def ordering_keys(self, query: Query) -> list[Ordering]:
        """The order that the query asks for."""
        model = self.get_queryset().model
        return read_ordering(query, self.orderings(), self.default_ordering, model)

    def orderings(self) -> Mapping[str, str]:
        defaults = {camel(path.lstrip("-")): path.lstrip("-") for path in self.default_ordering}
        return {**defaults, **self.ordering_fields}

    def searched(self, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        """Rows whose folded text contains what was typed."""
        words = words.strip()
        if len(words) > SEARCH_LENGTH or not words.isprintable():
            raise refuse(
                "search", "validation_error", f"At most {SEARCH_LENGTH} printable characters."
            )
        if not words or not self.search_fields:
            return queryset
        return search(queryset, words)


def search(queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
    """Rows whose `search_text` contains the words; phone-like words match their digits too."""
    digits = "".join(character for character in fold(words) if character.isdigit())
    wanted = Q(search_text__contains=Fold(Value(words)))
    if len(digits) >= 4 and not any(character.isalpha() for character in words):
        wanted |= Q(search_text__contains=Fold(Value(digits.lstrip("0"))))
    return queryset.filter(wanted)


def contents_of(request: Request) -> Any:
    """What a multipart body says, whatever boundary parts it."""
    files = {
        name: [file.name, hashlib.file_digest(file, "sha256").hexdigest()]
        for name, file in request.FILES.items()
    }
    for file in request.FILES.values():
        file.seek(0)
    return {"fields": dict(request._request.POST.lists()), "files": files}


def replayed(answer: Answer) -> Response:
    if answer.instead:
        raise Conflict(
            "secret_already_issued",
            "This request was carried out; its secret was shown once and is not kept.",
            details=answer.instead,
        )
    response = Response(orjson.Fragment(answer.body) if answer.body else None, status=answer.status)
    for name, value in answer.headers.items():
        response[name] = value
    response["Idempotent-Replayed"] = "true"
    return response


class ListModelMixin:
    """GET a page of rows."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self.list_page(self.get_queryset()))  # type: ignore[attr-defined]


class RetrieveModelMixin:
    """GET one row."""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = self.row_response(self.kwargs[self.lookup_field])  # type: ignore[attr-defined]
        return response


class StoreScopedViewSet(ListModelMixin, RetrieveModelMixin, StoreScoped[M]):
    """A declared CRUD resource. PUT replaces the fields that are present; PATCH is the same."""

    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options"]

    def row_response(self, pk: Any, status: int = 200) -> Response:
        serializer: Any = self.get_serializer()
        columns = ["version"] if issubclass(self.get_queryset().model, StoreOwned) else []
        found = serializer.rows(self.get_queryset().filter(pk=pk), columns)
        if not found:
            raise Http404
        response = Response(found[0][0], status=status)
        if columns:
            response["ETag"] = f'"{found[0][1]}"'
        return response

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values = self.body()

        def effect() -> Response:
            row = self.perform_create(values)
            response = self.row_response(row.pk, status=201)
            response["Location"] = f"{request.path}/{row.pk}"
            return response

        return self.once(effect)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        def effect() -> Response:
            row = self.locked_object()
            serializer = self.get_serializer(row, data=self.data_object(), partial=True)
            serializer.is_valid(raise_exception=True)
            row = self.perform_update(row, serializer)
            return self.row_response(row.pk)

        return self.once(effect)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        def effect() -> Response:
            self.perform_destroy(self.locked_object())
            return Response(status=204)

        return self.once(effect)

    # What a resource with a rule puts its service into

    def perform_create(self, values: dict[str, Any]) -> Any:
        serializer: Any = self.get_serializer()
        return serializer.create({**values, "store_id": self.actor.store_id})

    def perform_update(self, row: Any, serializer: Any) -> Any:
        return serializer.update(row, serializer.validated_data)

    def perform_destroy(self, instance: Any) -> None:
        instance.delete()


class PublicView(GenericViewSet):  # type: ignore[type-arg]  # no queryset
    """A view without credential. It names in `why_public` what protects it instead."""

    why_public: ClassVar[str]
    authentication_classes: Sequence[Any] = []
    permission_classes: Sequence[type[BasePermission]] = []
    facts: ClassVar[StoreFacts] = StoreFacts(UUID(int=0))
    forms: ClassVar[Mapping[str, type[Body]]] = {}
    asks: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    answers: ClassVar[Mapping[str, Any]] = {}
    listing_actions: ClassVar[frozenset[str]] = frozenset()
    statuses: ClassVar[Mapping[str, Sequence[int]]] = {}

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def body(self, facts: StoreFacts | None = None) -> dict[str, Any]:
        if not isinstance(self.request.data, Mapping):
            raise refuse("_", "validation_error", "The body is a JSON object.")
        return self.forms[self.action].read(self.request.data, facts or self.facts)
