"""Liveness and readiness for whoever restarts and routes."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from psycopg_pool import PoolTimeout

from storeplatform import serving
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


def not_ready(request: HttpRequest, why: str) -> HttpResponse:
    return problem(request, 503, "unavailable", why, headers={"Retry-After": "1"})
