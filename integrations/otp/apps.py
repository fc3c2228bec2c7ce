from django.apps import AppConfig


class OtpConfig(AppConfig):
    """Registers its providers, and the forgetting of phones and old challenges."""

    name = "integrations.otp"

    def ready(self) -> None:
        from integrations.otp import services, sms
        from storeplatform.kernel.housekeeping import every
        from storeplatform.kernel.messaging import PROVIDERS, code_reported

        PROVIDERS.update(console=sms.Console(), file=sms.File(), memory=sms.Memory())
        code_reported.register(services.note_delivery)

        every(3600, "otp_phones")(services.forget_phones)
        every(3600, "otp_purge")(services.purge)
