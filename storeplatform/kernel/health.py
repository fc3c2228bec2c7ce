"""Liveness and readiness for whoever restarts and routes."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from psycopg_pool import PoolTimeout

from storeplatform import serving
from storeplatform.kernel.methods import reading_only
from storeplatform.kernel.problems import problem


@reading_only
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "live"})


@reading_only
def ready(request: HttpRequest) -> HttpResponse:
    """200 only when a request would be served: not draining, and the database answers."""
    if serving.is_draining():
        return not_ready(request, "The server is stopping.")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    except (DatabaseError, PoolTimeout):
        return not_ready(request, "The database does not answer.")
    return JsonResponse({"status": "ready"})


def not_ready(request: HttpRequest, why: str) -> HttpResponse:
    return problem(request, 503, "unavailable", why, headers={"Retry-After": "1"})
