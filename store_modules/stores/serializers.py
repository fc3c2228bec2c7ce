"""People, colleagues and settings on the wire."""

from typing import Any
from zoneinfo import available_timezones

from babel import Locale
from pycountry import countries
from rest_framework import serializers

from store_modules.stores.models import Membership, StoreSettings, Weekday
from storeplatform.kernel.money import is_currency
from storeplatform.kernel.phones import PhoneError, normalise_phone
from storeplatform.kernel.serializers import (
    Body,
    Choice,
    DecimalField,
    Phone,
    TextField,
    WireSerializer,
)

WEEKDAYS = [day.value for day in Weekday]
TIMEZONES = available_timezones()


def password_field() -> serializers.CharField:
    return serializers.CharField(min_length=10, max_length=128, trim_whitespace=False)


class Login(serializers.CharField):
    """An e-mail address or a phone number, in the form they are kept in."""

    def to_internal_value(self, data: Any) -> str:
        written = super().to_internal_value(data).strip()
        if "@" in written:
            return written.lower()
        try:
            return normalise_phone(written, "IQ", mobile=False)
        except PhoneError:
            return written


class Country(serializers.CharField):
    """An ISO 3166-1 code."""

    def to_internal_value(self, data: Any) -> str:
        code = super().to_internal_value(data).strip().upper()
        if countries.get(alpha_2=code) is None:
            raise serializers.ValidationError("An ISO 3166-1 code, such as IQ.")
        return code


class Registration(Body):
    email = serializers.EmailField(max_length=254, required=False, allow_null=True)
    phone = Phone(mobile=True, required=False, allow_null=True)
    password = password_field()
    full_name = TextField(max_length=200)
    store_name = TextField(max_length=200)
    country_code = Country(default="IQ", max_length=2)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("email") and not attrs.get("phone"):
            raise serializers.ValidationError({"email": ["Give an e-mail address or a phone."]})
        return attrs


class Credentials(Body):
    aliases = {"email": "login", "phone": "login"}

    login = Login(max_length=254)
    password = serializers.CharField(max_length=128, trim_whitespace=False)
    store_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    use_cookie = serializers.BooleanField(default=False)


class RefreshBody(Body):
    refresh_token = serializers.CharField(
        required=False, max_length=4096, default="", allow_blank=True
    )


class SignOut(RefreshBody):
    all_sessions = serializers.BooleanField(default=False)


class StoreChoice(Body):
    store_id = serializers.UUIDField()
    new_session = serializers.BooleanField(default=False)
    use_cookie = serializers.BooleanField(default=False)


class MeBody(Body):
    full_name = TextField(max_length=200, required=False)
    email = serializers.EmailField(max_length=254, required=False)
    phone = Phone(mobile=True, required=False)
    current_password = serializers.CharField(
        required=False, trim_whitespace=False, default="", allow_blank=True
    )


class PasswordChange(Body):
    current_password = serializers.CharField(trim_whitespace=False)
    new_password = password_field()


class PasswordForgotten(Body):
    aliases = {"email": "login", "phone": "login"}

    login = Login(max_length=254)


class PasswordByToken(Body):
    token = serializers.CharField(max_length=200)
    new_password = password_field()


class Acceptance(Body):
    token = serializers.CharField(max_length=200)
    full_name = TextField(max_length=200, default="", allow_blank=True)
    password = password_field()


class InvitationBody(Body):
    email = serializers.EmailField(max_length=254)
    role = Choice(choices=Membership.Role.choices)
    grants = serializers.ListField(child=serializers.CharField(max_length=64), default=list)
    denies = serializers.ListField(child=serializers.CharField(max_length=64), default=list)


class MemberBody(Body):
    role = Choice(choices=Membership.Role.choices, required=False)
    status = Choice(choices=Membership.Status.choices, required=False)
    grants = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    denies = serializers.ListField(child=serializers.CharField(max_length=64), required=False)


class Pickup(Body):
    name = TextField(max_length=200)
    phone = Phone()
    address_province_code = serializers.CharField(max_length=10)
    address_area_id = serializers.UUIDField()
    address = TextField(max_length=500, required=False, allow_null=True)
    lat = DecimalField(
        max_digits=10, decimal_places=7, min_value=-90, max_value=90, required=False,
        allow_null=True,
    )  # fmt: skip
    lng = DecimalField(
        max_digits=10, decimal_places=7, min_value=-180, max_value=180, required=False,
        allow_null=True,
    )  # fmt: skip

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        return {
            name: str(value) if value is not None else None
            for name, value in (
                (wire, values.get(field.source)) for wire, field in self.fields.items()
            )
        }


PAYMENT_METHODS = ["cod", "cash", "card", "bank_transfer", "wallet", "prepaid"]


class StoreSettingsSerializer(WireSerializer[StoreSettings]):
    country_code = Country(max_length=2)
    otp_countries = serializers.ListField(
        child=Country(max_length=2), min_length=1, max_length=250, required=False
    )
    storefront_payment_methods = serializers.ListField(
        child=Choice(choices=PAYMENT_METHODS), min_length=1, max_length=6, required=False
    )
    pickup = Pickup(required=False, allow_null=True)

    class Meta:
        model = StoreSettings
        fields = [
            "currency_code",
            "timezone",
            "industry",
            "country_code",
            "cash_rounding",
            "week_starts_on",
            "require_otp_for_storefront",
            "auto_confirm_orders",
            "unconfirmed_ttl_hours",
            "require_catalog_items",
            "default_delivery_fee",
            "delivery_fee_payer",
            "tax_rate",
            "prices_include_tax",
            "low_stock_threshold",
            "storefront_payment_methods",
            "otp_countries",
            "otp_daily_cap",
            "refund_limit",
            "allow_price_override",
            "pickup",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["version", "created_at", "updated_at"]
        extra_kwargs = {
            "tax_rate": {"min_value": 0, "max_value": 100},
            "week_starts_on": {"required": False},
            "unconfirmed_ttl_hours": {"min_value": 1},
            "otp_daily_cap": {"min_value": 1},
        }

    def validate_currencyCode(self, code: str) -> str:  # noqa: N802  # DRF looks for the wire name
        if not is_currency(code.upper()):
            raise serializers.ValidationError("An active ISO 4217 code, such as IQD.")
        return code.upper()

    def validate_timezone(self, name: str) -> str:
        if name not in TIMEZONES:
            raise serializers.ValidationError("An IANA name, such as Asia/Baghdad.")
        return name


def first_weekday(country_code: str) -> str:
    """The country's first day of the week by CLDR; Saturday in Iraq."""
    return WEEKDAYS[Locale.parse(f"und_{country_code}").first_week_day]
