"""Clients, agents and their tokens: django-oauth-toolkit's models with the store in them."""

import re
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from integrations.mcp.oauth.scopes import OFFLINE
from storeplatform.kernel.tenancy import StoreOwned, StoreOwnedQuerySet

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_REDIRECT_URIS = 10
MAX_NAME = 100
# Host and port as every reader of an address understands them: nothing that browsers take for
# another character, no user, no name that is spelled in another script than it looks.
AUTHORITY = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def is_loopback(uri: str) -> bool:
    return urlsplit(uri).hostname in LOOPBACK


def is_plain_authority(netloc: str) -> bool:
    if not AUTHORITY.fullmatch(netloc):
        return False
    _, _, port = netloc.rpartition("]")[2].partition(":")
    return int(port or 0) < 2**16


class Application(AbstractApplication):
    """A program that asks for access. One with a store was registered by that store and serves
    no other; the rest registered themselves, so their names are unverified."""

    store = models.ForeignKey(
        "stores.Store", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(skip_authorization=False), name="oauth_consent_is_shown"
            )
        ]

    def clean(self) -> None:
        super().clean()
        uris = self.redirect_uris.split()
        if len(uris) > MAX_REDIRECT_URIS:
            raise ValidationError(f"At most {MAX_REDIRECT_URIS} redirect URIs.")
        for uri in uris:
            parts = urlsplit(uri)
            if parts.netloc and not is_plain_authority(parts.netloc):
                raise ValidationError("A redirect URI names a plain host and port, no user.")
            if parts.scheme == "http" and not is_loopback(uri):
                raise ValidationError("Plain http is for redirect URIs on this machine only.")
        if len(self.name) > MAX_NAME or not self.name.isprintable():
            raise ValidationError(f"A name has at most {MAX_NAME} printable characters.")


class Agent(StoreOwned):
    """A client that a member let into a store. Revoking ends all its tokens; a new consent lets
    it in again."""

    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="agents")
    user = models.ForeignKey("stores.User", on_delete=models.CASCADE, related_name="+")
    scope = models.TextField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = StoreOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["store", "application", "user"], name="agent_once_per_member"
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} of {self.user}"

    @property
    def scopes(self) -> list[str]:
        return [scope for scope in self.scope.split() if scope != OFFLINE]


class OfAgent(models.Model):
    """What was handed to an agent. Rows without one open no store: registration tokens."""

    store = models.ForeignKey("stores.Store", on_delete=models.CASCADE, null=True, related_name="+")
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, null=True, related_name="+")

    class Meta:
        abstract = True


class Grant(OfAgent, AbstractGrant):
    """An authorization code. A used one is kept until it expires, so that its replay is noticed."""

    used_at = models.DateTimeField(null=True)

    class Meta(AbstractGrant.Meta):
        pass

    def __str__(self) -> str:
        return f"code {self.pk}"


class AccessToken(OfAgent, AbstractAccessToken):
    grant = models.ForeignKey(Grant, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta(AbstractAccessToken.Meta):
        pass

    def __str__(self) -> str:
        return f"access token {self.pk}"


class RefreshToken(OfAgent, AbstractRefreshToken):
    grant = models.ForeignKey(Grant, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta(AbstractRefreshToken.Meta):
        indexes = [models.Index(fields=["token_family"], name="oauth_refresh_family")]

    def __str__(self) -> str:
        return f"refresh token {self.pk}"


class IDToken(AbstractIDToken):
    """Unused: no OpenID Connect here; the toolkit wants the model."""

    class Meta(AbstractIDToken.Meta):
        pass
