"""Provinces and areas: reference data that all stores share (domain.md, sections 1 and 20)."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.text import fold

AREA_NAMESPACE = uuid.UUID("6f0f3b1e-5a57-5c43-9a55-2f6d4c1f8a10")


def area_id(source_key: str) -> uuid.UUID:
    """The id of an area by its origin, `geonames:98182` or `operator:IQ:key`."""
    return uuid.uuid5(AREA_NAMESPACE, source_key)


class Province(models.Model):
    """An ISO 3166-2 subdivision, `IQ-BG`, or one that operators added. A group, one that is
    another's parent, is listed but is no address."""

    code = models.CharField(max_length=10, primary_key=True)
    country_code = models.CharField(max_length=2, db_index=True)
    name = models.CharField(max_length=200)
    names = models.JSONField(default=dict)
    type = models.CharField(max_length=60, blank=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    is_group = models.BooleanField(default=False)
    is_iso = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["country_code", "name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class Area(models.Model):
    """A district, city or neighbourhood of a province. Never deleted, only inactive."""

    class Kind(models.TextChoices):
        DISTRICT = "district"
        CITY = "city"
        NEIGHBOURHOOD = "neighbourhood"
        PROVINCE_WIDE = "province_wide"

    class Source(models.TextChoices):
        GEONAMES = "geonames"
        OPERATOR = "operator"
        SYNTHETIC = "synthetic"

    id = models.UUIDField(primary_key=True, editable=False)
    province = models.ForeignKey(Province, on_delete=models.PROTECT, related_name="areas")
    name = models.CharField(max_length=200)
    names = models.JSONField(default=dict)
    folded_name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    lat = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    lng = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    source = models.CharField(max_length=12, choices=Source.choices)
    source_key = models.CharField(max_length=150, unique=True)
    aliases = ArrayField(models.CharField(max_length=200), default=list)
    aliases_text = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)
    search_text = search_text("name", "aliases_text")

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["province", "kind", "folded_name"], name="area_name_once_per_kind"
            )
        ]
        indexes = [search_index("area_search")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.derive()
        super().save(*args, **kwargs)  # type: ignore[arg-type]  # Django's own arguments

    def derive(self) -> None:
        """Fill what is compared and searched from the names; bulk writers call it themselves."""
        self.folded_name = fold(self.name)
        self.aliases_text = " ".join([*self.names.values(), *self.aliases])
