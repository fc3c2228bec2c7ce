"""Declared list filters: camelCase names, comma or repetition for OR, refusals for nonsense."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import django_filters
from django import forms
from django.db.models import Model, Q, QuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.dateparse import parse_date, parse_datetime

from storeplatform.kernel.errors import Refusal
from storeplatform.kernel.pagination import Query
from storeplatform.kernel.serializers import wire_name
from storeplatform.kernel.tenancy import Actor, StoreFacts


class ManyWords(forms.Field):
    """Every value given for a name, as a list. `wire` is the JSON schema of one of them."""

    widget = forms.MultipleHiddenInput
    wire: ClassVar[dict[str, Any]] = {"type": "string"}

    def __init__(
        self,
        *,
        words: Sequence[str] | None = None,
        fold: Callable[[str], str] = str.lower,
        **kwargs: Any,
    ) -> None:
        self.words = {fold(word): word for word in words} if words is not None else None
        self.fold = fold
        super().__init__(**kwargs)

    def clean(self, value: Any) -> list[str]:
        if self.words is None:
            return list(value or [])
        unknown = [word for word in value or [] if self.fold(word) not in self.words]
        if unknown:
            raise forms.ValidationError(f"One of: {', '.join(self.words.values())}.")
        return [self.words[self.fold(word)] for word in value or []]

    @property
    def wire_schema(self) -> dict[str, Any]:
        one = self.wire if self.words is None else {"enum": list(self.words.values())}
        return {"type": "array", "items": {"type": "string"} | one}


class ManyIds(ManyWords):
    wire = {"type": "string", "format": "uuid"}

    def clean(self, value: Any) -> list[Any]:
        try:
            return [uuid.UUID(word) for word in super().clean(value)]
        except ValueError:
            raise forms.ValidationError("An id.") from None


class ManyPeople(ManyWords):
    """Ids of people, `me` for whoever asks, `none` for nobody."""

    wire = {"type": "string", "anyOf": [{"format": "uuid"}, {"enum": ["me", "none"]}]}

    def clean(self, value: Any) -> list[Any]:
        words = [word.lower() for word in value or []]
        names = [word for word in words if word in ("me", "none")]
        try:
            return names + [uuid.UUID(word) for word in words if word not in names]
        except ValueError:
            raise forms.ValidationError("An id, me or none.") from None


class OneWord(forms.Field):
    widget = forms.HiddenInput
    wire_schema: ClassVar[dict[str, Any]] = {"type": "string"}


class TrueOrFalse(OneWord):
    wire_schema = {"type": "boolean"}

    def clean(self, value: Any) -> bool | None:
        if value in (None, ""):
            return None
        try:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        except KeyError:
            raise forms.ValidationError("true or false.") from None


class Number(OneWord):
    wire_schema = {"type": "number"}

    def clean(self, value: Any) -> Decimal | None:
        if value in (None, ""):
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise forms.ValidationError("A number.") from None
        if not number.is_finite() or abs(number) >= 10**15:
            raise forms.ValidationError("A number.")
        return number


class DayOrInstant(OneWord):
    wire_schema = {
        "type": "string",
        "anyOf": [{"format": "date"}, {"format": "date-time"}, {"maxLength": 0}],
    }

    def clean(self, value: Any) -> date | datetime | None:
        if value in (None, ""):
            return None
        try:
            found = parse_date(value) or parse_datetime(value.replace(" ", "+"))
        except ValueError:
            found = None
        if found is None or not 2000 <= found.year <= 2100:
            raise forms.ValidationError("A date or an RFC 3339 instant between 2000 and 2100.")
        return found


class Day(DayOrInstant):
    """A date; of an instant its date as written."""

    def clean(self, value: Any) -> date | None:
        found = super().clean(value)
        return found.date() if isinstance(found, datetime) else found


class Words(django_filters.Filter):
    """One of several contract words: `status=pending,confirmed`."""

    field_class = ManyWords

    def __init__(
        self,
        choices: Sequence[str],
        field_name: str | None = None,
        fold: Callable[[str], str] = str.lower,
    ) -> None:
        super().__init__(field_name, words=list(choices), fold=fold)

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class Ids(django_filters.Filter):
    """One of several ids."""

    field_class = ManyIds

    def filter(self, qs: QuerySet[Any], value: list[Any]) -> QuerySet[Any]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class People(django_filters.Filter):
    """Rows of one of several people: `assignedUserId=me,none`."""

    field_class = ManyPeople

    def filter(self, qs: QuerySet[Any], value: list[Any]) -> QuerySet[Any]:
        if not value:
            return qs
        wanted = Q(**{f"{self.field_name}__in": [one for one in value if isinstance(one, UUID)]})
        if "none" in value:
            wanted |= Q(**{f"{self.field_name}__isnull": True})
        if "me" in value and self.parent.actor.user_id:
            wanted |= Q(**{self.field_name: self.parent.actor.user_id})
        return qs.filter(wanted)


class Texts(django_filters.Filter):
    """One of several texts, compared exactly."""

    field_class = ManyWords

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class Flag(django_filters.Filter):
    field_class = TrueOrFalse

    def filter(self, qs: QuerySet[Any], value: bool | None) -> QuerySet[Any]:
        if value is None:
            return qs
        if self.method:
            return super().filter(qs, value)
        return qs.filter(**{f"{self.field_name}__{self.lookup_expr}": value})


class Least(django_filters.Filter):
    field_class = Number

    def filter(self, qs: QuerySet[Any], value: Decimal | None) -> QuerySet[Any]:
        return qs if value is None else qs.filter(**{f"{self.field_name}__gte": value})


class Most(django_filters.Filter):
    field_class = Number

    def filter(self, qs: QuerySet[Any], value: Decimal | None) -> QuerySet[Any]:
        return qs if value is None else qs.filter(**{f"{self.field_name}__lte": value})


class Since(django_filters.Filter):
    """From a day's first moment in the store's time zone, or from an instant on."""

    field_class = DayOrInstant

    def filter(self, qs: QuerySet[Any], value: date | datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        moment = as_moment(value, self.parent.facts)
        return qs.filter(**{f"{self.field_name}__gte": moment})


class Until(django_filters.Filter):
    """Through a day's last moment in the store's time zone, or up to but without an instant."""

    field_class = DayOrInstant

    def filter(self, qs: QuerySet[Any], value: date | datetime | None) -> QuerySet[Any]:
        if value is None:
            return qs
        if not isinstance(value, datetime):
            value += timedelta(days=1)
        return qs.filter(**{f"{self.field_name}__lt": as_moment(value, self.parent.facts)})


class FirstDay(django_filters.Filter):
    """From a date on, for columns that hold the store's own dates."""

    field_class = Day

    def filter(self, qs: QuerySet[Any], value: date | None) -> QuerySet[Any]:
        return qs if value is None else qs.filter(**{f"{self.field_name}__gte": value})


class LastDay(django_filters.Filter):
    field_class = Day

    def filter(self, qs: QuerySet[Any], value: date | None) -> QuerySet[Any]:
        return qs if value is None else qs.filter(**{f"{self.field_name}__lte": value})


def as_moment(value: date | datetime, facts: StoreFacts) -> datetime:
    zone = ZoneInfo(facts.timezone or "UTC")
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), zone)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    return value.astimezone(UTC)


class WireFilterSet(django_filters.FilterSet):
    """Filters named in snake_case, read in camelCase or any letter case. A trailing underscore
    keeps Python's keywords apart: `from_` is `from` on the wire."""

    actor: Actor
    facts: StoreFacts
    base_filters: ClassVar[dict[str, Any]]

    @classmethod
    def wire_schemas(cls) -> dict[str, dict[str, Any]]:
        """Each filter as the wire spells it, with its JSON schema."""
        return {
            wire_name(name.rstrip("_")): getattr(one.field, "wire_schema", {"type": "string"})
            for name, one in cls.base_filters.items()
        }

    def refuse_backwards(self) -> None:
        """A range ends no earlier than it begins."""
        given = self.form.cleaned_data
        for first, last in (("from_", "to"), ("created_from", "created_to")):
            start, end = given.get(first), given.get(last)
            if start and end and as_moment(start, self.facts) > as_moment(end, self.facts):
                message = "It lies after the end of the range."
                raise Refusal(
                    "validation_error", message, errors={wire_name(first.rstrip("_")): [message]}
                )

    @classmethod
    def apply(cls, query: Query, queryset: QuerySet[Any], actor: Actor) -> QuerySet[Any]:
        """The queryset narrowed by the filters that the query names."""
        given = {name: query.all(name) for name in cls.base_filters if name in query}
        if not given:
            return queryset
        filterset = cls(MultiValueDict(given), queryset=queryset)
        filterset.actor, filterset.facts = actor, actor.store
        if not filterset.form.is_valid():
            errors = {
                wire_name(name.rstrip("_")): [str(fault) for fault in faults]
                for name, faults in filterset.form.errors.items()
            }
            raise Refusal("validation_error", "A filter is invalid.", errors=errors)
        filterset.refuse_backwards()
        narrowed: QuerySet[Model] = filterset.qs
        return narrowed
