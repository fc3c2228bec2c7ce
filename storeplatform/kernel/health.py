"""Liveness, readiness and metrics for whoever restarts, routes and watches."""

import hmac

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST
from psycopg_pool import PoolTimeout

from storeplatform import serving
from storeplatform.kernel import metrics as numbers
from storeplatform.kernel import valkey
from storeplatform.kernel.methods import reading_only
from storeplatform.kernel.outbox import MAX_ATTEMPTS
from storeplatform.kernel.problems import problem

MOST_LAG_SECONDS = 60
LAG = """
SELECT coalesce((
  SELECT extract(epoch FROM clock_timestamp() - created_at) FROM kernel_outboxevent
  WHERE done_at IS NULL AND attempts < %s ORDER BY id LIMIT 1), 0)
"""


@reading_only
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "live"})


@reading_only
def ready(request: HttpRequest) -> HttpResponse:
    """200 only when a request would be served: not draining, and the database answers. `degraded`
    is still served, but the broker is away or events wait longer than a minute."""
    if serving.is_draining():
        return not_ready(request, "The server is stopping.")
    try:
        with connection.cursor() as cursor:
            cursor.execute(LAG, [MAX_ATTEMPTS])
            lag = float(cursor.fetchone()[0])
    except (DatabaseError, PoolTimeout):
        return not_ready(request, "The database does not answer.")
    broker = valkey.answers()
    good = broker and lag <= MOST_LAG_SECONDS
    return JsonResponse(
        {
            "status": "ready" if good else "degraded",
            "broker": "up" if broker else "away",
            "outboxLagSeconds": round(lag, 1),
        }
    )


@reading_only
def metrics(request: HttpRequest) -> HttpResponse:
    """For a scraper with the METRICS_TOKEN; without one the page exists in development only."""
    token = settings.METRICS_TOKEN
    if not token and not settings.DEVELOPMENT:
        raise Http404
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token and not hmac.compare_digest(given.encode(), token.encode()):
        return problem(
            request,
            401,
            "invalid_token",
            "The value of METRICS_TOKEN goes here as a bearer token.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return HttpResponse(numbers.text(), content_type=CONTENT_TYPE_LATEST)


def not_ready(request: HttpRequest, why: str) -> HttpResponse:
    return problem(request, 503, "unavailable", why, headers={"Retry-After": "1"})
