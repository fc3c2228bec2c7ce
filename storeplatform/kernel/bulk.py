"""Many rows in one call: in order, each in its own transaction, or all in one (domain.md, 6.5)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from typing import Any

import orjson
from django.db import transaction
from rest_framework import serializers
from rest_framework.response import Response

from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.idempotency import Answer, Attempt
from storeplatform.kernel.parsing import dumps
from storeplatform.kernel.problems import refusal_from, refusal_members
from storeplatform.kernel.serializers import Body, Choice
from storeplatform.kernel.transactions import in_transaction

Row = Mapping[str, Any]


class BulkResult(Body):
    """What became of one row; the row's own members stand beside these."""

    index = serializers.IntegerField()
    status = Choice(choices=["created", "updated", "failed"])
    error = serializers.DictField(required=False)


class BulkAnswer(Body):
    """201 when every row was carried out, 207 when some were, 400 when none."""

    summary = serializers.DictField(child=serializers.IntegerField())
    results = BulkResult(many=True)


# Carries out one row and answers its result: {"status": "created", …}.
CarryOut = Callable[[int, Row], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Bulk:
    """How a bulk call names its parts: `orders` of at most 100, counted as `created`."""

    member: str
    most: int
    done: str = "created"

    def rows_of(self, body: Mapping[str, Any]) -> list[Row]:
        rows = body.get(self.member)
        if not isinstance(rows, list) or not rows:
            raise self.refusal("A list with at least one row.")
        if len(rows) > self.most:
            raise self.refusal(f"At most {self.most} rows a call.")
        if not all(isinstance(row, Mapping) for row in rows):
            raise self.refusal("Each row is an object.")
        return rows

    def cost(self, view: Any) -> int:
        """Rate-limit tokens of a view's call: one for ten rows of a bulk call, else one."""
        if view.action != "bulk" or not isinstance(view.request.data, Mapping):
            return 1
        rows = view.request.data.get(self.member)
        return max(1, ceil(len(rows) / 10)) if isinstance(rows, list) else 1

    def refusal(self, message: str) -> Refusal:
        return Refusal("validation_error", message, errors={self.member: [message]})

    def each(self, rows: Sequence[Row], carry_out: CarryOut, attempt: Attempt | None) -> Response:
        """Row by row; a repeat of an interrupted call finds the finished rows and does the rest."""
        with attempt.held() if attempt else nullcontext():
            if attempt and (found := attempt.find()):
                attempt.stored = True
                return Response(orjson.Fragment(found.body or b"{}"), status=found.status)
            results = [
                self.one(place, row, carry_out, attempt.row(place, row) if attempt else None)
                for place, row in enumerate(rows)
            ]
            response = self.answer(results)
            if attempt and response.status_code < 400:
                answer = Answer(response.status_code, {}, dumps(response.data))
                in_transaction(lambda: attempt.store(answer))
            elif attempt:
                attempt.stored = True  # refused as a whole: nothing to remember
        return response

    def one(
        self, place: int, row: Row, carry_out: CarryOut, attempt: Attempt | None
    ) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            result = carry_out(place, row)
            if attempt:
                attempt.store(Answer(200, {}, dumps(result)))
            return result

        try:
            if attempt and (kept := attempt.find()):
                return {"index": place, **orjson.loads(kept.body or b"{}")}
            return {"index": place, **in_transaction(effect)}
        except Exception as error:
            return {"index": place, "status": "failed", "error": self.row_error(place, error)}

    def whole(self, rows: Sequence[Row], carry_out: CarryOut) -> Response:
        """All rows or none, in one transaction; every row's own fault is told."""
        results: list[dict[str, Any]] = []
        failed = False
        with transaction.atomic():
            for place, row in enumerate(rows):
                try:
                    with transaction.atomic():
                        results.append({"index": place, **carry_out(place, row)})
                except Exception as error:
                    failed = True
                    error_body = self.row_error(place, error)
                    results.append({"index": place, "status": "failed", "error": error_body})
            if failed:
                transaction.set_rollback(True)
        if failed:
            results = [
                result
                if result["status"] == "failed"
                else {
                    "index": result["index"],
                    "status": "failed",
                    "error": {
                        "httpStatus": 400,
                        "code": "not_attempted",
                        "message": "Another row was refused, so none was stored.",
                    },
                }
                for result in results
            ]
        return self.answer(results)

    def row_error(self, place: int, error: Exception) -> dict[str, Any]:
        """The refusal as a single call would show it, its field paths under the row's place."""
        refusal = refusal_from(error)
        if refusal is None or refusal.status >= 500:
            raise error
        members = refusal_members(refusal)
        if errors := members.get("errors"):
            members["errors"] = {
                name if name == "skus" else f"{self.member}.{place}.{name}": value
                for name, value in errors.items()
            }
        return members

    def answer(self, results: Sequence[dict[str, Any]]) -> Response:
        failed = sum(result["status"] == "failed" for result in results)
        done = len(results) - failed
        body = {
            "summary": {"total": len(results), self.done: done, "failed": failed},
            "results": results,
        }
        return Response(body, status=201 if not failed else 207 if done else 400)
