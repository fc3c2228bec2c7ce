"""API keys: what a store's own programs sign in with (platform.md, section 3)."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet


class ApiKey(StoreOwned):
    """A key `keyId.secret`; of the secret only keyed hashes and its last four characters stay."""

    key_id = models.CharField(max_length=24, unique=True)
    name = models.CharField(max_length=80)
    scopes = ArrayField(models.CharField(max_length=32))
    secret_hash = models.CharField(max_length=64)
    hash_version = models.PositiveSmallIntegerField()
    secret_hint = models.CharField(max_length=4)
    previous_secret_hash = models.CharField(max_length=64, blank=True)
    previous_hash_version = models.PositiveSmallIntegerField(null=True)
    previous_expires_at = models.DateTimeField(null=True)
    previous_last_used_at = models.DateTimeField(null=True)
    allowed_ips = ArrayField(models.CharField(max_length=49), default=list)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_ip = models.GenericIPAddressField(null=True)
    last_used_user_agent = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(
        "stores.User", on_delete=models.SET_NULL, null=True, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=200, blank=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "name"],
                condition=Q(revoked_at=None),
                name="api_key_name_taken",
                violation_error_code="duplicate_name",
                violation_error_message="Another live key has this name.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"
