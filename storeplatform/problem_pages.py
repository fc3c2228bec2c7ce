"""`/problems/{code}`: where the `type` of every problem leads, for the person who got it."""

import tomllib
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from storeplatform.kernel.methods import reading_only

FILE = Path(__file__).with_name("problems.toml")


@dataclass(frozen=True, slots=True)
class Explained:
    """A code of problem+json: the status it comes with, why it comes, and what the caller does."""

    code: str
    status: int
    cause: str
    fix: str

    @property
    def status_name(self) -> str:
        return HTTPStatus(self.status).phrase


@cache
def catalogue() -> dict[str, Explained]:
    read = tomllib.loads(FILE.read_text())
    return {code: Explained(code, **facts) for code, facts in read.items()}


@reading_only
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "problems/index.html", {"problems": catalogue().values()})


@reading_only
def page(request: HttpRequest, code: str) -> HttpResponse:
    if code not in catalogue():
        raise Http404
    return render(request, "problems/page.html", {"problem": catalogue()[code]})
