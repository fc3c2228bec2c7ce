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
from storeplatform.kernel.permissions import grant_for
from storeplatform.kernel.problems import CODES_BY_STATUS
from storeplatform.kernel.serializers import (
    Body,
    Computed,
    DecimalField,
    Money,
    Phone,
    WireSerializer,
)

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
PHONE = {"type": "string", "examples": ["+9647701234567"]}
PROBLEMS = {
    "400": "The input is invalid; `errors` names the fields.",
    "401": "No credential, or one that does not hold.",
    "403": "The credential lacks the scope or permission.",
    "404": "There is no such row in this store.",
    "409": "The present state is in the way.",
    "429": "Over a limit; `Retry-After` says when to come back.",
}


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
        asks = f"Asks for the {kind} `{grant}`." if grant else "Any valid credential."
        return f"{text}\n\n{asks}".strip()

    def get_auth(self) -> list[dict[str, Any]]:
        if getattr(self.view, "why_public", ""):
            return [{}]
        is_key = getattr(self.view, "grant_separator", ".") == ":"
        return [{"apiKey": []} if is_key else {"bearer": []}]

    def get_request_serializer(self) -> Any:
        form = getattr(self.view, "forms", {}).get(self.view.action)
        if self.view.action == "bulk":
            return bulk_body(*self.view.bulk_rows, form)
        if form is not None:
            return form()
        if self.view.action in ("create", "update", "partial_update", "upsert"):
            return self.view_serializer()
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
            schema = dict(MONEY if isinstance(field, Money) else PHONE)
            kinds = ["string"]
            kinds += ["number"] if isinstance(field, Money) and direction == "request" else []
            kinds += ["null"] if field.allow_null else []
            return schema | {"type": kinds if len(kinds) > 1 else "string"}
        schema = super()._map_serializer_field(field, direction, *args, **kwargs)
        if isinstance(field, DecimalField) and direction == "request":
            kinds = schema["type"]
            schema["type"] = ["number", *([kinds] if isinstance(kinds, str) else kinds)]
        return schema

    def _get_parameters(self) -> Any:
        parameters = super()._get_parameters()
        names = ["page", "pageSize", "cursor", "search", "ordering"]
        if self.view.action in getattr(self.view, "filtering_actions", ()):
            names = ["search", "ordering"]
        elif self.view.action != "list":
            return parameters
        filters = getattr(self.view, "filterset_class", None)
        names += filters.wire_names() if filters else []
        return parameters + [
            {"in": "query", "name": name, "schema": {"type": "string"}, "required": False}
            for name in names
        ]

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = {
            code: {
                "description": text,
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                },
            }
            for code, text in PROBLEMS.items()
        }
        if self.view.action in NO_CONTENT and self.view.action not in self.view.answers:
            return {"204": {"description": "Done."}, **bodies}
        if files := getattr(self.view, "file_answers", {}).get(self.view.action):
            content = {media: {"schema": {"type": "string"}} for media in files}
            return {"200": {"description": "The document.", "content": content}, **bodies}
        status = "201" if self.view.action in CREATING else "200"
        if self.view.action in getattr(self.view, "accepting_actions", ()):
            status = "202"
        serializer = self.view_serializer()
        schema: dict[str, Any] = {"type": "object"}
        if serializer is not None:
            schema = self.resolve_serializer(serializer, direction).ref
        if self.view.action == "list" or self.view.action in self.view.listing_actions:
            schema = envelope(schema)
        return {
            status: {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            **bodies,
        }


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
    for path in made["paths"].values():
        for operation in path.values():
            add_examples(operation, made["components"]["schemas"])
    made["components"]["securitySchemes"] = {
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    }
    return orjson.dumps(made, default=float)  # bounds of decimals


def add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What the operation's body and each of its JSON answers look like."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        body["example"] = Examples(schemas, is_request=True).of(body["schema"])
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if "application/json" in content:
            shown = content["application/json"]
            shown["example"] = Examples(schemas).of(shown["schema"])
        elif "application/problem+json" in content:
            code = CODES_BY_STATUS.get(int(status), "conflict")
            content["application/problem+json"]["example"] = {
                "type": f"{settings.PUBLIC_ORIGIN}/problems/{code}",
                "title": answer["description"],
                "status": int(status),
                "code": code,
            }


@reading_only
def openapi_json(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(document(), content_type="application/json")
    response["Cache-Control"] = "public, max-age=300"
    return response
