from django.apps import AppConfig


class OtpConfig(AppConfig):
    """Registers the forgetting of phones and old challenges."""

    name = "integrations.otp"

    def ready(self) -> None:
        from integrations.otp import services
        from storeplatform.kernel.housekeeping import every

        every(3600, "otp_phones")(services.forget_phones)
        every(3600, "otp_purge")(services.purge)
