"""The OpenAPI document, read off the views' own declarations and served as bytes."""

import inspect
from functools import cache
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from storeplatform.kernel.examples import Examples
from storeplatform.kernel.methods import reading_only
from storeplatform.kernel.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from storeplatform.kernel.permissions import OR, grant_for
from storeplatform.kernel.problems import CODES_BY_STATUS
from storeplatform.kernel.serializers import (
    Body,
    Computed,
    DecimalField,
    Money,
    Phone,
    TextField,
    WireSerializer,
)
from storeplatform.kernel.viewsets import SEARCH_LENGTH, UUID_PATTERN, StoreScoped

PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, for machines."},
        "instance": {"type": "string"},
        "requestId": {"type": "string"},
        "errors": {
            "type": "object",
            "description": "Field paths as spelt in the request, each with its faults.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
MONEY = {"type": "string", "pattern": r"^-?\d{1,14}(\.\d{1,3})?$", "examples": ["25000"]}
SHOWN_MONEY = MONEY | {"pattern": r"^-?\d+(\.\d{1,3})?$"}  # a sum may be longer than any amount
PHONE = {"type": "string", "examples": ["+9647701234567"]}
PROBLEMS = {
    "400": "The input is invalid; `errors` names the fields.",
    "401": "No credential, or one that does not hold.",
    "403": "The credential lacks the scope or permission.",
    "404": "There is no such row in this store.",
    "406": "The client accepts no JSON.",
    "409": "The present state is in the way.",
    "410": "It was here and is not kept any more.",
    "412": "The row is no longer at the version of `If-Match`.",
    "413": "The body is too large.",
    "415": "The body is of another kind than this reads.",
    "422": "The same `Idempotency-Key` came with another body.",
    "429": "Over a limit; `Retry-After` says when to come back.",
    "502": "A provider refused or failed.",
    "503": "Busy, or a server behind this one is away; try again after `Retry-After`.",
}
PAGING: dict[str, dict[str, Any]] = {
    "page": {"type": "integer", "minimum": 1, "default": 1},
    "pageSize": {
        "type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE,
    },
    "cursor": {"type": "string", "description": "Empty begins; then `nextCursor`."},
}  # fmt: skip
EXAMPLE_CODES = {
    "410": "gone", "412": "precondition_failed", "422": "idempotency_key_reused",
    "502": "provider_failed",
}  # fmt: skip
SEARCH = {"type": "string", "maxLength": SEARCH_LENGTH}
ID = {"type": "string", "format": "uuid"}


NO_CONTENT = frozenset({"destroy", "logout", "reset", "change_password", "end_session"})
CREATING = frozenset({"create", "register", "storefront", "sessions", "upload"})


class OperationSchema(AutoSchema):
    """What a view declares, as an OpenAPI operation."""

    view: Any

    def get_operation_id(self) -> str:
        path = self.path.removeprefix("/api/v1/").replace("{", "by_").replace("}", "")
        words = path.replace("-", "_").replace("/", "_")
        return f"{self.method.lower()}_{words}"

    def get_tags(self) -> list[str]:
        parts = self.path.removeprefix("/api/v1/").split("/")
        if parts[:2] == ["store", "integrations"]:
            return ["Integrations: " + parts[2]]
        return [parts[1] if parts[0] == "store" else parts[0]]

    def get_summary(self) -> str:
        words = self.view.action.replace("_", " ")
        return f"{words} {self.get_tags()[0].removeprefix('Integrations: ')}".capitalize()

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own form
        handler = getattr(self.view, self.view.action, None)
        text = (getattr(handler, "__doc__", None) or "").strip()
        if getattr(self.view, "why_public", ""):
            return f"{text}\n\nNo credential: {self.view.why_public}.".strip()
        grant = grant_for(self.view, self.view.action, self.method)
        kind = "scope" if ":" in grant else "permission"
        asks = (
            f"Asks for the {kind} `{grant.replace(OR, f'`{OR}`')}`."
            if grant
            else "Any valid credential."
        )
        return f"{text}\n\n{asks}".strip()

    def get_auth(self) -> list[dict[str, Any]]:
        if getattr(self.view, "why_public", ""):
            return [{}]
        if getattr(self.view, "surface", "") == "widget":
            return [{"visitor": []}]
        is_key = getattr(self.view, "grant_separator", ".") == ":"
        return [{"apiKey": []} if is_key else {"bearer": []}]

    def get_request_serializer(self) -> Any:
        form = getattr(self.view, "forms", {}).get(self.view.action)
        if self.view.action == "bulk":
            return bulk_body(*self.view.bulk_rows, form)
        if form is not None:
            return form()
        if self.view.action in ("create", "update", "partial_update", "upsert"):
            serializer = self.view_serializer()
            if self.view.action == "update" and serializer is not None:
                serializer.partial = True  # a PUT keeps what it does not name
            return serializer
        return None

    def get_response_serializers(self) -> Any:
        return self.view_serializer()

    def view_serializer(self) -> Any:
        answer = getattr(self.view, "answers", {}).get(self.view.action)
        chosen = answer or getattr(self.view, "serializer_class", None)
        return chosen(context={"store": None}) if chosen else None

    def get_filter_backends(self) -> list[Any]:
        return []

    def _map_serializer(self, serializer: Any, direction: Any, *args: Any, **kwargs: Any) -> Any:
        schema = super()._map_serializer(serializer, direction, *args, **kwargs)
        if direction == "response" and isinstance(serializer, WireSerializer):
            hidden = getattr(serializer.Meta, "shown_with", {})
            schema["required"] = [name for name in schema["properties"] if name not in hidden]
        if direction == "request":
            schema["properties"] = {
                name: told_default(member)
                for name, member in schema["properties"].items()
                if not getattr(serializer.fields.get(name), "read_only", False)
            }
        example = getattr(serializer, "example", None)
        return {**schema, "examples": [example]} if example and direction == "request" else schema

    def _map_serializer_field(self, field: Any, direction: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(field, Computed):
            shown = field.shows
            if isinstance(shown, type):
                shown = shown()
            if isinstance(shown, serializers.ListSerializer):
                return {"type": "array", "items": self._map_serializer(shown.child, direction)}
            if isinstance(shown, serializers.BaseSerializer):
                return self._map_serializer(shown, direction)
            return self._map_serializer_field(shown, direction, *args, **kwargs)
        if isinstance(field, Money | Phone):
            money = MONEY if direction == "request" else SHOWN_MONEY
            schema = dict(money if isinstance(field, Money) else PHONE)
            kinds = ["string"]
            kinds += ["number"] if isinstance(field, Money) and direction == "request" else []
            kinds += ["null"] if field.allow_null else []
            return schema | {"type": kinds if len(kinds) > 1 else "string"}
        schema = super()._map_serializer_field(field, direction, *args, **kwargs)
        if {} in schema.get("oneOf", ()):  # any JSON value, and null is one
            del schema["oneOf"]
        if isinstance(field, TextField) and field.allow_null and direction == "request":
            schema.pop("minLength", None)  # an empty text is none
        if getattr(field, "takes_text", False) and direction == "request":
            return {"anyOf": [schema, {"type": "string", "minLength": 1}]}
        if isinstance(field, DecimalField) and direction == "request":
            kinds = schema["type"]
            schema["type"] = ["number", *([kinds] if isinstance(kinds, str) else kinds)]
        return schema

    def _get_parameters(self) -> Any:
        parameters = super()._get_parameters()
        for one in parameters:
            if UUID_PATTERN in one["schema"].get("pattern", ""):
                one["schema"] = ID
        return parameters + [
            query_parameter(name, schema) for name, schema in self.query_schemas().items()
        ]

    def query_schemas(self) -> dict[str, dict[str, Any]]:
        """What the query may hold: by name a JSON schema."""
        view, action = self.view, self.view.action
        asked = dict(getattr(view, "asks", {}).get(action, {}))
        is_list = action == "list"
        if not is_list and action not in getattr(view, "filtering_actions", ()):
            return asked
        schemas = {}
        if is_list and view.is_whole_list:
            return asked
        if is_list:
            schemas = dict(PAGING)
            if view.cursor_only:
                del schemas["page"]
        if view.search_fields or view.searched.__func__ is not StoreScoped.searched:
            schemas["search"] = SEARCH
        if names := list(view.orderings()):
            words = [sign + name for name in names for sign in ("", "-")]
            schemas["ordering"] = {"type": "array", "items": {"type": "string", "enum": words}}
        filters = view.filterset_class
        return schemas | (filters.wire_schemas() if filters else {}) | asked

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = {
            status: {"$ref": f"#/components/responses/Problem{status}"} for status in PROBLEMS
        }
        ends = self.view.action in NO_CONTENT or self.method == "DELETE"
        if ends and self.view.action not in self.view.answers:
            return {"204": {"description": "Done."}, **bodies}
        if files := getattr(self.view, "file_answers", {}).get(self.view.action):
            content = {media: {"schema": {"type": "string"}} for media in files}
            return {"200": {"description": "The document.", "content": content}, **bodies}
        serializer = self.view_serializer()
        schema: dict[str, Any] = {"type": "object"}
        if serializer is not None:
            schema = self.resolve_serializer(serializer, direction).ref
        if self.view.action == "list" or self.view.action in self.view.listing_actions:
            schema = envelope(schema)
        done = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
        answers = dict.fromkeys(self.statuses(), done)
        if "400" in answers:  # as a bulk call of which nothing was stored
            content = done["content"] | problem_response("400")["content"]
            answers["400"] = {"description": PROBLEMS["400"], "content": content}
        return {**bodies, **answers}

    def statuses(self) -> list[str]:
        """With which the action answers that it was done."""
        action = self.view.action
        if declared := getattr(self.view, "statuses", {}).get(action):
            return [str(status) for status in declared]
        if action in getattr(self.view, "accepting_actions", ()):
            return ["202"]
        if action == "bulk":
            return ["201" if self.method == "POST" else "200", "207", "400"]
        return ["201" if self.method == "POST" and action in CREATING else "200"]


def told_default(schema: dict[str, Any]) -> dict[str, Any]:
    """A default of a body's member in words: generators take a keyword for a member that is
    always there, and would ask for it."""
    if schema.get("default") in (None, {}, [], ""):
        return {key: schema[key] for key in schema if key != "default"}
    words = f"`{orjson.dumps(schema['default'], default=str).decode()}` unless told."
    told = {key: schema[key] for key in schema if key != "default"}
    told["description"] = f"{schema.get('description', '')} {words}".strip()
    return told


def query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    parameter = {"in": "query", "name": name, "schema": schema, "required": False}
    if "required" in schema:
        parameter["schema"] = {key: schema[key] for key in schema if key != "required"}
        parameter["required"] = True
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}  # commas between
    return parameter


@cache
def bulk_body(member: str, row: Any, form: type[Body] | None) -> Any:
    """The body of a bulk call: rows of a kind, and the options of `form` beside them."""
    kind = row.__name__.removesuffix("Serializer").removesuffix("Body").removeprefix("Bulk")
    options = dict(form().fields) if form else {}
    rows = row(many=True, context={"store": None})
    return inline_serializer(f"BulkOf{kind}s", {**options, member: rows})


def envelope(item: dict[str, Any]) -> dict[str, Any]:
    number = {"type": ["integer", "null"]}
    cursor = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": item},
            "page": number,
            "pageSize": {"type": "integer"},
            "totalCount": number,
            "totalPages": number,
            "nextCursor": cursor,
            "prevCursor": cursor,
        },
    }


class DocumentGenerator(SchemaGenerator):
    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        view = super().create_view(callback, method, request)
        view.swagger_fake_view = True
        return view


@cache
def document() -> bytes:
    """The whole document, made once a process."""
    made = DocumentGenerator().get_schema(request=None, public=True)
    inherited = {inspect.getdoc(base) for base in (Body, WireSerializer)}
    for schema in made["components"]["schemas"].values():
        if schema.get("description") in inherited:
            del schema["description"]  # speaks to us, not to the reader
    made["components"]["schemas"]["Problem"] = PROBLEM
    made["tags"] = tags_of(made["paths"])
    keep_used_schemas(made)
    for path in made["paths"].values():
        for method, operation in path.items():
            if method == "put" and "requestBody" in operation:
                operation["requestBody"]["required"] = False
            add_examples(operation, made["components"]["schemas"])
    made["components"]["responses"] = {
        f"Problem{status}": problem_response(status) for status in PROBLEMS
    }
    made["components"]["securitySchemes"] = {
        "apiKey": {
            "type": "apiKey", "in": "header", "name": "X-API-Key",
            "description": "A store's key, `keyId.secret`, for its own programs.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The access token of a person who signed in.",
        },
        "visitor": {
            "type": "http", "scheme": "bearer",
            "description": "The visitor token of a page's chat widget.",
        },
    }  # fmt: skip
    return orjson.dumps(made, default=float)  # bounds of decimals


def tags_of(paths: dict[str, Any]) -> list[dict[str, str]]:
    """Every tag in use, with a sentence on what its operations are about."""
    names = sorted({tag for path in paths.values() for one in path.values() for tag in one["tags"]})
    return [{"name": name, "description": tag_description(name)} for name in names]


def tag_description(tag: str) -> str:
    _, is_key, words = tag.rpartition("Integrations: ")
    subject = words.replace("-", " ")
    return f"For a store's own programs: {subject}." if is_key else f"{subject.capitalize()}."


def keep_used_schemas(made: dict[str, Any]) -> None:
    """Drops the components that no operation reaches, such as the base of several bodies."""
    schemas = made["components"]["schemas"]
    wanted, used = references_in(made["paths"]), {"Problem"}
    while wanted := (wanted & schemas.keys()) - used:
        used |= wanted
        wanted = set().union(*(references_in(schemas[name]) for name in wanted))
    made["components"]["schemas"] = {name: schemas[name] for name in schemas if name in used}


def references_in(part: Any) -> set[str]:
    """Names of the components that a part of the document points to."""
    if isinstance(part, dict):
        own = part.get("$ref")
        inner = set().union(*map(references_in, part.values()))
        return inner | {own.rpartition("/")[2]} if isinstance(own, str) else inner
    return set().union(*map(references_in, part)) if isinstance(part, list) else set()


def add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What the operation's body and each of its JSON answers look like."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        body["example"] = Examples(schemas, is_request=True).of(body["schema"])
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        if "application/json" in content:
            shown = content["application/json"]
            shown["example"] = Examples(schemas).of(shown["schema"])


def problem_response(status: str) -> dict[str, Any]:
    """The answer that every operation refers to for this status."""
    code = CODES_BY_STATUS.get(int(status), EXAMPLE_CODES.get(status, "conflict"))
    example = {
        "type": f"{settings.PUBLIC_ORIGIN}/problems/{code}",
        "title": PROBLEMS[status],
        "status": int(status),
        "code": code,
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": PROBLEMS[status],
        "content": {"application/problem+json": {"schema": schema, "example": example}},
    }


@reading_only
def openapi_json(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(document(), content_type="application/json")
    response["Cache-Control"] = "public, max-age=300"
    return response
