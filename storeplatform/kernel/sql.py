"""Database expressions that every area shares."""

from typing import Any

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Func, Value
from django.db.models.functions import Cast, Coalesce, Concat


class Fold(Func):
    """Text as the search compares it: no case, no accents, one form of each Arabic letter."""

    function = "store_fold"
    output_field = models.TextField()


class Instant(Func):
    """A timestamp as the wire shows it: RFC 3339, UTC, milliseconds."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    output_field = models.TextField()


class JSONText(Func):
    """A JSON object of the named expressions, as text that needs no second encoding."""

    function = "json_build_object"
    template = "%(function)s(%(expressions)s)::text"
    output_field = models.TextField()


class JSONObject(JSONText):
    """The same as a value inside another JSON expression."""

    template = "%(function)s(%(expressions)s)"
    output_field = models.JSONField()  # type: ignore[assignment]  # another type than its text


class GluedJSON(Func):
    """Two JSON objects' texts as one object; a function takes no more than a hundred arguments."""

    template = "(left(%(expressions)s, 2))"
    arg_joiner = ", -1) || ',' || substr("
    output_field = models.TextField()


MAX_PAIRS = 50


def json_text(members: dict[str, Any]) -> Func:
    """A JSON object of any number of members, as text."""
    pairs = json_pairs(members)
    texts = [
        JSONText(*pairs[start : start + 2 * MAX_PAIRS])
        for start in range(0, len(pairs), 2 * MAX_PAIRS)
    ]
    whole: Func = texts[0]
    for text in texts[1:]:
        whole = GluedJSON(whole, text)
    return whole


def json_pairs(members: dict[str, Any]) -> list[Any]:
    """Arguments of json_build_object. Names are constants of the program, never input."""
    pairs: list[Any] = []
    for name, expression in members.items():
        pairs += [Cast(Value(name), models.TextField()), expression]
    return pairs


def money_text(expression: Any, digits: int) -> Func:
    """An amount as a decimal string with exactly the currency's digits."""
    rounded = Func(expression, Value(digits), function="round", output_field=models.DecimalField())
    return Cast(rounded, models.TextField())


def money_texts(expression: Any, digits: int) -> Func:
    """An array of amounts as decimal strings."""
    return Func(
        expression,
        template="(SELECT coalesce(json_agg(round(amount, %(digits)s)::text), '[]')"
        " FROM unnest(%(expressions)s) amount)",
        digits=digits,
        output_field=models.JSONField(),
    )


def search_text(*fields: str) -> models.GeneratedField:
    """A stored column with the folded text of `fields`, for `contains` under a trigram index."""
    parts: list[Any] = []
    for field in fields:
        parts += [Coalesce(F(field), Value(""), output_field=models.TextField()), Value(" ")]
    return models.GeneratedField(
        expression=Fold(Concat(*parts, output_field=models.TextField())),
        output_field=models.TextField(),
        db_persist=True,
    )


def search_index(name: str) -> GinIndex:
    return GinIndex(OpClass(F("search_text"), name="gin_trgm_ops"), name=name)
