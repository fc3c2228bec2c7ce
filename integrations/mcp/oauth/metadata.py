"""The well-known documents (RFC 8414, RFC 9728). Every address in them is under the one origin."""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, JsonResponse

from integrations.mcp.oauth.scopes import OFFLINE, SCOPES

OAUTH_PATH = "/api/v1/oauth"
RESOURCE_DOCUMENT = "/.well-known/oauth-protected-resource" + settings.MCP_PATH


def document(content: dict[str, Any]) -> JsonResponse:
    response = JsonResponse(content)
    response["Access-Control-Allow-Origin"] = "*"
    response["Cache-Control"] = "public, max-age=300"
    return response


def authorization_server(request: HttpRequest) -> JsonResponse:
    own: dict[str, Any] = settings.OAUTH2_PROVIDER
    base = settings.PUBLIC_ORIGIN + OAUTH_PATH
    methods = own["OAUTH2_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED"]
    return document(
        {
            "issuer": settings.PUBLIC_ORIGIN,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "revocation_endpoint": f"{base}/revoke",
            "introspection_endpoint": f"{base}/introspect",
            "registration_endpoint": f"{base}/register",
            "scopes_supported": [*SCOPES, OFFLINE],
            "response_types_supported": own["OAUTH2_RESPONSE_TYPES_SUPPORTED"],
            "response_modes_supported": ["query"],
            "grant_types_supported": own["OAUTH2_GRANT_TYPES_SUPPORTED"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
            "ui_locales_supported": ["en", "ar"],
        }
    )


def protected_resource(request: HttpRequest, path: str = "") -> JsonResponse:
    if path and "/" + path != settings.MCP_PATH:
        raise Http404
    return document(
        {
            "resource": settings.MCP_RESOURCE,
            "authorization_servers": [settings.PUBLIC_ORIGIN],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "Store Platform",
        }
    )
