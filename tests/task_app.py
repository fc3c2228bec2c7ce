from django.apps import AppConfig


class TaskApp(AppConfig):
    """Declares the functions of the contract test in a worker."""

    name = "tests"
    label = "contract_tests"

    def ready(self):
        from tests import tasks  # noqa: F401
