"""Shapes of what API keys get beside orders, for the API document."""

from rest_framework import serializers

from storeplatform.kernel.serializers import Body, Choice


class OtpAnswer(Body):
    sent = serializers.BooleanField()
    channel = Choice(choices=["whatsapp", "sms"])
    phone = serializers.CharField(help_text="masked")
    expires_at = serializers.DateTimeField()
    expires_in_seconds = serializers.IntegerField()
    resend_after_seconds = serializers.IntegerField()
    code_length = serializers.IntegerField()
    delivery_status = Choice(choices=["unknown"], required=False)
