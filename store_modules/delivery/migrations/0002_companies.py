"""The companies that stores may link from the first day; operators add others at their desk."""

import uuid

from django.db import migrations

NAMESPACE = uuid.UUID("0a5b3c7e-64b5-5d0c-8f6c-0d1b7a3c9e52")
COMPANIES = [
    ("nawa", "Nawa", "نوى", True),
    ("boxy", "Boxy", "بوكسي", False),
    ("al-waseet", "Al Waseet", "الوسيط", False),
    ("hi-express", "Hi Express", "هاي إكسبريس", False),
]


def add(apps, schema_editor):
    company = apps.get_model("delivery", "DeliveryCompany")
    for slug, name, arabic, uses_our_areas in COMPANIES:
        company.objects.get_or_create(
            slug=slug,
            defaults={
                "id": uuid.uuid5(NAMESPACE, slug),
                "name": name,
                "names": {"en": name, "ar": arabic},
                "capabilities": ["cod", "tracking", "cancel"],
                "uses_our_areas": uses_our_areas,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("delivery", "0001_deliveries")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
