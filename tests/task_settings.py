"""The project's settings for workers of the contract test, which know its functions."""

from storeplatform.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.task_app.TaskApp"]  # noqa: F405
