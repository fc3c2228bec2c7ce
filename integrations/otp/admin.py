"""Operators' view of one-time codes: how sending goes. Codes are nowhere."""

from django.contrib import admin
from django.urls import reverse
from unfold.admin import ModelAdmin

from integrations.otp.models import OtpChallenge
from integrations.otp.services import last_day
from storeplatform.kernel.admin import ReadMostly
from storeplatform.kernel.desk import Card, card

FEW = 20  # codes that tell nothing about how sending goes
GOOD_SHARE = 0.5


@card
def codes_verified() -> Card:
    facts = {name: int(value) for name, value in last_day().items()}
    share = facts["verified"] / facts["sent"] if facts["sent"] else None
    return Card(
        "Codes verified",
        "–" if share is None else f"{share:.0%}",
        f"{facts['verified']:,} of {facts['sent']:,} sent in a day, {facts['failed']:,} failed",
        reverse("admin:otp_otpchallenge_changelist"),
        is_bad=share is not None and facts["sent"] >= FEW and share < GOOD_SHARE,
    )


@admin.register(OtpChallenge)
class OtpChallengeAdmin(ReadMostly, ModelAdmin):
    list_display = ["created_at", "store", "channel", "delivery_status", "attempts", "consumed_at"]
    list_select_related = ["store"]
    search_fields = ["store_id", "customer_ip"]
    exclude = ["phone", "phone_hash"]
    ordering = ["-id"]
