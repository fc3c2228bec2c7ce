"""Turns every error of every surface into application/problem+json (platform.md, section 1)."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import orjson
import structlog
from django.apps import apps
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError, UniqueConstraint
from django.http import Http404, HttpRequest, HttpResponse
from psycopg import errors as pg
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf

from storeplatform.kernel import metrics
from storeplatform.kernel.edges import TITLES, problem_object
from storeplatform.kernel.errors import Conflict, NotFound, Refusal, Unavailable

log = structlog.get_logger(__name__)

CODES_BY_STATUS = {
    400: "validation_error",
    401: "authentication_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}

Lookup = Callable[[dict[str, str]], dict[str, Any]]
_lookups: dict[str, Lookup] = {}


def on_violation(constraint: str) -> Callable[[Lookup], Lookup]:
    """Registers what a 409 of `constraint` says more: a function from the clashing columns' values
    to members of the problem, run after the rollback. The members are promised by the documents,
    such as the `customerId` of the customer who has the phone."""

    def register(lookup: Lookup) -> Lookup:
        _lookups[constraint] = lookup
        return lookup

    return register


def problem(
    request: HttpRequest,
    status: int,
    code: str,
    title: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    metrics.refused(code)
    request_id = getattr(request, "request_id", "")
    body = problem_object(settings.PUBLIC_ORIGIN, status, code, title, request.path, request_id)
    if errors:
        body["errors"] = errors
    if taken := body.keys() & (details or {}).keys():
        raise AssertionError(f"{code} has details named {taken}")
    body |= details or {}
    response = HttpResponse(
        orjson.dumps(body, default=str), status=status, content_type="application/problem+json"
    )
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def refusal_members(refusal: Refusal) -> dict[str, Any]:
    """The refusal as members of a problem, for places that report several at once (bulk rows)."""
    members: dict[str, Any] = {
        "httpStatus": refusal.status,
        "code": refusal.code,
        "message": refusal.message,
        **refusal.details,
    }
    if refusal.errors:
        members["errors"] = refusal.errors
    return members


def refusal_from(error: Exception) -> Refusal | None:
    """The refusal that `error` amounts to, or None when it is a bug."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, drf.ValidationError):
        return validation_refusal(error)
    if isinstance(error, ProtectedError | RestrictedError):
        return Conflict("in_use", "It is still in use and cannot be deleted.")
    if isinstance(error, IntegrityError):
        return constraint_refusal(error)
    if isinstance(error, DataError) and isinstance(error.__cause__, pg.NumericValueOutOfRange):
        message = "An amount or count becomes larger than can be kept."
        return Refusal("number_too_large", message, errors={"_": [message]})
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return Unavailable()
    return None


def validation_refusal(error: drf.ValidationError) -> Refusal:
    errors: dict[str, list[str]] = {}
    codes: dict[str, list[str]] = {}
    for path, detail in flat_details(error.detail):
        errors.setdefault(path, []).append(str(detail))
        codes.setdefault(path, []).append(detail.code or "invalid")
    return Refusal(
        "validation_error", TITLES["validation_error"], errors=errors, details={"codes": codes}
    )


def flat_details(detail: Any, path: str = "") -> Iterator[tuple[str, drf.ErrorDetail]]:
    """`items.0.quantity` and its error, for each error of DRF's nested structure."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            own = str(name) if name != "non_field_errors" else ""
            yield from flat_details(inner, ".".join(filter(None, (path, own))))
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            if isinstance(inner, drf.ErrorDetail):
                yield path or "_", inner
            else:
                yield from flat_details(inner, f"{path}.{place}" if path else str(place))
    else:
        yield path or "_", detail


@cache
def unique_constraints() -> dict[str, UniqueConstraint]:
    return {
        constraint.name: constraint
        for model in apps.get_models()
        for constraint in model._meta.constraints
        if isinstance(constraint, UniqueConstraint)
    }


def constraint_refusal(error: IntegrityError) -> Refusal | None:
    """The documented 409 of a unique constraint; None for any other, because that is a bug."""
    cause = error.__cause__
    if not isinstance(cause, pg.UniqueViolation):
        return None
    constraint = unique_constraints().get(cause.diag.constraint_name or "")
    if constraint is None:
        return None
    lookup = _lookups.get(constraint.name)
    details = lookup(clashing_values(cause.diag.message_detail or "")) if lookup else {}
    return Conflict(
        constraint.violation_error_code or "duplicate",
        str(constraint.get_violation_error_message())
        if constraint.violation_error_message
        else "There is one like this already.",
        details=details,
    )


def clashing_values(message: str) -> dict[str, str]:
    """Columns and values from PostgreSQL's `Key (store_id, sku)=(…, …) already exists.`"""
    match = re.match(r"Key \((.*)\)=\((.*)\) already exists", message, re.DOTALL)
    if match is None:
        return {}
    columns = match[1].split(", ")
    return dict(zip(columns, match[2].split(", ", len(columns) - 1), strict=False))


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler: every answer that is not a success."""
    response = answer(context["request"]._request, error)
    if isinstance(error, drf.MethodNotAllowed) and response is not None:
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def answer(request: HttpRequest, error: Exception) -> HttpResponse | None:
    refusal = refusal_from(error)
    if refusal is not None:
        if refusal.status == 503:
            log.warning("unavailable", error=str(error.__class__.__name__))
        return problem(
            request,
            refusal.status,
            refusal.code,
            refusal.message,
            errors=refusal.errors,
            details=refusal.details,
            headers=refusal.headers,
        )
    if isinstance(error, drf.APIException):
        code = CODES_BY_STATUS.get(error.status_code, error.get_codes())
        return problem(request, error.status_code, str(code), str(error.detail))
    if isinstance(error, PermissionDenied):
        return problem(request, 403, "forbidden", "This is not allowed.")
    if isinstance(error, RequestDataTooBig):
        return problem(request, 413, "payload_too_large", "The body is too large.")
    if isinstance(error, SuspiciousOperation):
        return problem(request, 400, "validation_error", "The request is malformed.")
    if isinstance(error, DatabaseError) and isinstance(error.__cause__, pg.QueryCanceled):
        return answer(request, Unavailable())
    return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, exception) or problem(
        request, 400, "validation_error", "The request is malformed."
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem(request, 403, "forbidden", "This is not allowed.")


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem(request, 404, "not_found", TITLES["not_found"])


def server_error(request: HttpRequest) -> HttpResponse:
    return problem(request, 500, "internal_error", TITLES["internal_error"])
