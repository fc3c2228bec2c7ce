"""The OAuth endpoints that programs call; `pages` holds those for people."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.utils import parse_bearer_token
from oauth2_provider.views import (
    DynamicClientRegistrationManagementView,
    DynamicClientRegistrationView,
    IntrospectTokenView,
    RevokeTokenView,
    TokenView,
)

from integrations.mcp.oauth.metadata import OAUTH_PATH
from integrations.mcp.oauth.models import MAX_REDIRECT_URIS, AccessToken, Application
from integrations.mcp.principal import principal_of
from storeplatform.kernel import limits
from storeplatform.kernel.addresses import network_of
from storeplatform.kernel.audit import audit
from storeplatform.kernel.errors import TooMany
from storeplatform.kernel.limits import POLICIES, Bucket

INTROSPECTION = "introspection"  # in no list of scopes: no client can ask for it
GRANT_TYPES = {"authorization_code", "refresh_token"}


def error(status: int, code: str, description: str, **headers: str) -> JsonResponse:
    response = JsonResponse({"error": code, "error_description": description}, status=status)
    for name, value in headers.items():
        response[name.replace("_", "-")] = value
    return response


class ForPrograms:
    """Mixed into the toolkit's views: readable across origins, never cached, limited by address.

    `dispatch` is overridden, so the exemption from CSRF is declared anew: no cookie counts here."""

    policy = "oauth-token"
    methods = "POST, OPTIONS"

    @method_decorator(csrf_exempt)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        request.user = AnonymousUser()  # no session here, whatever the toolkit asks
        if request.method == "OPTIONS":
            response = HttpResponse(status=204)
            response["Access-Control-Allow-Methods"] = self.methods
            response["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, MCP-Protocol-Version"
            )
            response["Access-Control-Max-Age"] = "86400"
        else:
            response = self.within_limits(request, *args, **kwargs)
        response["Access-Control-Allow-Origin"] = "*"
        response["Cache-Control"] = "no-store"
        response["Pragma"] = "no-cache"
        return response

    def within_limits(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            levels = limits.charge([Bucket(POLICIES[self.policy], network_of(request.client_ip))])
            limits.refuse_over(levels)
        except TooMany as refusal:
            return error(
                429, "slow_down", refusal.message, Retry_After=refusal.headers["Retry-After"]
            )
        answer: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return answer


class Token(ForPrograms, TokenView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """One transaction, so that a code's row stays locked until its tokens are there."""
        if request.POST.get("grant_type") not in GRANT_TYPES:
            return error(
                400, "unsupported_grant_type", "authorization_code and refresh_token are offered."
            )
        with transaction.atomic():
            answer: HttpResponse = super().post(request, *args, **kwargs)
        answer["Content-Type"] = "application/json"  # of its late errors too
        return answer


class Revoke(ForPrograms, RevokeTokenView):
    pass


class Register(ForPrograms, DynamicClientRegistrationView):
    """RFC 7591: anybody may register, few times an hour, for codes and refresh tokens only."""

    policy = "oauth-register"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if fault := fault_in(request):
            return fault
        answer: HttpResponse = super().post(request, *args, **kwargs)
        if answer.status_code != 201:
            return answer
        content = registered(json.loads(answer.content))
        audit("oauth.client_registered", target=content["client_id"], request=request)
        return JsonResponse(content, status=201)


class Manage(ForPrograms, DynamicClientRegistrationManagementView):
    """RFC 7592: a registered client sees, changes or forgets itself."""

    methods = "GET, PUT, DELETE, OPTIONS"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.shown(super().get(request, *args, **kwargs))

    def put(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if fault := fault_in(request):
            return fault
        answer = self.shown(super().put(request, *args, **kwargs))
        if answer.status_code == 200:
            audit("oauth.client_changed", target=kwargs["client_id"], request=request)
        return answer

    def delete(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().delete(request, *args, **kwargs)
        if answer.status_code == 204:
            audit("oauth.client_removed", target=kwargs["client_id"], request=request)
        return answer

    def shown(self, answer: HttpResponse) -> HttpResponse:
        if answer.status_code != 200:
            return answer
        return JsonResponse(registered(json.loads(answer.content)))


def fault_in(request: HttpRequest) -> HttpResponse | None:
    """What the toolkit would accept and we do not."""
    code = "invalid_client_metadata"
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        return error(400, code, "The body is a JSON object.")
    if not isinstance(asked, dict):
        return error(400, code, "The body is a JSON object.")
    grants = asked.get("grant_types", ["authorization_code"])
    if not isinstance(grants, list) or not {str(one) for one in grants} <= GRANT_TYPES:
        return error(400, code, "Only authorization_code and refresh_token are offered.")
    if asked.get("response_types", ["code"]) != ["code"]:
        return error(400, code, "Only the response type code is offered.")
    if not isinstance(asked.get("client_name", ""), str):
        return error(400, code, "client_name is a text.")
    uris = asked.get("redirect_uris")
    if not isinstance(uris, list) or not 1 <= len(uris) <= MAX_REDIRECT_URIS:
        return error(400, "invalid_redirect_uri", f"1 to {MAX_REDIRECT_URIS} redirect URIs.")
    if any(not isinstance(uri, str) or len(uri) > 2000 or " " in uri for uri in uris):
        return error(400, "invalid_redirect_uri", "A redirect URI is a text without blanks.")
    return None


def registered(content: dict[str, Any]) -> dict[str, Any]:
    """The toolkit's answer with what it leaves out, and our own address in it."""
    client_id = content["client_id"]
    created = Application.objects.values_list("created", flat=True).get(client_id=client_id)
    content["client_id_issued_at"] = int(created.timestamp())
    if "client_secret" in content:
        content["client_secret_expires_at"] = 0
    content["response_types"] = ["code"]
    content["registration_client_uri"] = (
        f"{settings.PUBLIC_ORIGIN}{OAUTH_PATH}/register/{client_id}"
    )
    return content


class Introspect(ForPrograms, IntrospectTokenView):
    """RFC 7662, for our own services alone: the toolkit would answer any client with a secret."""

    def within_limits(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST, OPTIONS"})
        if not may_introspect(request):
            return error(
                401, "invalid_token", "A service's token is needed.", WWW_Authenticate="Bearer"
            )
        answer: HttpResponse = self.get_token_response(request.POST.get("token"))
        if answer.status_code == 200 and principal_of(request.POST["token"]) is None:
            return JsonResponse({"active": False})
        return answer


def may_introspect(request: HttpRequest) -> bool:
    raw = parse_bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    if not raw:
        return False
    checksum = hashlib.sha256(raw.encode()).hexdigest()
    token = AccessToken.objects.filter(
        token_checksum=checksum, application=None, agent=None, expires__gt=timezone.now()
    ).first()
    return token is not None and INTROSPECTION in token.scope.split()


def new_service_token(days: int) -> str:
    """A token that may introspect others, for a service of ours; shown once."""
    from oauth2_provider.generators import generate_client_secret
    from oauth2_provider.models import set_token_value

    raw: str = generate_client_secret()
    row = AccessToken(scope=INTROSPECTION, expires=timezone.now() + timedelta(days=days))
    set_token_value(row, raw)
    row.save()
    return raw
