"""Shapes of the address reference, for the API document."""

from rest_framework import serializers

from store_modules.geography.models import Area
from storeplatform.kernel.serializers import Body, Choice


class CountryAnswer(Body):
    code = serializers.CharField()
    name = serializers.CharField()


class ProvinceAnswer(Body):
    code = serializers.CharField()
    country_code = serializers.CharField()
    name = serializers.CharField(help_text="in the reader's language")
    names = serializers.DictField(child=serializers.CharField())
    type = serializers.CharField()
    parent_code = serializers.CharField(allow_null=True)
    is_group = serializers.BooleanField(help_text="a group of provinces is no address")
    is_iso = serializers.BooleanField()
    is_active = serializers.BooleanField()


class AreaAnswer(Body):
    id = serializers.UUIDField()
    province_code = serializers.CharField()
    name = serializers.CharField(help_text="in the reader's language")
    names = serializers.DictField(child=serializers.CharField())
    kind = Choice(choices=Area.Kind.choices)
    lat = serializers.FloatField(allow_null=True)
    lng = serializers.FloatField(allow_null=True)
    source = Choice(choices=Area.Source.choices)  # type: ignore[assignment]  # a Field has its own
    aliases = serializers.ListField(  # type: ignore[assignment]  # a Body has its own
        child=serializers.CharField()
    )
    is_active = serializers.BooleanField()
