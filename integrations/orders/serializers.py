"""Bodies that only API keys send."""

from rest_framework import serializers

from storeplatform.kernel.serializers import Body, Choice, Phone


class OtpBody(Body):
    phone = Phone(mobile=True)
    channel = Choice(choices=["auto", "whatsapp", "sms"], default="auto")
    locale = serializers.CharField(max_length=16, required=False, allow_null=True)
    customer_ip = serializers.IPAddressField(required=False, allow_null=True, default=None)


class BulkOptions(Body):
    error_policy = Choice(
        choices=["reject_failed_rows", "reject_everything"], default="reject_failed_rows"
    )
    mode = Choice(choices=["create", "import"], default="create")
