"""Saving templates: checked, and with one default a type."""

from typing import Any

from django.db import transaction

from store_modules.printing.models import PrintTemplate
from store_modules.printing.rendering import check_template
from store_modules.stores.trading import lock_store


@transaction.atomic
def save_template(template: PrintTemplate, values: dict[str, Any]) -> PrintTemplate:
    """Create or change; the first of a type is its default, and a new default clears the
    former. Raises Refusal `invalid_template` with the line at fault."""
    lock_store(template.store_id)
    for name, value in values.items():
        setattr(template, name, value)
    check_template(template.body)
    others = PrintTemplate.objects.filter(
        store_id=template.store_id, type=template.type, is_default=True
    ).exclude(pk=template.pk)
    if template.is_default:
        others.update(is_default=False)
    elif not others.exists():
        template.is_default = True
    if not template._state.adding:
        template.version += 1
    template.save()
    return template


@transaction.atomic
def delete_template(template: PrintTemplate) -> None:
    """The oldest of its type becomes the default in its place."""
    lock_store(template.store_id)
    heirs = PrintTemplate.objects.filter(store_id=template.store_id, type=template.type)
    heir = heirs.exclude(pk=template.pk).order_by("created_at").first()
    was_default = template.is_default
    template.delete()
    if was_default and heir is not None:
        heir.is_default = True
        heir.save(update_fields=["is_default"])
