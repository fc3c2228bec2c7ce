"""Who acts, for which store, and what every store-owned row has in common."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import UUID

from django.db import models

from storeplatform.kernel.ids import uuid7

ActorKind = Literal["user", "api_key", "visitor", "provider", "system"]


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a request needs to know of its store before it touches the domain.

    `currency_code`, `timezone` and `country_code` are empty until the settings are initialised.
    """

    id: UUID
    name: str = ""
    currency_code: str = ""
    timezone: str = ""
    country_code: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller behind a credential. Only authentication classes make one."""

    store: StoreFacts
    grants: frozenset[str]
    kind: ActorKind
    id: str  # keyId of an API key, else the user's or visitor's id
    label: str = ""
    user_id: UUID | None = None
    is_owner: bool = False
    session_id: UUID | None = None  # the sign-in or browser behind it

    @property
    def store_id(self) -> UUID:
        return self.store.id

    @property
    def principal(self) -> str:
        """Who acts, as one word: `user:…`, `api_key:…`, `visitor:…`."""
        return f"{self.kind}:{self.id}"

    def may(self, grant: str) -> bool:
        return grant in self.grants


M = TypeVar("M", bound=models.Model)


class StoreOwnedQuerySet(models.QuerySet[M]):
    def of(self, store_id: UUID) -> Self:
        """Rows of one store."""
        return self.filter(store_id=store_id)


class StoreOwned(models.Model):
    """A row of one store. `version` rises by one with every change made through the API."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, related_name="+")
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        abstract = True
