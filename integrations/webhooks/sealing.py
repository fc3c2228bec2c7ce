"""An endpoint's secrets at rest: encrypted, and bound to its id."""

from django.utils import timezone

from integrations.webhooks.models import Endpoint
from storeplatform.kernel.crypto import decrypt, encrypt


def context_of(endpoint: Endpoint) -> bytes:
    return b"webhook" + endpoint.pk.bytes


def sealed(endpoint: Endpoint, secret: bytes) -> bytes:
    return encrypt(secret, context_of(endpoint))


def secrets_of(endpoint: Endpoint) -> list[bytes]:
    """The secrets that sign at this moment, the newest first."""
    found = [decrypt(bytes(endpoint.secret), context_of(endpoint))]
    until = endpoint.previous_expires_at
    if endpoint.previous_secret and until and until > timezone.now():
        found.append(decrypt(bytes(endpoint.previous_secret), context_of(endpoint)))
    return found
