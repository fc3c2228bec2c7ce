"""What a Celery worker loads: `TASKS=celery celery --app storeplatform.celery_worker worker`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storeplatform.settings")
django.setup()  # first, because areas declare tasks while they load

from storeplatform.kernel.celery_tasks import app  # noqa: E402

__all__ = ["app"]
