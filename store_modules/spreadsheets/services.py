"""Accepting a spreadsheet, and letting go of what is over."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from store_modules.spreadsheets import importing
from store_modules.spreadsheets.csv_files import decode, refuse_file
from store_modules.spreadsheets.models import ImportJob
from storeplatform.kernel import uploads
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import Conflict
from storeplatform.kernel.outbox import emit
from storeplatform.kernel.tenancy import Actor

STUCK = timedelta(hours=2)
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Inspected:
    """How many records a file holds, and the columns that mean nothing here."""

    total: int
    unknown_columns: list[str]


def inspect(actor: Actor, kind: str, content: bytes) -> Inspected:
    """Read a file through. Raises Refusal for one that is no table of this kind."""
    if not actor.store.currency_code:
        raise Conflict(
            "settings_not_initialized", "Set the store's currency first: POST /settings."
        )
    sheet, rows = importing.sheet_of(kind, actor, decode(content))
    total = sheet.count(rows)
    if not total:
        raise refuse_file("malformed_csv", "The file has a header and no rows.")
    return Inspected(total, sheet.header.unknown)


@transaction.atomic
def start_import(
    actor: Actor,
    kind: str,
    upload: uploads.Upload,
    inspected: Inspected,
    *,
    dry_run: bool,
    request: Any = None,
) -> ImportJob:
    """Keep an inspected file and leave the work to the worker."""
    job: ImportJob = ImportJob.objects.create(
        store_id=actor.store_id,
        kind=kind,
        dry_run=dry_run,
        file_name=upload.name,
        user_id=UUID(actor.id),
        total=inspected.total,
        unknown_columns=inspected.unknown_columns,
        stored_as=uploads.keep("imports", upload.content),
    )
    emit(importing.EVENT, store_id=job.store_id, subject_id=job.pk, sequence=job.turn)
    audit(
        f"{kind}.imported",
        actor=actor,
        request=request,
        target=job.pk,
        changes={"file": upload.name, "records": inspected.total, "dryRun": dry_run},
    )
    return job


def sweep() -> int:
    """Give up jobs that no event carries on, and forget those that ended long ago."""
    now = timezone.now()
    stuck = ImportJob.objects.filter(finished_at=None, updated_at__lt=now - STUCK)
    ids = list(stuck.values_list("pk", flat=True)[:100])
    for job_id in ids:
        importing.give_up(job_id, "It came to a stop; send the file again.")
    gone, _ = ImportJob.objects.filter(finished_at__lt=now - KEPT).delete()
    return len(ids) + gone
