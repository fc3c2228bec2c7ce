"""Operators' view of people and stores."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin

from store_modules.stores.models import Membership, SignIn, Store, User
from store_modules.stores.opening import change_status
from storeplatform.kernel import second_factor
from storeplatform.kernel.admin import ReadMostly, operator_of

# Roles there are none; what the others keep signs people in.
for model in (Group, TOTPDevice, StaticDevice, OutstandingToken, BlacklistedToken):
    admin.site.unregister(model)


@admin.register(Store)
class StoreAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["search_text"]
    fields = ["id", "name", "status", "created_at", "updated_at"]
    readonly_fields = ["id", "status", "created_at", "updated_at"]
    editable = True
    actions = ["suspend", "resume"]

    def store_of(self, obj: Store) -> Any:
        return obj.pk

    @admin.action(description="Suspend the chosen stores")
    def suspend(self, request: HttpRequest, queryset: Any) -> None:
        self.turn(request, queryset, Store.Status.SUSPENDED)

    @admin.action(description="Let the chosen stores trade again")
    def resume(self, request: HttpRequest, queryset: Any) -> None:
        self.turn(request, queryset, Store.Status.ACTIVE)

    def turn(self, request: HttpRequest, queryset: Any, status: str) -> None:
        count = sum(
            change_status(store, status, operator_of(request, store.pk), request=request)
            for store in queryset
        )
        self.message_user(request, f"{count} stores are {status} from now on.")


@admin.register(User)
class UserAdmin(ReadMostly, ModelAdmin):
    list_display = ["full_name", "email", "phone", "is_active", "is_staff", "created_at"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "phone"]
    actions = ["remove_second_factor"]
    fields = ["id", "full_name", "email", "phone", "is_active", "is_staff", "created_at"]
    readonly_fields = ["id", "created_at", "email", "phone"]
    editable = True

    @admin.action(description="Take the second factor of the chosen people away")
    def remove_second_factor(self, request: HttpRequest, queryset: Any) -> None:
        label = operator_of(request).label
        count = sum(bool(second_factor.remove(user, request, label=label)) for user in queryset)
        self.message_user(request, f"{count} people set up a new one.")


@admin.register(Membership)
class MembershipAdmin(ReadMostly, ModelAdmin):
    list_display = ["user", "store", "role", "status", "created_at"]
    list_filter = ["role", "status"]
    list_select_related = ["user", "store"]
    search_fields = ["user__email", "user__phone"]


@admin.register(SignIn)
class SignInAdmin(ReadMostly, ModelAdmin):
    list_display = ["user", "store", "ip", "last_seen_at", "revoked_at"]
    list_select_related = ["user", "store"]
    search_fields = ["user__email"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).order_by("-created_at")
