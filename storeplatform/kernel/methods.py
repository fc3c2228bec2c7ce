"""Plain Django views that only answer GET and HEAD."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from storeplatform.kernel.problems import problem

View = Callable[..., HttpResponseBase]


def reading_only(view: View) -> View:
    @csrf_exempt  # nothing is written, and the refusal is a problem
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        title = f"{request.method} is not answered here."
        return problem(request, 405, "method_not_allowed", title, headers={"Allow": "GET, HEAD"})

    return checked
