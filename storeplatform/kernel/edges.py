"""What everything that answers HTTP shares, inside of Django and before it: the id of a request
and the problem object (RFC 9457)."""

import re
from typing import Any

from storeplatform.kernel.ids import uuid7

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
TITLES = {
    "validation_error": "One or more fields are invalid.",
    "not_found": "There is no such thing here.",
    "internal_error": "The server failed to answer; the fault is ours and was recorded.",
}


def request_id_of(given: str) -> str:
    """What X-Request-Id names, else a new one."""
    return given if REQUEST_ID.fullmatch(given) else f"req_{uuid7().hex}"


def problem_object(
    origin: str, status: int, code: str, message: str, path: str, request_id: str
) -> dict[str, Any]:
    """The members of every problem. `message` is the title, or where the code has one of its own,
    the detail."""
    title = TITLES.get(code, message)
    body = {"type": f"{origin}/problems/{code}", "title": title, "status": status, "code": code}
    if message != title:
        body["detail"] = message
    return body | {"instance": path, "requestId": request_id}
