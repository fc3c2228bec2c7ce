"""Operators' view of people and stores."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from store_modules.stores.models import Membership, SignIn, Store, User
from storeplatform.kernel.admin import ReadMostly

admin.site.unregister(Group)


@admin.register(Store)
class StoreAdmin(ReadMostly, ModelAdmin):
    list_display = ["name", "status", "created_at"]
    list_filter = ["status"]
    search_fields = ["search_text"]
    fields = ["id", "name", "status", "created_at", "updated_at"]
    readonly_fields = ["id", "created_at", "updated_at"]
    editable = True


@admin.register(User)
class UserAdmin(ReadMostly, ModelAdmin):
    list_display = ["full_name", "email", "phone", "is_active", "is_staff", "created_at"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["=email", "=phone"]
    fields = ["id", "full_name", "email", "phone", "is_active", "is_staff", "created_at"]
    readonly_fields = ["id", "created_at", "email", "phone"]
    editable = True


@admin.register(Membership)
class MembershipAdmin(ReadMostly, ModelAdmin):
    list_display = ["user", "store", "role", "status", "created_at"]
    list_filter = ["role", "status"]
    list_select_related = ["user", "store"]
    search_fields = ["=user__email", "=user__phone"]


@admin.register(SignIn)
class SignInAdmin(ReadMostly, ModelAdmin):
    list_display = ["user", "store", "ip", "last_seen_at", "revoked_at"]
    list_select_related = ["user", "store"]
    search_fields = ["=user__email"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).order_by("-created_at")
