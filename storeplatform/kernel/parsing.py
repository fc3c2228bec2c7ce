"""Reading bodies and writing answers: strict JSON in, orjson out."""

from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import orjson
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.strict_json import MalformedJSON, loads


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return loads(cast(BinaryIO, stream).read())
        except MalformedJSON as error:
            raise Refusal("malformed_json", str(error)) from None


def plain(value: Any) -> Any:
    """What orjson does not write our way: instants to the millisecond, Decimals as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, frozenset | set):
        return sorted(value)
    return str(value)


def dumps(value: Any) -> bytes:
    """JSON for the wire."""
    return orjson.dumps(value, default=plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


class JSONRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        return b"" if data is None else dumps(data)


class AlwaysJSON(BaseContentNegotiation):
    """Answers are JSON; only a client that accepts none of it is refused (406)."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        content_type, _, parameters = (request.content_type or "").lower().partition(";")
        wanted = parameters.replace(" ", "").replace('"', "") in ("", "charset=utf-8")
        for parser in parsers:
            if parser.media_type == content_type.strip():
                return parser if wanted or parser.media_type.startswith("multipart") else None
        return None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[Any, str]:
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        if not any(word in accept for word in ("*/*", "json", "application/*")):
            raise NotAcceptable(available_renderers=renderers)
        return renderers[0], "application/json"
