"""Templates for what a store prints (domain.md, section 9)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from storeplatform.kernel.tenancy import StoreOwned


class PrintTemplate(StoreOwned):
    """A Liquid text that makes a page in our small print markup; one default a type."""

    class Type(models.TextChoices):
        INVOICE = "Invoice"
        SHIPPING_LABEL = "ShippingLabel"
        RECEIPT = "Receipt"

    class Paper(models.TextChoices):
        A4 = "A4"
        A5 = "A5"
        LABEL = "100x150"
        ROLL_80 = "80mm"
        ROLL_58 = "58mm"

    class Direction(models.TextChoices):
        RTL = "rtl"
        LTR = "ltr"
        AUTO = "auto"

    name = models.CharField(max_length=100)
    type = models.CharField(max_length=16, choices=Type.choices)
    body = models.TextField(max_length=65536)
    paper = models.CharField(max_length=8, choices=Paper.choices, default=Paper.A4)
    direction = models.CharField(max_length=4, choices=Direction.choices, default=Direction.AUTO)
    language = models.CharField(max_length=8, default="ar")
    is_default = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "store",
                "type",
                Lower("name"),
                name="print_template_name_taken",
                violation_error_code="duplicate_name",
                violation_error_message="Another template of this type has this name.",
            ),
            models.UniqueConstraint(
                fields=["store", "type"],
                condition=Q(is_default=True),
                name="print_template_one_default",
            ),
        ]

    def __str__(self) -> str:
        return self.name
