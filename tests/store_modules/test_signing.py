"""Who signs access tokens, and who verifies them; platform.md, section 4."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from store_modules.stores import signing
from tests.clients import ApiClient, anonymous

MAKE_KEY = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture
def keyed(settings, monkeypatch, tmp_path):
    """Sets the algorithm, with so many new keys; the first signs."""

    def apply(algorithm, count=1):
        files = []
        for place in range(count):
            pem = MAKE_KEY[algorithm]().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            files.append(tmp_path / f"{algorithm}-{place}.pem")
            files[-1].write_bytes(pem)
        settings.JWT_ALGORITHM, settings.JWT_KEY_FILES = algorithm, files
        monkeypatch.setattr(signing.ring, "algorithm", algorithm)
        signing.signing_keys.cache_clear()
        return files

    yield apply
    signing.signing_keys.cache_clear()


def registered():
    body = {
        "email": "owner@example.com",
        "password": "correct horse battery",
        "fullName": "Sara",
        "storeName": "Sara's",
    }
    return anonymous().post("/auth/register", body).json()


def status_of(token):
    client = ApiClient("/api/v1/store", Authorization=f"Bearer {token}")
    return client.get("/api/v1/auth/me").status_code


@pytest.mark.parametrize("algorithm", list(MAKE_KEY))
def test_others_verify_a_token_by_the_published_keys(db, keyed, algorithm):
    keyed(algorithm)

    token = registered()["accessToken"]

    assert status_of(token) == 200
    published = jwt.PyJWKSet.from_dict(ApiClient("").get("/.well-known/jwks.json").json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=[algorithm], audience="store-api")
    assert claims["role"] == "store_owner"
    assert all("d" not in shown for shown in signing.public_keys())


def test_a_former_key_verifies_until_it_is_taken_away(db, keyed, settings):
    files = keyed("ES256", count=2)
    settings.JWT_KEY_FILES = files[::-1]
    signing.signing_keys.cache_clear()
    token = registered()["accessToken"]

    settings.JWT_KEY_FILES = files
    signing.signing_keys.cache_clear()
    assert status_of(token) == 200

    settings.JWT_KEY_FILES = files[:1]
    signing.signing_keys.cache_clear()
    assert status_of(token) == 401


def test_a_shared_secret_rotates_by_version_and_is_published_nowhere(db, settings):
    token = registered()["accessToken"]
    old = settings.KEYS["JWT_KEY"]
    settings.KEYS = {**settings.KEYS, "JWT_KEY": {9: b"n" * 40, **old}}
    signing.signing_keys.cache_clear()

    assert status_of(token) == 200
    settings.KEYS = {**settings.KEYS, "JWT_KEY": {9: b"n" * 40}}
    signing.signing_keys.cache_clear()
    assert status_of(token) == 401
    assert ApiClient("").get("/.well-known/jwks.json").status_code == 404
    signing.signing_keys.cache_clear()


@pytest.mark.parametrize("kid", [None, "nobody"])
def test_a_token_of_no_known_key_is_refused(db, settings, kid):
    claims = jwt.decode(registered()["accessToken"], options={"verify_signature": False})
    secret = next(iter(settings.KEYS["JWT_KEY"].values()))
    headers = {"kid": kid} if kid else {}

    forged = jwt.encode(claims, secret, algorithm="HS256", headers=headers)

    assert status_of(forged) == 401
