"""Shapes of the answers that are no row: what the API document shows of them."""

from rest_framework import serializers

from store_modules.stores.models import Membership
from storeplatform.kernel.serializers import Body, Choice


class UserAnswer(Body):
    id = serializers.UUIDField()
    email = serializers.EmailField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    full_name = serializers.CharField()


class StoreAnswer(Body):
    id = serializers.UUIDField()
    name = serializers.CharField()


class StoreOfMember(StoreAnswer):
    role = Choice(choices=Membership.Role.choices)


class MeAnswer(Body):
    user = UserAnswer()
    store = StoreAnswer()
    role = Choice(choices=Membership.Role.choices)
    permissions = serializers.ListField(child=serializers.CharField())


class TokensAnswer(MeAnswer):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="seconds")
    refresh_token = serializers.CharField(allow_null=True)
    refresh_expires_at = serializers.IntegerField(help_text="epoch seconds")
    stores = StoreOfMember(many=True)


class ChangedMeAnswer(Body):
    user = UserAnswer()


class SentAnswer(Body):
    sent = serializers.BooleanField()


class SignInAnswer(Body):
    id = serializers.UUIDField()
    store_id = serializers.UUIDField()
    ip = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    current = serializers.BooleanField()


class MemberAnswer(Body):
    user_id = serializers.UUIDField()
    full_name = serializers.CharField()
    email = serializers.EmailField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    role = Choice(choices=Membership.Role.choices)
    status = Choice(choices=Membership.Status.choices)
    grants = serializers.ListField(child=serializers.CharField())
    denies = serializers.ListField(child=serializers.CharField())
    permissions = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class InvitationAnswer(Body):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = Choice(choices=Membership.Role.choices)
    token = serializers.CharField(help_text="shown once")
    expires_at = serializers.DateTimeField()


class PermissionAnswer(Body):
    permission = serializers.CharField()
    covers = serializers.CharField()
    owner = serializers.BooleanField()
    staff_default = serializers.BooleanField()
    grantable = serializers.BooleanField()
