"""Every code that a caller may get leads to a page that says why it comes and what to do."""

import ast
import re

import pytest
from django.apps import apps
from django.db.models import UniqueConstraint
from django.test import Client

from storeplatform.kernel import errors
from storeplatform.kernel.problems import CODES_BY_STATUS
from storeplatform.problem_pages import catalogue
from tests.clients import anonymous
from tests.servers import ROOT

RAISED = {
    name for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.Refusal)
} | {"unauthenticated"}  # fmt: skip
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SINGLE_WORDS = {
    "ambiguous", "conflict", "contradiction", "forbidden", "gone", "immutable", "inactive",
    "invalid", "overpaid", "refused", "required", "unavailable",
}  # fmt: skip


def trees():
    for area in ("storeplatform", "store_modules", "integrations", "chat", "tickets"):
        for file in (ROOT / area).rglob("*.py"):
            if "migrations" not in file.parts:
                yield ast.parse(file.read_text())


def name_of(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def helpers(tree):
    """Functions that raise or return a refusal whose code is one of their arguments."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = [one.arg for one in function.args.args + function.args.kwonlyargs]
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and name_of(call) in RAISED and call.args:
                    code = call.args[0]
                    if isinstance(code, ast.Name) and code.id in names:
                        yield function.name, (names.index(code.id), code.id)


def codes_in(source):
    """Words of ours among the constants of an expression; not of formatted text."""
    if isinstance(source, ast.Constant) and isinstance(source.value, str):
        yield source.value
    elif isinstance(source, ast.IfExp):
        yield from codes_in(source.body)
        yield from codes_in(source.orelse)


def codes_of_the_source():
    found = set(CODES_BY_STATUS.values())
    known = {}
    for name, place in (pair for tree in trees() for pair in helpers(tree)):
        assert known.setdefault(name, place) == place, f"two helpers are named {name}"
    for tree in trees():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call):
                continue
            name, places = name_of(call), []
            if name in RAISED:
                places = call.args[:1]
            elif name in ("problem", "Refused"):
                places = call.args[1:3]
            elif name in known:
                place, word = known[name]
                places = call.args[place : place + 1]
                places += [one.value for one in call.keywords if one.arg == word]
            for place in places:
                found |= set(codes_in(place))
    for model in apps.get_models():
        for one in model._meta.constraints:
            if isinstance(one, UniqueConstraint) and "." not in (one.violation_error_code or "."):
                found.add(one.violation_error_code)
    words = {code for code in found if CODE.fullmatch(code)}
    return {code for code in words if "_" in code or code in SINGLE_WORDS}


@pytest.mark.parametrize("code", sorted(codes_of_the_source()))
def test_every_code_of_the_source_is_explained(code):
    assert code in catalogue(), f"add [{code}] to storeplatform/problems.toml"


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_every_page_has_a_cause_and_a_fix(code):
    explained = catalogue()[code]

    shown = Client().get(f"/problems/{code}").content.decode()

    assert 400 <= explained.status <= 599
    assert explained.cause.endswith((".", ")"))
    assert explained.fix.endswith(".")
    assert len(explained.cause) > 20
    assert "Why it comes" in shown
    assert "What to do" in shown


def test_the_type_of_a_problem_is_its_page(db, settings):
    answer = anonymous().get("/store/orders")

    kind = answer.json()["type"]
    shown = Client().get(kind.removeprefix(settings.PUBLIC_ORIGIN))

    assert kind == f"{settings.PUBLIC_ORIGIN}/problems/authentication_required"
    assert shown.status_code == 200
    assert shown["Content-Type"].startswith("text/html")
    assert "X-API-Key" in shown.content.decode()


def test_all_codes_are_listed_and_others_are_not_found(db):
    listed = Client().get("/problems/").content.decode()
    unknown = Client().get("/problems/no_such_code")

    assert all(f"/problems/{code}" in listed for code in catalogue())
    assert unknown.status_code == 404
    assert unknown["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/problems/", "/problems/not_found", "/inbox", "/demo-shop"])
def test_a_page_that_is_only_read_refuses_other_methods_with_a_problem(db, path):
    written = Client(enforce_csrf_checks=True).post(path)

    assert written.status_code == 405
    assert written["Content-Type"] == "application/problem+json"
    assert written["Allow"] == "GET, HEAD"
