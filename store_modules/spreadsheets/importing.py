"""Taking a spreadsheet in: batch after batch, each in one transaction with the progress made, so
that a worker which takes over neither leaves anything out nor does it twice."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from typing import Any
from uuid import UUID

import structlog
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from store_modules.spreadsheets.csv_files import decode, read_table
from store_modules.spreadsheets.kinds import SHEETS, Ready, Record, Row, Sheet
from store_modules.spreadsheets.models import ImportJob
from store_modules.spreadsheets.sheets import Header
from store_modules.stores.authentication import actor_of_member
from storeplatform.kernel import uploads
from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.models import OutboxEvent
from storeplatform.kernel.outbox import MAX_ATTEMPTS, emit
from storeplatform.kernel.permissions import check_grant
from storeplatform.kernel.problems import refusal_from
from storeplatform.kernel.tenancy import Actor
from storeplatform.kernel.transactions import in_transaction

log = structlog.get_logger(__name__)

EVENT = "import.turn"
TURN_SECONDS = 5.0  # then other events have theirs
MAX_ERRORS = 1000
# Which column a refusal that names none is about.
FIELDS = {
    "duplicate_sku": "sku",
    "duplicate_barcode": "barcode",
    "duplicate_options": "options",
    "duplicate_phone": "primaryPhone",
    "duplicate_client_ref": "clientRef",
    "duplicate_external_ref": "externalRef",
}


class Elsewhere(Exception):
    """Another worker holds the job; the event waits for its next time."""


class RolledBack(Exception):
    """Ends a savepoint of which nothing is to stay."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record."""

    record: Record
    is_new: bool = False
    refusal: Refusal | None = None


def sheet_of(kind: str, actor: Actor, text: str) -> tuple[Sheet, Iterator[Row]]:
    """A file's sheet and rows. Raises Refusal for one that cannot be read at all."""
    table, sheet = read_table(text), SHEETS[kind]
    header = Header.of(table.header, sheet.columns(actor.store), sheet.needed)
    rows = (Row(line, cells) for line, cells in table.rows)
    return sheet(actor, header), rows


@lru_cache(maxsize=1)  # a job's turns mostly follow each other in one worker
def units_of(stored_as: str, kind: str, actor: Actor) -> tuple[Sheet, list[list[Record]]]:
    """The stored file's sheet and its units of records, in the order of carrying out."""
    with default_storage.open(stored_as) as file:
        text = decode(file.read())
    sheet, rows = sheet_of(kind, actor, text)
    return sheet, list(sheet.units(rows))


def take_turn(event: OutboxEvent) -> None:
    """Carry on with a job for some seconds; the last try of a failing turn gives the job up."""
    try:
        carry_on(event)
    except Elsewhere:
        raise
    except Exception:
        if event.attempts >= MAX_ATTEMPTS:
            give_up(event.subject_id, "It failed again and again; the fault is ours.")
        raise


def carry_on(event: OutboxEvent) -> None:
    job = ImportJob.objects.filter(pk=event.subject_id).first()
    if job is None or job.finished_at is not None or job.turn != event.sequence:
        return
    actor = actor_of_member(job.store_id, job.user_id)
    try:
        if not isinstance(actor, Actor):
            raise actor
        check_grant(actor, "data.import")
        check_grant(actor, f"{job.kind}.write")
        sheet, units = units_of(job.stored_as, job.kind, actor)
    except Refusal as refusal:
        give_up(job.pk, refusal.message)
        return
    end = time.monotonic() + TURN_SECONDS
    at = job.done
    for batch in batches(units, sheet.batch, job.done):
        sheet.prepare(batch, dry_run=job.dry_run)
        last = time.monotonic() > end
        if in_transaction(partial(take_batch, event, sheet, batch, at=at, last=last)):
            return
        at += len(batch)
    raise AssertionError(f"{job} has fewer records than were counted")


def batches(units: Sequence[list[Record]], size: int, done: int) -> Iterator[list[Record]]:
    """Whole units of about `size` records, behind the `done` first ones."""
    batch: list[Record] = []
    passed = 0
    for unit in units:
        passed += len(unit)
        if passed <= done:
            continue
        batch += unit
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def take_batch(
    event: OutboxEvent, sheet: Sheet, batch: list[Record], *, at: int, last: bool
) -> bool:
    """The batch behind the first `at` records, with its progress; whether the turn is over."""
    jobs = ImportJob.objects.select_for_update(skip_locked=True, of=("self",))
    job = jobs.filter(pk=event.subject_id).first()
    if job is None or job.done != at:
        raise Elsewhere("Another worker is at it.")
    if job.finished_at is not None or job.turn != event.sequence:
        return True
    outcomes: list[Outcome] = []
    try:
        with transaction.atomic():
            outcomes = carry_out(sheet, batch)
            if job.dry_run:
                raise RolledBack
    except RolledBack:
        pass
    count(job, outcomes)
    if job.done >= job.total:
        finish(job, ImportJob.Status.COMPLETED)
    elif last:
        job.turn += 1
        emit(EVENT, store_id=job.store_id, subject_id=job.pk, sequence=job.turn)
    job.save()
    return last or job.finished_at is not None


def carry_out(sheet: Sheet, batch: Sequence[Record]) -> list[Outcome]:
    valid: list[Ready] = []
    outcomes: list[Outcome] = []
    for record, ready in zip(batch, sheet.ready(batch), strict=True):
        if isinstance(ready, Ready):
            valid.append(ready)
        else:
            outcomes.append(Outcome(record, refusal=ready))
    return outcomes + (store(sheet, valid) if valid else [])


def store(sheet: Sheet, rows: Sequence[Ready]) -> list[Outcome]:
    """All rows at once; when one is refused, each half by itself, down to the row at fault."""
    try:
        with transaction.atomic():
            new = sheet.write(rows)
    except Exception as error:
        refusal = refusal_from(error)
        if refusal is not None and refusal.status >= 500:
            raise
        if len(rows) > 1:
            middle = len(rows) // 2
            return store(sheet, rows[:middle]) + store(sheet, rows[middle:])
        if refusal is None:
            log.exception("import_row_failed", kind=sheet.kind)
            refusal = Refusal("internal_error", "It could not be stored; the fault is ours.")
        return [Outcome(rows[0].record, refusal=refusal)]
    return [Outcome(row.record, is_new) for row, is_new in zip(rows, new, strict=True)]


def count(job: ImportJob, outcomes: Sequence[Outcome]) -> None:
    if job.started_at is None:
        job.started_at = timezone.now()
    job.status = ImportJob.Status.RUNNING
    job.done += len(outcomes)
    for outcome in outcomes:
        if outcome.refusal is None:
            job.created += outcome.is_new
            job.updated += not outcome.is_new
            continue
        job.failed += 1
        found = list(errors_of(outcome.record, outcome.refusal))
        job.errors_total += len(found)
        job.errors += found[: max(0, MAX_ERRORS - len(job.errors))]


def errors_of(record: Record, refusal: Refusal) -> Iterator[dict[str, Any]]:
    """A refusal as `{line, field, code, message}`, each on the row that it speaks of."""
    field = FIELDS.get(refusal.code, "_")
    errors = refusal.errors or {field: [refusal.message]}
    codes = refusal.details.get("codes", {})
    for path, messages in errors.items():
        line, field = record.line, path
        items, _, rest = path.partition(".")
        place, _, member = rest.partition(".")
        if items == "items" and place.isdigit() and int(place) < len(record.rows):
            line, field = record.rows[int(place)].line, member or "_"
        elif path == "skus":
            field, messages = "sku", [f"It stands twice in the order: {', '.join(messages)}."]
        for message, code in zip(messages, codes.get(path, repeat(refusal.code)), strict=False):
            yield {"line": line, "field": field, "code": code, "message": message}


def finish(job: ImportJob, status: str) -> None:
    """The caller saves the job."""
    job.status, job.finished_at = status, timezone.now()
    job.errors.sort(key=lambda error: error["line"])
    uploads.forget(job.stored_as)
    transaction.on_commit(units_of.cache_clear)


def give_up(job_id: UUID, fault: str) -> None:
    with transaction.atomic():
        job = ImportJob.objects.select_for_update(of=("self",)).get(pk=job_id)
        if job.finished_at is None:
            job.fault = fault
            finish(job, ImportJob.Status.FAILED)
            job.save()
