"""Managing keys from the dashboard, and a key's picture of itself."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api_keys import services
from integrations.api_keys.answers import IssuedKeySerializer, WhoAmIAnswer
from integrations.api_keys.authentication import ApiKeySurface
from integrations.api_keys.models import ApiKey
from integrations.api_keys.serializers import ApiKeySerializer, KeyChange, NewKey, Rotation
from integrations.api_keys.tokens import Token
from storeplatform.kernel.filters import WireFilterSet, Words
from storeplatform.kernel.limits import POLICIES
from storeplatform.kernel.serializers import as_members
from storeplatform.kernel.viewsets import ListModelMixin, StoreScoped


class KeyState(Words):
    """Active, expired or revoked, at this moment."""

    def filter(self, qs: QuerySet[Any], value: list[str]) -> QuerySet[Any]:
        if not value:
            return qs
        now = timezone.now()
        expired = Q(revoked_at=None, expires_at__lte=now)
        states = {
            "active": Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now)),
            "expired": expired,
            "revoked": Q(revoked_at__isnull=False),
        }
        wanted = Q()
        for word in value:
            wanted |= states[word]
        return qs.filter(wanted)


class ApiKeyFilters(WireFilterSet):
    status = KeyState(["active", "expired", "revoked"])


class ApiKeyViewSet(ListModelMixin, StoreScoped[ApiKey]):
    answers = {"create": IssuedKeySerializer, "rotate": IssuedKeySerializer}
    permissions = {
        "list": "api_keys.read",
        "retrieve": "api_keys.read",
        "create": "api_keys.manage",
        "update": "api_keys.manage",
        "destroy": "api_keys.manage",
        "rotate": "api_keys.manage",
        "revoke_previous": "api_keys.manage",
        "revoke": "api_keys.manage",
    }
    queryset = ApiKey.objects.all()
    serializer_class = ApiKeySerializer
    filterset_class = ApiKeyFilters
    lookup_field = "key_id"
    lookup_value_regex = r"stk_[0-9A-Za-z]{16}"
    forms = {"create": NewKey, "update": KeyChange, "rotate": Rotation}

    def key(self) -> ApiKey:
        found: ApiKey | None = self.get_queryset().filter(key_id=self.kwargs["key_id"]).first()
        if found is None:
            raise Http404
        return found

    def answer(self, key: ApiKey, token: Token | None = None, status: int = 200) -> Response:
        """The key; with its text when it was just made."""
        row = self.wire_rows(ApiKey.objects.filter(pk=key.pk))[0][0]
        if token is None:
            return Response(row, status=status, headers={"ETag": f'"{key.version}"'})
        self.shown_once(keyId=key.key_id)
        return Response({**as_members(row), "apiKey": token.text}, status=status)

    def retrieve(self, request: Request, key_id: str) -> Response:
        return self.answer(self.key())

    def create(self, request: Request) -> Response:
        values = self.body()

        def effect() -> Response:
            key, token = services.issue_key(self.actor, request=request._request, **values)
            response = self.answer(key, token, 201)
            response["Location"] = f"{request.path}/{key.key_id}"
            return response

        return self.once(effect)

    def update(self, request: Request, key_id: str) -> Response:
        values = self.body()

        def effect() -> Response:
            key = self.key()
            self.check_version(key)
            return self.answer(
                services.change_key(key, self.actor, values, request=request._request)
            )

        return self.once(effect)

    def destroy(self, request: Request, key_id: str) -> Response:
        services.revoke_key(self.key(), self.actor, request=request._request)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, key_id: str) -> Response:
        return self.once(
            lambda: self.answer(
                services.revoke_key(self.key(), self.actor, request=request._request)
            )
        )

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, key_id: str) -> Response:
        hours = self.body()["grace_period_hours"]

        def effect() -> Response:
            key, token = services.rotate_key(
                self.key(), self.actor, grace_hours=hours, request=request._request
            )
            return self.answer(key, token)

        return self.once(effect)

    @action(detail=True, methods=["post"], url_path="revoke-previous")
    def revoke_previous(self, request: Request, key_id: str) -> Response:
        return self.once(
            lambda: self.answer(
                services.revoke_previous(self.key(), self.actor, request=request._request)
            )
        )


class WhoAmI(ApiKeySurface, StoreScoped[ApiKey]):
    """What the key is that asks."""

    answers = {"whoami": WhoAmIAnswer}
    permissions = {"whoami": ""}
    queryset = ApiKey.objects.all()

    def whoami(self, request: Request) -> Response:
        key: ApiKey = request.api_key  # type: ignore[attr-defined]  # set by ApiKeyAuthentication
        return Response(
            {
                "keyId": key.key_id,
                "name": key.name,
                "storeId": key.store_id,
                "scopes": key.scopes,
                "expiresAt": key.expires_at,
                "rateLimit": {
                    name: {"quota": POLICIES[name].quota, "window": POLICIES[name].window}
                    for name in ("integration-read", "integration-write", "integration-store")
                },
            }
        )
