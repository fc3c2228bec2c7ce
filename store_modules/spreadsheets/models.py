"""Spreadsheets that a store takes in."""

from django.db import models

from storeplatform.kernel.tenancy import StoreOwned


class ImportJob(StoreOwned):
    """A file on its way into the store, and how far it has come.

    `done` counts records in the order in which they are carried out, and rises in the transaction
    that stores them: a worker that takes over begins there. A record is a row, or all rows of an
    order."""

    class Kind(models.TextChoices):
        PRODUCTS = "products"
        CUSTOMERS = "customers"
        ORDERS = "orders"
        EXPENSES = "expenses"

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    dry_run = models.BooleanField(default=False)
    file_name = models.CharField(max_length=150)
    stored_as = models.CharField(max_length=100)
    user = models.ForeignKey("stores.User", on_delete=models.PROTECT, related_name="+")
    turn = models.PositiveIntegerField(default=1)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    errors = models.JSONField(default=list)
    errors_total = models.PositiveIntegerField(default=0)
    unknown_columns = models.JSONField(default=list)
    fault = models.CharField(max_length=500, null=True)  # noqa: DJ001  # null is none
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["store", "-created_at", "-id"], name="import_newest"),
            models.Index(
                fields=["updated_at"],
                condition=models.Q(finished_at=None),
                name="import_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.file_name}"
