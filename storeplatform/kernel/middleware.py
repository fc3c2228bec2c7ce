"""What happens around every request: an id, the client's address, safe headers, one log line."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.db import connection
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.module_loading import import_string

from storeplatform.kernel import metrics, tracing
from storeplatform.kernel.addresses import client_address
from storeplatform.kernel.edges import request_id_of
from storeplatform.kernel.problems import page_not_found

GetResponse = Callable[[HttpRequest], HttpResponseBase]

log = structlog.get_logger("request")
NO_PAGES = ("/api/", "/health/", "/metrics", "/.well-known/")
PAGES = frozenset({"/api/v1/oauth/authorize"})  # shown to people all the same
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Store-Api-Version": settings.API_VERSION,
}


def is_page(request: HttpRequest) -> bool:
    return request.path in PAGES or not request.path.startswith(NO_PAGES)


def known_method(request: HttpRequest) -> str:
    """The method, or `other`: what callers make up must not become labels."""
    return request.method if request.method in METHODS else "other"


class QueryCount:
    """Counts the statements of a request."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


class BrowserMiddleware:
    """Runs `BROWSER_MIDDLEWARE` around everything that a browser shows as a page."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.with_pages: GetResponse = get_response
        for path in reversed(settings.BROWSER_MIDDLEWARE):
            middleware = import_string(path)(convert_exception_to_response(self.with_pages))
            self.with_pages = middleware

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_page(request):
            return self.get_response(request)
        response = self.with_pages(request)
        # With no-referrer a browser says `Origin: null` of its own forms, which CSRF refuses.
        response.setdefault("Referrer-Policy", "same-origin")
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> Any:
        """CSRF is checked here, once the view is known."""
        if not is_page(request):
            return None
        return CsrfViewMiddleware(self.get_response).process_view(request, view, args, kwargs)


class RequestMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponseBase:
        started = time.perf_counter()
        request.request_id = request.META.get("storeplatform.request_id") or request_id_of(
            request.META.get("HTTP_X_REQUEST_ID", "")
        )
        request.client_ip = client_address(
            request.META.get("REMOTE_ADDR", ""),
            request.META.get("HTTP_X_FORWARDED_FOR", ""),
            settings.TRUSTED_PROXY_COUNT,
        )
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        queries = QueryCount()
        with tracing.request(request) as span, connection.execute_wrapper(queries):
            answer = page_not_found if "\0" in request.path else self.get_response
            response = answer(request)
            tracing.answered(span, request, response.status_code, queries.count)
        response["X-Request-Id"] = request.request_id
        for name, value in SAFE_HEADERS.items():
            response.setdefault(name, value)
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        match = request.resolver_match
        route = match.route if match else None
        seconds = time.perf_counter() - started
        metrics.answered(known_method(request), route or "", response.status_code, seconds)
        log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            queries=queries.count,
        )
        return response
