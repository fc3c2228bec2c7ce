"""Print templates on the wire."""

from typing import Any

from rest_framework import serializers

from store_modules.printing.models import PrintTemplate
from storeplatform.kernel.serializers import Body, Choice, TextField, WireSerializer

MAX_BODY = 64 * 1024
LANGUAGES = ["ar", "en", "ku"]


class LiquidText(serializers.CharField):
    """Template text of at most 64 KiB; its blanks stay."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        body = super().to_internal_value(data)
        if len(body.encode()) > MAX_BODY:
            raise serializers.ValidationError("At most 64 KiB.", code="max_length")
        return body


class PrintTemplateSerializer(WireSerializer[PrintTemplate]):
    body = LiquidText()
    language = Choice(choices=LANGUAGES, required=False)

    class Meta:
        model = PrintTemplate
        fields = [
            "id", "name", "type", "body", "paper", "direction", "language", "is_default",
            "version", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version"]


FORMATS = ["html", "pdf"]


class Rendering(Body):
    """What to print the template with."""

    order_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    sale_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    format = Choice(choices=FORMATS, default="html")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["order_id"] is None) == (attrs["sale_id"] is None):
            raise serializers.ValidationError({"order_id": ["Give orderId or saleId."]})
        return attrs


class LabelsBody(Body):
    """Orders to print, in this order, with the default template of a type."""

    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=100)
    type = Choice(choices=PrintTemplate.Type.choices, default=PrintTemplate.Type.SHIPPING_LABEL)
    language = Choice(choices=LANGUAGES, required=False, allow_null=True, default=None)
    paper = Choice(choices=PrintTemplate.Paper.choices, required=False, allow_null=True,
                   default=None)  # fmt: skip
    format = Choice(choices=FORMATS, default="pdf")


class BuiltIn(Body):
    """A template that comes with the product, to start a store's own from."""

    type = Choice(choices=PrintTemplate.Type.choices)
    paper = Choice(choices=PrintTemplate.Paper.choices)
    language = TextField()
    body = TextField()
