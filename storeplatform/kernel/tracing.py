"""Traces to an OpenTelemetry collector, when TRACES_URL names one and the extra is installed.

A request is a span with its route, status, statements and our request id; it continues the trace
of the caller's `traceparent`, and its trace id stands in the log line.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import structlog
from django.conf import settings


@cache
def tracer() -> Any:
    """The tracer, or None when nobody listens."""
    if not settings.TRACES_URL:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return tracer_to(BatchSpanProcessor(OTLPSpanExporter(settings.TRACES_URL)))


def tracer_to(processor: Any) -> Any:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create(
        {"service.name": "store-platform", "service.version": settings.API_VERSION}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor)
    return provider.get_tracer("storeplatform")


def request(request: Any) -> Any:
    """Around a request; gives the span, or None."""
    return traced(request) if tracer() else nullcontext()


@contextmanager
def traced(request: Any) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    lowered = {name.lower(): value for name, value in request.headers.items()}
    caller = TraceContextTextMapPropagator().extract(lowered)
    with tracer().start_as_current_span(
        request.method, context=caller, kind=SpanKind.SERVER
    ) as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        yield span


def answered(span: Any, request: Any, status: int, queries: int) -> None:
    if span is None:
        return
    route = request.resolver_match.route if request.resolver_match else ""
    span.update_name(f"{request.method} {route}".strip())
    span.set_attributes(
        {
            "http.request.method": request.method,
            "http.route": route,
            "http.response.status_code": status,
            "store.request_id": request.request_id,
            "store.queries": queries,
        }
    )
    if status >= 500:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR))
