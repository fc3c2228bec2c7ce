"""The keys of the dashboard's tokens: the first signs, its predecessors still verify.

HS256 takes the versions of JWT_KEY; the other algorithms take the PEM files of JWT_KEY_FILES, and
their public halves stand at `/.well-known/jwks.json` (platform.md, section 4).
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.settings import api_settings

THUMBPRINT = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`jwk` is the public half; a shared secret has none."""

    id: str
    private: Any
    public: Any
    jwk: dict[str, Any] | None = None


@cache
def signing_keys() -> dict[str, SigningKey]:
    """All keys by their id, the one that signs first."""
    if settings.JWT_ALGORITHM == "HS256":
        shared = {str(version): secret for version, secret in settings.KEYS["JWT_KEY"].items()}
        return {version: SigningKey(version, key, key) for version, key in shared.items()}
    keys = [read_key(file) for file in settings.JWT_KEY_FILES]
    return {key.id: key for key in keys}


def read_key(file: Path) -> SigningKey:
    private = load_pem_private_key(file.read_bytes(), password=None)
    public: Any = private.public_key()
    algorithm: Any = jwt.get_algorithm_by_name(settings.JWT_ALGORITHM)
    jwk = algorithm.to_jwk(public, as_dict=True)
    members = {name: jwk[name] for name in THUMBPRINT[jwk["kty"]]}
    digest = hashlib.sha256(orjson.dumps(members)).digest()  # RFC 7638
    key_id = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    shown = {**members, "kid": key_id, "alg": settings.JWT_ALGORITHM, "use": "sig"}
    return SigningKey(key_id, private, public, shown)


def public_keys() -> list[dict[str, Any]]:
    return [key.jwk for key in signing_keys().values() if key.jwk]


class KeyRing(TokenBackend):
    """Names the key in each token's header and finds it there again."""

    def encode(self, payload: dict[str, Any]) -> str:
        key = next(iter(signing_keys().values()))
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, key.private, algorithm=self.algorithm, headers={"kid": key.id})

    def get_verifying_key(self, token: Any) -> Any:
        key = signing_keys().get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise TokenBackendError("The token names no key of ours.")
        return key.public


ring = KeyRing(
    settings.JWT_ALGORITHM,
    audience=api_settings.AUDIENCE,
    issuer=api_settings.ISSUER,
    leeway=api_settings.LEEWAY,
)
