"""Plain Django views that only answer GET and HEAD."""

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse

from storeplatform.kernel.problems import problem

View = Callable[[HttpRequest], HttpResponse]


def reading_only(view: View) -> View:
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        title = f"{request.method} is not answered here."
        return problem(request, 405, "method_not_allowed", title, headers={"Allow": "GET, HEAD"})

    return checked
