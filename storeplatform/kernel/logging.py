"""Logs: one JSON object a line, without secrets (reliability.md, section 5)."""

import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

SECRET_NAMES = re.compile(
    r"key$|secret|token|password|authorization|cookie|code$|otp", re.IGNORECASE
)
SECRET_SHAPES = re.compile(
    r"st[kt]_[0-9A-Za-z]{16}\.[0-9A-Za-z]+"  # API keys
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"  # JSON web tokens
    r"|(?:hub|whsec|wgt)_[\w+/=-]{8,}"
    r"|\+\d{8,15}"  # phone numbers
)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if name != "event" and SECRET_NAMES.search(name):
            event[name] = "[redacted]"
        elif isinstance(value, str) and len(value) > 8:
            event[name] = SECRET_SHAPES.sub("[redacted]", value)
    return event


def render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)


class JSONFormatter(logging.Formatter):
    """Records of Django and other libraries in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        event: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            **structlog.contextvars.get_contextvars(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        event = redact(None, "", event)
        event["event"] = SECRET_SHAPES.sub("[redacted]", str(event["event"]))
        return render(None, "", event).decode()


def configure(level: str) -> None:
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            render,
        ],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
    )
