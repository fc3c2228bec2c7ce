"""The dashboard's access and refresh tokens: simplejwt's, with our claims (platform.md, 4)."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from store_modules.stores.models import SignIn
from store_modules.stores.signing import ring


class UsedToken(TokenError):
    """A refresh token that was exchanged before came back."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__("used")
        self.payload = payload


class StoreAccessToken(AccessToken):
    """15 minutes of a sign-in. What it permits is looked up, never read from it."""

    _token_backend = ring

    @classmethod
    def of(cls, sign_in: SignIn, role: str) -> "StoreAccessToken":
        token = cls()
        token["sub"] = str(sign_in.user_id)
        token["sid"] = str(sign_in.id)
        token["storeId"] = str(sign_in.store_id)
        token["role"] = role
        return token


class StoreRefreshToken(RefreshToken):
    """30 days from each use, 90 in all. Single use: the used one is blacklisted."""

    _token_backend = ring
    access_token_class = StoreAccessToken

    @classmethod
    def of(cls, sign_in: SignIn) -> "StoreRefreshToken":
        """A new token of the sign-in, listed as outstanding by its id; its text is not kept."""
        token = cls()
        end: datetime = min(timezone.now() + cls.lifetime, sign_in.expires_at)
        token.set_exp(from_time=end, lifetime=timedelta(0))
        token["sub"] = str(sign_in.user_id)
        token["sid"] = str(sign_in.id)
        OutstandingToken.objects.create(
            user_id=sign_in.user_id,
            jti=token["jti"],
            token="",  # deliberately not kept
            created_at=timezone.now(),
            expires_at=end,
        )
        return token

    def check_blacklist(self) -> None:
        if BlacklistedToken.objects.filter(token__jti=self.payload["jti"]).exists():
            raise UsedToken(self.payload)

    @property
    def expires_at(self) -> int:
        return int(self.payload["exp"])


def new_end() -> datetime:
    """When a sign-in ends for good."""
    return timezone.now() + settings.SIGN_IN_LIFETIME
