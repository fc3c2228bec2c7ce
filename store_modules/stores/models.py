"""People, stores, who works where, and each store's settings."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from storeplatform.kernel.fields import MoneyField, PhoneField
from storeplatform.kernel.ids import uuid7
from storeplatform.kernel.sql import search_index, search_text
from storeplatform.kernel.tenancy import StoreOwned


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str | None, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.lower() if email else None, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, in any number of stores. `is_staff` marks a platform operator of the admin."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(null=True, unique=True)  # noqa: DJ001  # absent is not empty: unique
    phone = PhoneField(null=True, unique=True)
    full_name = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(phone__isnull=False),
                name="user_has_email_or_phone",
            )
        ]

    def __str__(self) -> str:
        return self.email or self.phone or str(self.id)


class Store(models.Model):
    """A merchant's shop; everything store-owned hangs on it."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    search_text = search_text("name")

    class Meta:
        indexes = [search_index("store_search")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's place in a store: the role, and what was granted or denied beside it."""

    class Role(models.TextChoices):
        OWNER = "store_owner"
        STAFF = "store_staff"

    class Status(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    grants = ArrayField(models.CharField(max_length=64), default=list)
    denies = ArrayField(models.CharField(max_length=64), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "store"],
                name="membership_once_per_store",
                violation_error_code="already_member",
                violation_error_message="This person is a member already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(models.Model):
    """A place offered to somebody; the token is shown once and kept as a keyed hash."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="+")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Membership.Role.choices)
    grants = ArrayField(models.CharField(max_length=64), default=list)
    denies = ArrayField(models.CharField(max_length=64), default=list)
    token_hash = models.CharField(max_length=80, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.email


class SignIn(models.Model):
    """One signed-in device of one person in one store; refresh tokens rotate under its lock."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="+")
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    last_seen_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    current_jti = models.CharField(max_length=64, blank=True)
    previous_jti = models.CharField(max_length=64, blank=True)
    rotated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["user", "-created_at"], name="sign_in_of_user")]

    def __str__(self) -> str:
        return f"{self.user} {self.created_at:%Y-%m-%d}"


class PasswordReset(models.Model):
    """A way back in, single use, 30 minutes; the token is kept as a keyed hash."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=80, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.user)


class LoginFailure(models.Model):
    """A failed sign-in, counted to slow guessing down; never a cache, so never forgotten early."""

    id = models.BigAutoField(primary_key=True)
    login = models.CharField(max_length=254)
    ip = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["login", "-created_at"], name="login_failure_by_login"),
            models.Index(fields=["ip", "-created_at"], name="login_failure_by_ip"),
        ]

    def __str__(self) -> str:
        return self.login


class Industry(models.TextChoices):
    FASHION = "fashion"
    ELECTRONICS = "electronics"
    GROCERY = "grocery"
    BEAUTY = "beauty"
    HOME = "home"
    RESTAURANT = "restaurant"
    PHARMACY = "pharmacy"
    BOOKS = "books"
    TOYS = "toys"
    GENERAL = "general"
    OTHER = "other"


class Weekday(models.TextChoices):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class FeePayer(models.TextChoices):
    CUSTOMER = "customer"
    STORE = "store"


class StoreSettings(StoreOwned):
    """How a store trades (domain.md, section 2). One row a store, made by the first POST."""

    store = models.OneToOneField(Store, on_delete=models.CASCADE, related_name="settings")
    currency_code = models.CharField(max_length=3)
    timezone = models.CharField(max_length=64)
    industry = models.CharField(max_length=16, choices=Industry.choices)
    country_code = models.CharField(max_length=2)
    cash_rounding = MoneyField(default=0)
    week_starts_on = models.CharField(max_length=3, choices=Weekday.choices)
    require_otp_for_storefront = models.BooleanField(default=True)
    auto_confirm_orders = models.BooleanField(default=False)
    unconfirmed_ttl_hours = models.PositiveIntegerField(null=True)
    require_catalog_items = models.BooleanField(default=False)
    default_delivery_fee = MoneyField(null=True)
    delivery_fee_payer = models.CharField(
        max_length=8, choices=FeePayer.choices, default=FeePayer.CUSTOMER
    )
    tax_rate = models.DecimalField(
        max_digits=5, decimal_places=2, default=0, validators=[MinValueValidator(0)]
    )
    prices_include_tax = models.BooleanField(default=True)
    low_stock_threshold = models.PositiveIntegerField(default=5)
    storefront_payment_methods = ArrayField(models.CharField(max_length=16), default=list)
    otp_countries = ArrayField(models.CharField(max_length=2), default=list)
    otp_daily_cap = models.PositiveIntegerField(default=500)
    refund_limit = MoneyField(null=True)
    allow_price_override = models.BooleanField(default=True)
    pickup = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store"],
                name="store_settings_once",
                violation_error_code="settings_already_initialized",
                violation_error_message="The settings are initialised already; change them by PUT.",
            ),
            models.CheckConstraint(
                condition=Q(tax_rate__gte=0) & Q(tax_rate__lte=100), name="settings_tax_rate"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency_code} {self.timezone}"
