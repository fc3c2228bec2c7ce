"""Names and types on the wire: camelCase outside, snake_case inside.

Input runs through DRF fields. Output is made by the database: a wire serializer turns its fields
into one json_build_object, so a list of fifty rows is one statement and no Python work per row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.models import F, QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from storeplatform.kernel import text
from storeplatform.kernel.database import prepared
from storeplatform.kernel.errors import Conflict
from storeplatform.kernel.fields import MoneyField, PhoneField
from storeplatform.kernel.money import MoneyError, minor_units, parse_money
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.sql import Instant, json_text, money_text, money_texts
from storeplatform.kernel.tenancy import StoreFacts, StoreOwned

M = TypeVar("M", bound=models.Model)


@lru_cache(maxsize=4096)
def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


# The only names that the wire spells like Python (domain.md, 0.1).
CLOCKS_DIFFER = timedelta(minutes=5)
SNAKE_CASE = frozenset({"payment_method", "delivery_lat", "delivery_lng"})


def wire_name(name: str) -> str:
    """A field as the wire spells it."""
    return name if name in SNAKE_CASE else camel(name)


class StoreAware:
    """Fields whose meaning depends on the store read it from the serializer's context."""

    context: Mapping[str, Any]

    @property
    def facts(self) -> StoreFacts:
        facts: StoreFacts = self.context["store"]
        return facts


# DRF reads "yes" as true, 5 as "5", 7 as an id and true as 1.0; we take what the document says.
# Subclasses come with their base; kinds of field that are not here look for themselves.
JSON_OF: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...], str], ...] = (
    (serializers.BooleanField, (bool,), "true or false."),
    (serializers.CharField, (str,), "Text."),
    (serializers.UUIDField, (str, UUID), "An id."),
    (serializers.DateField, (str, date), "A date, such as 2026-01-31."),
    (serializers.TimeField, (str, time), "A time of day, such as 09:30."),
    (serializers.IntegerField, (int, Decimal), "A whole number."),
    (serializers.FloatField, (int, float, Decimal), "A number."),
)


def strictly(field: serializers.Field[Any, Any, Any, Any]) -> None:
    """Make a field, and what a list or an object of it holds, refuse JSON of another kind."""
    if child := getattr(field, "child", None):
        strictly(child)
    for base, kinds, told in JSON_OF:
        if isinstance(field, base):
            read_of_kind(field, kinds, told)
            return


def read_of_kind(
    field: serializers.Field[Any, Any, Any, Any], kinds: tuple[type, ...], told: str
) -> None:
    lenient = field.to_internal_value

    def read(data: Any) -> Any:
        if not isinstance(data, kinds) or (isinstance(data, bool) and bool not in kinds):
            raise serializers.ValidationError(told, code="invalid")
        return lenient(data)

    field.to_internal_value = read  # type: ignore[method-assign]  # of this one field


class TextField(serializers.CharField):
    """Trimmed NFC text without control characters; `multiline` allows line breaks."""

    def __init__(self, *, multiline: bool = False, **kwargs: Any) -> None:
        self.multiline = multiline
        kwargs["trim_whitespace"] = False  # `clean` trims
        super().__init__(**kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if isinstance(data, str):
            try:
                data = text.clean(data, multiline=self.multiline)
            except ValueError as error:
                raise serializers.ValidationError(str(error), code="invalid_text") from None
            if not data and self.allow_null and not self.allow_blank:
                data = None
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class IntField(serializers.IntegerField):
    """A whole number; 2.0 is one too."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, Decimal):
            if data != data.to_integral_value():
                self.fail("invalid")
            data = int(data)
        return super().to_internal_value(data)


class DecimalField(serializers.DecimalField):
    """A decimal as a string or JSON number; a boolean is none."""

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, str | int | Decimal):
            self.fail("invalid")
        return super().to_internal_value(data)


class Money(StoreAware, serializers.Field[Any, Any, Any, Any]):
    """An amount in the store's currency: string or JSON number in, string out."""

    def __init__(self, *, min_value: int | None = 0, **kwargs: Any) -> None:
        self.min_value = min_value
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if not self.facts.currency_code:
            raise Conflict(
                "settings_not_initialized", "Set the store's currency first: POST /settings."
            )
        try:
            amount = parse_money(data, self.facts.currency_code)
        except MoneyError as error:
            raise serializers.ValidationError(error.message, code=error.code) from None
        if self.min_value is not None and amount < self.min_value:
            raise serializers.ValidationError(f"At least {self.min_value}.", code="min_value")
        return amount

    def to_representation(self, value: Any) -> str:
        return str(value)


class Phone(StoreAware, serializers.Field[Any, Any, Any, Any]):
    """A phone number in any spelling people use; kept as E.164. `mobile` asks for one that can
    receive a message."""

    def __init__(self, *, mobile: bool = False, **kwargs: Any) -> None:
        self.mobile = mobile
        super().__init__(**kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data == "" and self.allow_null:
            data = None
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str | int) or isinstance(data, bool):
            raise serializers.ValidationError("A phone number is text.", code="invalid_phone")
        try:
            return normalise_phone(str(data), self.facts.country_code or "IQ", mobile=self.mobile)
        except PhoneError as error:
            raise serializers.ValidationError(str(error), code="invalid_phone") from None

    def to_representation(self, value: Any) -> str:
        return str(value)


class Moment(StoreAware, serializers.DateTimeField):
    """An instant, RFC 3339. Without an offset it is read in the store's time zone."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="RFC 3339")
        moment: datetime = super().to_internal_value(value)
        if not 2000 <= moment.year <= 2100:
            raise serializers.ValidationError("Between the years 2000 and 2100.", code="invalid")
        return moment.astimezone(UTC)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            return value.replace(tzinfo=ZoneInfo(self.facts.timezone or "UTC"))
        return value


class PastMoment(Moment):
    """When something happened: not later than now, as far as clocks agree."""

    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        if moment > timezone.now() + CLOCKS_DIFFER:
            raise serializers.ValidationError("Not later than now.", code="invalid")
        return moment


class Choice(serializers.ChoiceField):
    """One of the contract's words, in any letter case; the message lists them."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str):
            folded = data.strip().lower()
            for word in self.choices:
                if str(word).lower() == folded:
                    return word
        allowed = ", ".join(str(word) for word in self.choices)
        raise serializers.ValidationError(f"One of: {allowed}.", code="invalid_choice")


class StoreRelatedField(StoreAware, serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row of the caller's store; any other id, and a deleted row's, is not found."""

    default_error_messages = {"does_not_exist": "There is no such row.", "incorrect_type": "An id."}

    def get_queryset(self) -> Any:
        rows: Any = super().get_queryset()
        if hasattr(rows, "live"):
            rows = rows.live()
        return rows.filter(store_id=self.facts.id)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data == "":  # DRF takes it for null
            raise serializers.ValidationError("An id.", code="invalid")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(
                "There is no such row in this store.", code="not_found"
            ) from error
        except (ValueError, TypeError, OverflowError):
            raise serializers.ValidationError("An id.", code="invalid") from None


class Computed(serializers.Field[Any, Any, Any, Any]):
    """A read-only member that the database works out: an expression and the type it shows.

    `expression` is a function from the store's facts, because money needs the currency's digits.
    """

    def __init__(
        self,
        expression: Callable[[StoreFacts], Any],
        shows: serializers.Field[Any, Any, Any, Any] | type[serializers.BaseSerializer[Any]],
        **kwargs: Any,
    ) -> None:
        self.expression = expression
        self.shows = shows
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return value


class CamelCase:
    """Renames a serializer's fields for the wire and reads its declared aliases.

    `aliases` maps a name that old clients send to the canonical one; a dotted canonical name
    reaches into a nested object. Names in `snake_case` stay as the contract spells them. `example`
    is declared where the required members alone would make no good one.
    """

    aliases: ClassVar[Mapping[str, str]] = {}
    snake_case: ClassVar[Iterable[str]] = ()
    example: ClassVar[Mapping[str, Any]] = {}  # a body for the API document

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        renamed = {}
        for name, field in super().get_fields().items():  # type: ignore[misc]  # of the serializer
            wire = name if name in self.snake_case else camel(name)
            if isinstance(field, serializers.RelatedField) and not wire.endswith(("Id", "Code")):
                wire += "Id"
            if wire != name and field.source is None:
                field.source = name
            if not field.read_only:
                strictly(field)
            renamed[wire] = field
        return renamed

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and self.aliases and not self.aliases.keys().isdisjoint(data):
            data = self.without_aliases(data)
        return super().to_internal_value(data)  # type: ignore[misc]  # of the serializer

    def without_aliases(self, data: Mapping[str, Any]) -> dict[str, Any]:
        canonical = dict(data)
        for alias, target in self.aliases.items():
            if alias not in canonical:
                continue
            value = canonical.pop(alias)
            *parents, name = target.split(".")
            place = canonical
            for parent in parents:
                inner = place.get(parent)
                place[parent] = dict(inner) if isinstance(inner, Mapping) else {}
                place = place[parent]
            if name in place and place[name] != value:
                raise serializers.ValidationError(
                    {alias: [f"It differs from {target}, which means the same; send one."]}
                )
            place[name] = value
        return canonical


class Body(CamelCase, serializers.Serializer[Any]):
    """The body of a deed, read into plain values. It decides nothing about the business.

    One instance a store's currency and country is kept and used by all threads: a body holds no
    state between calls, and building its fields costs more than reading with them.
    """

    @classmethod
    def read(cls, data: Any, facts: StoreFacts) -> dict[str, Any]:
        values: dict[str, Any] = shared_body(cls, facts).run_validation(data)
        return values

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Within a partial change a nested body is still a whole one."""
        if isinstance(data, Mapping) and self.parent and getattr(self.root, "partial", False):
            return self.read(data, self.context["store"])
        return super().run_validation(data)


@lru_cache(maxsize=512)
def shared_body(body: type[Body], facts: StoreFacts) -> Body:
    instance = body(context={"store": facts})
    _ = instance.fields
    return instance


class WireSerializer(CamelCase, serializers.ModelSerializer[M]):
    """A model's names and types on the wire, both ways.

    Uniqueness and cross-store references are left to the database and to `StoreRelatedField`.
    `Meta.shown_with = {wire name: grants}` shows a member only to callers with one of the grants.
    """

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: TextField,
        models.TextField: TextField,
        models.IntegerField: IntField,
        models.PositiveIntegerField: IntField,
        models.PositiveSmallIntegerField: IntField,
        models.DecimalField: DecimalField,
        models.DateTimeField: Moment,
        MoneyField: Money,
        PhoneField: Phone,
    }
    serializer_related_field = StoreRelatedField
    serializer_choice_field = Choice

    class Meta:
        model: type[models.Model]
        fields: list[str]

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        self.snake_case = getattr(self.Meta, "snake_case", ())  # type: ignore[misc]
        return super().get_fields()

    def get_uniqueness_extra_kwargs(
        self, field_names: Any, declared_fields: Any, extra_kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        return extra_kwargs, {}

    def get_validators(self) -> list[Any]:
        return []

    def build_standard_field(self, field_name: str, model_field: Any) -> tuple[Any, dict[str, Any]]:
        field_class, kwargs = super().build_standard_field(field_name, model_field)
        if validators := kwargs.get("validators"):
            kwargs["validators"] = [v for v in validators if not isinstance(v, UniqueValidator)]
        if issubclass(field_class, TextField):
            kwargs["multiline"] = isinstance(model_field, models.TextField)
        if issubclass(field_class, Money):
            for name in ("max_digits", "decimal_places", "max_value", "validators"):
                kwargs.pop(name, None)
        if issubclass(field_class, Phone):
            kwargs = {name: kwargs[name] for name in ("required", "allow_null") if name in kwargs}
            kwargs["mobile"] = model_field.mobile
        return field_class, kwargs

    def build_relational_field(self, field_name: str, relation_info: Any) -> tuple[Any, Any]:
        field_class, kwargs = super().build_relational_field(field_name, relation_info)
        if not issubclass(relation_info.related_model, StoreOwned):
            field_class = serializers.PrimaryKeyRelatedField
        return field_class, kwargs

    def create(self, validated_data: Any) -> M:
        return self.Meta.model._default_manager.create(**validated_data)  # type: ignore[return-value]

    def update(self, instance: M, validated_data: Any) -> M:
        """Saves what the body named, and counts the version up."""
        for name, value in validated_data.items():
            setattr(instance, name, value)
        changed = [*validated_data, "updated_at"]
        if isinstance(instance, StoreOwned):
            instance.version += 1
            changed.append("version")
        instance.save(update_fields=changed)
        return instance

    # Output

    @property
    def data(self) -> Any:
        if self.instance is None:
            return super().data
        return self.to_representation(self.instance)

    def to_representation(self, instance: M) -> Any:
        return self.rows(type(instance)._default_manager.filter(pk=instance.pk))[0][0]

    def page_rows(self, queryset: QuerySet[M], columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """`rows` with the columns as texts: a cursor carries two of fifty, so none is decoded."""
        return self.rows(queryset, columns, cast="::text")

    def rows(
        self, queryset: QuerySet[M], columns: Sequence[str] = (), cast: str = ""
    ) -> list[tuple[Any, ...]]:
        """Each row's JSON with the values of `columns` behind it, in one statement.

        The ORM writes the part that picks the rows; the part that makes the JSON is written once
        a process and kept, because writing some sixty expressions takes longer than running them.
        """
        picked = queryset.values_list("pk", *columns)
        try:
            picking, parameters = picked.query.sql_with_params()
        except EmptyResultSet:  # the ORM knows that nothing can match
            return []
        making, constants = self.wire_sql()
        names = [f"c{place}" for place in range(len(columns) + 1)]
        behind = "".join(f", page.{name}{cast}" for name in names[1:])
        table = self.Meta.model._meta.db_table
        with prepared() as cursor:
            cursor.execute(
                f"WITH page (place, {', '.join(names)}) AS"  # noqa: S608  # our own names
                f" (SELECT row_number() OVER (), picked.* FROM ({picking}) picked)"
                f" SELECT wire.wire_row{behind} FROM page"
                f' CROSS JOIN LATERAL ({making} WHERE "{table}"."id" = page.c0) wire'
                " ORDER BY page.place",
                (*parameters, *constants),
            )
            return [(orjson.Fragment(row), *values) for row, *values in cursor.fetchall()]

    def wire_sql(self) -> tuple[str, tuple[Any, ...]]:
        """The statement that makes a row's JSON, without its WHERE."""
        hidden: Mapping[str, frozenset[str]] = getattr(self.Meta, "shown_with", {})
        shown = frozenset(name for name in hidden if hidden[name] & self.grants)
        return wire_sql(type(self), minor_units(self.context["store"].currency_code), shown)

    @property
    def grants(self) -> frozenset[str]:
        grants: frozenset[str] = self.context.get("grants", frozenset())
        return grants

    def wire_members(self) -> dict[str, Any]:
        """An expression for each member that the wire shows."""
        facts: StoreFacts = self.context["store"]
        hidden: Mapping[str, frozenset[str]] = getattr(self.Meta, "shown_with", {})
        return {
            name: wire_member(field, facts)
            for name, field in self.fields.items()
            if not field.write_only and (name not in hidden or self.grants & hidden[name])
        }


@lru_cache(maxsize=512)
def wire_sql(
    serializer: type[WireSerializer[Any]], digits: int, shown: frozenset[str]
) -> tuple[str, tuple[Any, ...]]:
    """The kept statement of a serializer, for a currency's digits and the hidden members shown."""
    hidden: Mapping[str, frozenset[str]] = getattr(serializer.Meta, "shown_with", {})
    grants = frozenset(grant for name in shown for grant in hidden[name])
    currency = next(code for code in ("IQD", "USD", "KWD", "CLF") if minor_units(code) == digits)
    instance = serializer(
        context={"store": StoreFacts(UUID(int=0), currency_code=currency), "grants": grants}
    )
    rows = serializer.Meta.model._default_manager.order_by()
    made = rows.annotate(wire_row=json_text(instance.wire_members())).values_list("wire_row")
    statement, constants = made.query.sql_with_params()
    return str(statement), tuple(constants)


def as_members(row: orjson.Fragment) -> dict[str, Any]:
    """A wire row's members, for the few places that add to it."""
    members: dict[str, Any] = orjson.loads(orjson.dumps(row))
    return members


def wire_member(field: serializers.Field[Any, Any, Any, Any], facts: StoreFacts) -> Any:
    if isinstance(field, Computed):
        return field.expression(facts)
    source = (field.source or "").replace(".", "__")
    if isinstance(field, serializers.RelatedField):
        return F(source if source.endswith("_id") else f"{source}_id")
    if isinstance(field, serializers.DateTimeField):
        return Instant(F(source))
    if isinstance(field, Money):
        return money_text(F(source), minor_units(facts.currency_code))
    if isinstance(field, serializers.ListField) and isinstance(field.child, Money):
        return money_texts(F(source), minor_units(facts.currency_code))
    if isinstance(field, serializers.DecimalField):
        return models.functions.Cast(F(source), models.TextField())
    return F(source)
