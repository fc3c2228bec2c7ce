"""What a rule raises when it says no. `problems.py` turns each into problem+json."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """The request cannot be carried out as it stands; nothing has been changed.

    `code` is stable and for machines, `message` a sentence for people. `fields` names the inputs at
    fault as they are spelled on the wire; `details` are further members of the problem object.
    """

    status = 400

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        errors: Mapping[str, list[str]] | None = None,
        **fields: list[str],
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.errors = {**(errors or {}), **fields}
        self.headers: dict[str, str] = {}


def refuse(field: str, code: str, message: str) -> Refusal:
    """A refusal because of one input, named as it is spelled on the wire."""
    return Refusal(code, message, errors={field: [message]})


class Unauthenticated(Refusal):
    """No credential, or one that does not hold. `scheme` fills WWW-Authenticate."""

    status = 401

    def __init__(self, code: str, message: str, *, scheme: str = "Bearer") -> None:
        super().__init__(code, message)
        self.headers["WWW-Authenticate"] = scheme


class Denied(Refusal):
    status = 403


class NotFound(Refusal):
    """Also what another store's row looks like."""

    status = 404

    def __init__(
        self, code: str = "not_found", message: str = "There is no such thing here."
    ) -> None:
        super().__init__(code, message)


class Conflict(Refusal):
    """The request is fine, the present state is in its way."""

    status = 409


class Gone(Refusal):
    """It was here and is not kept any more."""

    status = 410


class PreconditionFailed(Refusal):
    status = 412


class PayloadTooLarge(Refusal):
    status = 413


class UnsupportedMedia(Refusal):
    status = 415


class Unprocessable(Refusal):
    status = 422


class TooMany(Refusal):
    """A limit is reached; `retry_after` seconds from now it is worth another try."""

    status = 429

    def __init__(self, code: str, message: str, *, retry_after: int, policy: str = "") -> None:
        details: dict[str, Any] = {"retryAfterSeconds": retry_after}
        if policy:
            details["policy"] = policy
        super().__init__(code, message, details=details)
        self.headers["Retry-After"] = str(retry_after)


class BadGateway(Refusal):
    """A provider refused or failed."""

    status = 502


class Unavailable(Refusal):
    status = 503

    def __init__(
        self, message: str = "The service is busy; try again.", retry_after: int = 1
    ) -> None:
        super().__init__("unavailable", message)
        self.headers["Retry-After"] = str(retry_after)
