"""The operators' desk: the admin site, what its first page shows, and its second factor."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import structlog
from django.contrib.admin.apps import AdminConfig
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from unfold.sites import UnfoldAdminSite

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Card:
    """A number of the first page. `link` leads to the rows behind it."""

    title: str
    value: str
    note: str = ""
    link: str = ""
    is_bad: bool = False


_cards: list[Callable[[], Card]] = []


def card(make: Callable[[], Card]) -> Callable[[], Card]:
    """Registers a card. Its statement must be answered by an index, whatever the table's size."""
    _cards.append(make)
    return make


def cards() -> list[Card]:
    """All cards; one that cannot be made does not take the page with it."""
    made = []
    for make in _cards:
        try:
            with transaction.atomic():
                made.append(make())
        except DatabaseError as error:
            log.warning("card_failed", card=make.__name__, error=type(error).__name__)
            made.append(Card(make.__name__.replace("_", " "), "?", "The database did not answer."))
    return made


class DeskConfig(AdminConfig):
    default_site = "storeplatform.kernel.desk.Desk"


class Desk(UnfoldAdminSite):
    login_template = "desk/login.html"
    index_template = "desk/index.html"
    index_title = "Today"

    def extra_urls(self) -> list[Any]:
        from storeplatform.kernel.second_factor import page

        return [path("second-factor/", lambda request: page(self, request), name="second_factor")]

    def has_permission(self, request: HttpRequest) -> bool:
        from storeplatform.kernel.second_factor import is_proved

        return super().has_permission(request) and is_proved(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """An operator who must set up a second factor first is led there."""
        from storeplatform.kernel.second_factor import must_be_set_up

        inner = super().admin_view(view, cacheable)

        def led(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if must_be_set_up(request):
                return HttpResponseRedirect(reverse("admin:second_factor"))
            answer: HttpResponse = inner(request, *args, **kwargs)
            return answer

        return update_wrapper(led, view)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().index(request, {"cards": cards(), **(extra_context or {})})
