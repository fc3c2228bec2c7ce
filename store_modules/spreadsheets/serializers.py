"""Imports on the wire, and the rows of exports where they are not the list's."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, F, Func, OuterRef
from rest_framework import serializers

from store_modules.catalog.models import Category
from store_modules.catalog.serializers import ProductSerializer
from store_modules.spreadsheets.models import ImportJob
from storeplatform.kernel.serializers import Body, Computed, IntField, TextField, WireSerializer


class Among(Func):
    """Whether a value stands in an array."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY ("
    output_field = BooleanField()


def category_names(_: Any) -> Any:
    above = Category.objects.filter(Among(F("pk"), OuterRef("category__path")))
    return ArraySubquery(above.order_by("depth").values("name"))


class ProductRow(ProductSerializer):
    """A product with the names of its parent and shelf, which hold in other stores too."""

    parent_sku = Computed(lambda _: F("parent__sku"), TextField())
    category_path = Computed(category_names, serializers.ListField(child=TextField()))

    class Meta(ProductSerializer.Meta):
        fields = [*ProductSerializer.Meta.fields, "parent_sku", "category_path"]


class Started(Body):
    id = serializers.UUIDField()


class RowError(Body):
    line = IntField()
    field = TextField()
    code = TextField()
    message = TextField()


class UploadedTable(Body):
    """One CSV file as `file` of a multipart body."""

    file = serializers.FileField()


class ImportSerializer(WireSerializer[ImportJob]):
    class Meta:
        model = ImportJob
        fields = [
            "id", "kind", "status", "dry_run", "file_name", "total", "done", "created", "updated",
            "failed", "errors_total", "unknown_columns", "fault", "created_at", "started_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class ImportDetailSerializer(ImportSerializer):
    errors = Computed(lambda _: F("errors"), RowError(many=True))  # type: ignore[assignment]  # a Serializer has errors of its own

    class Meta(ImportSerializer.Meta):
        fields = [*ImportSerializer.Meta.fields, "errors"]
        read_only_fields = fields
