"""What django-oauth-toolkit decides otherwise than an MCP server must (mcp.md, section 4)."""

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749 import errors

from integrations.mcp.oauth.agents import end_grant
from integrations.mcp.oauth.models import (
    AccessToken,
    Grant,
    RefreshToken,
    is_plain_authority,
)
from integrations.mcp.principal import principal_of_agent
from storeplatform.kernel.audit import audit


class Validator(OAuth2Validator):
    """Tokens for one resource and one store; a code's replay ends what the code gave."""

    def _load_application(self, client_id: str, request: Any) -> Any:
        return None if "\0" in (client_id or "") else super()._load_application(client_id, request)

    def _validate_resource_uris(self, request: Any, resources: Any) -> None:
        if any(resource != settings.MCP_RESOURCE for resource in resources):
            raise errors.CustomOAuth2Error(
                error="invalid_target", description="There is no such resource.", request=request
            )

    def _check_and_set_request_resource(self, request: Any) -> None:
        super()._check_and_set_request_resource(request)
        request.resource = request.resource or [settings.MCP_RESOURCE]

    def _create_authorization_code(self, request: Any, code: Any, expires: Any = None) -> Any:
        request.resource = [settings.MCP_RESOURCE]
        with transaction.atomic():
            grant = super()._create_authorization_code(request, code, expires)
            grant.agent, grant.store_id = request.agent, request.agent.store_id
            grant.save(update_fields=["agent", "store"])
        return grant

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """The toolkit stumbles over a port that is no number."""
        try:
            parts = urlsplit(redirect_uri)
        except ValueError:
            return False
        if parts.netloc and not is_plain_authority(parts.netloc):
            return False
        good: bool = super().validate_redirect_uri(
            client_id, redirect_uri, request, *args, **kwargs
        )
        return good

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """The grant stays locked until its tokens are stored: two at once are a replay."""
        if "\0" in code:  # which the database cannot even look for
            return False
        grant = (
            Grant.objects.select_for_update()
            .select_related("application", "user")
            .filter(code=code, application=client)
            .first()
        )
        if grant is None or grant.is_expired() or grant.agent_id is None:
            return False
        if grant.used_at:
            end_grant(grant)
            return False
        if principal_of_agent(grant.agent_id, grant.scope) is None:
            return False
        request.scopes = grant.scope.split()
        request.user = grant.user
        request.claims = json.loads(grant.claims or "{}")
        request.grant = grant
        return True

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        Grant.objects.filter(code=code, application=request.client).update(used_at=timezone.now())

    def _create_access_token(
        self, expires: Any, request: Any, token: Any, source_refresh_token: Any = None
    ) -> Any:
        made = super()._create_access_token(expires, request, token, source_refresh_token)
        self.hand_to_agent(made, source_refresh_token or request.grant)
        return made

    def _create_refresh_token(
        self, request: Any, refresh_token_code: str, access_token: Any, previous_refresh_token: Any
    ) -> Any:
        made = super()._create_refresh_token(
            request, refresh_token_code, access_token, previous_refresh_token
        )
        self.hand_to_agent(made, previous_refresh_token or request.grant)
        return made

    def hand_to_agent(self, token: Any, source: Any) -> None:
        """The store and agent of a token are those of the code or token that it came from."""
        token.store_id, token.agent_id = source.store_id, source.agent_id
        token.grant_id = source.pk if isinstance(source, Grant) else source.grant_id
        token.save(update_fields=["store", "agent", "grant"])

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Refused as well where its agent may not be any more: the member, the store."""
        good: bool = super().validate_refresh_token(refresh_token, client, request, *args, **kwargs)
        checksum = hashlib.sha256(refresh_token.encode()).hexdigest()
        row = RefreshToken.objects.filter(token_checksum=checksum, application=client).first()
        if row is None or row.agent_id is None:
            return False
        good = good and principal_of_agent(row.agent_id, "") is not None
        if not good:
            audit("oauth.refresh_refused", target=client.client_id, store_id=row.store_id)
        return good

    def revoke_token(
        self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        checksum = hashlib.sha256(token.encode()).hexdigest()
        held = {"token_checksum": checksum, "application": request.client}
        row = (
            AccessToken.objects.filter(**held).first()
            or RefreshToken.objects.filter(**held, revoked=None).first()
        )
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)
        if row is not None:
            audit("oauth.token_revoked", target=request.client.client_id, store_id=row.store_id)
