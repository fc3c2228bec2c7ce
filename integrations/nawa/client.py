"""HTTP calls to Nawa: bounded in time and size, repeated under one key, answers checked."""

import asyncio
import random
import ssl
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import httpx
import orjson
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storeplatform.kernel.providers import (
    Breaker,
    Paused,
    ProviderFault,
    Refused,
    Uncertain,
    Unreachable,
)
from storeplatform.kernel.strict_json import MalformedJSON, loads

CONNECT_SECONDS = 5
MAX_BYTES = 2**20
TRIES = 3
PAUSES = (0.2, 0.6)  # before the second and the third try
OUR_KEY_IS_WRONG = "unauthorized"
PATIENCE = 2.0  # the longest Retry-After that is waited for at once

breaker = Breaker()


class Shape(BaseModel):
    """What an answer must look like; members we do not know are ignored."""

    model_config = ConfigDict(extra="ignore", str_max_length=500)


class Problem(Shape):
    code: str = Field(default="refused", max_length=64)
    message: str = ""


S = TypeVar("S", bound=Shape)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes
    retry_after: float


@cache
def trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def call(
    path: str, body: dict[str, Any], shape: type[S], *, key: str, within: float | None = None
) -> S:
    """POST and read the answer as `shape`. What may have failed in passing is tried again under
    the same key, `within` seconds in all. Raises the faults of `kernel.providers`."""
    deadline = time.monotonic() + within if within else None
    fault: ProviderFault | None = None
    for tried in range(TRIES):
        limit = settings.NAWA_TIMEOUT_SECONDS
        if deadline is not None:
            limit = min(limit, deadline - time.monotonic())
            if limit <= 0.05:
                break
        try:
            return one_try(path, body, shape, key, limit)
        except Paused as error:
            fault = fault or error
            break
        except Refused as refusal:
            if isinstance(fault, Uncertain):  # it may be under way: no word on the first try
                raise Uncertain(f"After a lost answer: {refusal}") from refusal
            raise
        except (Unreachable, Uncertain) as error:
            # once it may have happened, a later plain failure does not take that back
            fault = fault if isinstance(fault, Uncertain) else error
            if tried < len(PAUSES):
                time.sleep(pause_before(tried, error, deadline))
    raise fault or Unreachable("There was no time left.")


def pause_before(tried: int, error: ProviderFault, deadline: float | None) -> float:
    wanted = max(PAUSES[tried], min(getattr(error, "retry_after", 0.0), PATIENCE))
    wanted *= random.uniform(0.8, 1.2)  # noqa: S311  # a pause, not a secret
    left = deadline - time.monotonic() if deadline is not None else wanted
    return max(0.0, min(wanted, left))


def one_try(path: str, body: dict[str, Any], shape: type[S], key: str, limit: float) -> S:
    breaker.check()
    try:
        answer = asyncio.run(exchange(path, body, key, limit))
        result = read(answer, shape)
    except Refused:
        breaker.succeeded()
        raise
    except ProviderFault as fault:
        if getattr(fault, "counts", True):
            breaker.failed()
        raise
    breaker.succeeded()
    return result


async def exchange(path: str, body: dict[str, Any], key: str, limit: float) -> Answer:
    """One request; the whole of it, the name's look-up apart, ends within `limit` seconds."""
    headers = {
        "Authorization": f"Bearer {settings.NAWA_API_KEY}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Idempotency-Key": key,
        "User-Agent": "store-platform",
    }
    try:
        async with (
            asyncio.timeout(limit),
            httpx.AsyncClient(
                timeout=httpx.Timeout(limit, connect=min(CONNECT_SECONDS, limit)),
                verify=trust(),
                trust_env=False,
                follow_redirects=False,
            ) as http,
            http.stream(
                "POST", settings.NAWA_BASE_URL + path, content=orjson.dumps(body), headers=headers
            ) as response,
        ):
            content = bytearray()
            async for part in response.aiter_raw():
                content += part
                if len(content) > MAX_BYTES:
                    raise Uncertain("The answer is larger than 1 MiB.")
            return Answer(response.status_code, bytes(content), retry_after_of(response))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise Unreachable(type(error).__name__) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Uncertain(type(error).__name__) from error


def retry_after_of(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def read(answer: Answer, shape: type[S]) -> S:
    status = answer.status
    if 200 <= status < 300:
        try:
            return shape.model_validate(loads(answer.content))
        except (MalformedJSON, ValidationError) as error:
            raise Uncertain("The answer is not what was agreed.") from error
    if status in (408, 425):
        raise Uncertain(f"Nawa answered {status}.")
    if status == 429 or status >= 500:
        fault = Unreachable(f"Nawa answered {status}.")
        fault.retry_after = answer.retry_after  # type: ignore[attr-defined]
        fault.counts = status != 429  # type: ignore[attr-defined]  # busy is not broken
        raise fault
    if 400 <= status < 500:
        try:
            problem = Problem.model_validate(loads(answer.content))
        except (MalformedJSON, ValidationError):
            problem = Problem()
        if problem.code == OUR_KEY_IS_WRONG:  # nobody's parcel or account is refused by that
            raise Unreachable("Nawa does not take our key.")
        raise Refused(problem.code, problem.message or f"Nawa answered {status}.")
    raise Uncertain(f"Nawa answered {status}.")  # a redirect, which is never followed
