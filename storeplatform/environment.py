"""Every setting of the project, read from the environment.

`Environment` is the complete list: a name that is not here is read nowhere. Production needs each
secret from outside; development keeps generated ones in `STATE_DIR/secrets.json`. What Django and
the packages make of it stands in `settings.py`.
"""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

BASE_DIR = Path(__file__).resolve().parent.parent
DEMO_MARK = "demo-"  # begins every generated secret, so that production can refuse it
SECRET_NAMES = (
    "SECRET_KEY",
    "JWT_KEY",
    "API_KEY_PEPPER",
    "TOKEN_KEY",
    "OTP_KEY",
    "CURSOR_KEY",
    "FIELD_KEY",
)

KEY_ADVICE = "Give 32 random bytes or more: openssl rand -base64 36. To renew: 2:new,1:old."
# What to write, for each setting; shown when its value is wrong.
FIXES = {
    "APP_ENV": "Write production or development; production without it.",
    "STATE_DIR": "Name a folder that the server may write to.",
    "DATABASE_URL": "Write postgresql://user:password@host:5432/name, or APP_ENV=development to"
    " have a server of its own started.",
    "REDIS_URL": "Write redis://host:6379/0, rediss://… with TLS, or unix:///path?db=0;"
    " APP_ENV=development starts one.",
    "HOST": "Write the address to listen at, 127.0.0.1 behind a proxy on this machine, else"
    " 0.0.0.0.",
    "PORT": "Write a free port from 1 to 65535; 8000 without it.",
    "WORKERS": "Write the number of processes, 1 to 64: one for each core; 2 without it.",
    "THREADS": "Write the threads of each process, 1 to 256; 16 without it.",
    "ALLOWED_HOSTS": "List the names served, with commas: api.example.com,api2.example.com.",
    "CORS_ORIGINS": "List the dashboards' origins, with commas: https://app.example.com.",
    "PUBLIC_ORIGIN": "Write the address that clients use: https://api.example.com.",
    "TRUSTED_PROXY_COUNT": "Write how many proxies stand in front, 0 to 10; 0 without it.",
    "BEHIND_TLS": "Write true when a proxy in front ends TLS, else false.",
    "RATE_LIMITS": "Write on, count (headers but no refusals) or off; on without it.",
    "HUB": 'Write a JSON object of names in chat/signalr/settings.py, {"ping_seconds": 15}.',
    "IDEMPOTENCY_RETENTION_DAYS": "Write for how many days repeats are answered; 7 without it.",
    "LOG_LEVEL": "Write DEBUG, INFO, WARNING or ERROR; INFO without it.",
    "JWT_ALGORITHM": "Write HS256, RS256, ES256 or EdDSA; HS256 without it.",
    "JWT_KEY_FILES": "List PEM private keys, with commas, the signing one first:"
    " openssl genpkey -algorithm ed25519.",
    "EMAIL_URL": "Write smtp+tls://user:password@host:587, or smtps://… on port 465.",
    "EMAIL_FROM": "Write a sender, Store Platform <no-reply@example.com>.",
    "OTP_PROVIDER": "List providers, with commas, the first tried first: nawa, console; file and"
    " memory in development.",
    "OTP_FILE": "Name a file that codes are appended to, in development.",
    "OTP_EXPOSE_CODE": "Remove it; development may write true or false.",
    "Nawa__BaseUrl": "Write the provider's address: https://api.example.com.",
    "Nawa__ApiKey": "Write the key that the provider gave.",
    "Nawa__WebhookSecret": "Write the secret that the provider signs its webhooks with.",
    "Nawa__WebhookSecretPrevious": "Write the former secret while the provider changes it, or"
    " remove it.",
    "Nawa__TimeoutSeconds": "Write seconds above 0, 60 at most; 10 without it.",
    "OUTBOUND_LOOPBACK": "Remove it; development may write true or false.",
    "TASKS": "Write database or celery; database without it.",
    "ADMIN_SECOND_FACTOR": "Write required or optional; required in production without it.",
    "MCP_CLIENT_HOSTS": "List host names of AI agents' makers, with commas: claude.ai.",
    "METRICS_TOKEN": "Give 16 characters or more, openssl rand -hex 24, to the scraper too.",
    "METRICS_DIR": "Name a folder on this machine's own disk.",
    "TRACES_URL": "Write http://collector:4318/v1/traces and pip install -r requirements-otel.txt,"
    " or remove it.",
    **dict.fromkeys(SECRET_NAMES, KEY_ADVICE),
}
SCHEMES = {
    "DATABASE_URL": ("postgresql", "postgres"),
    "REDIS_URL": ("redis", "rediss", "unix"),
    "PUBLIC_ORIGIN": ("https", "http"),
    "EMAIL_URL": ("smtp+tls", "smtps", "smtp"),
    "NAWA_BASE_URL": ("https", "http"),
    "TRACES_URL": ("https", "http"),
}
OTP_PROVIDER_NAMES = {"nawa", "console", "file", "memory"}

Words = Annotated[list[str], NoDecode]
Paths = Annotated[list[Path], NoDecode]


class Environment(BaseSettings):
    """The settings an operator may give, one environment variable each."""

    model_config = SettingsConfigDict(case_sensitive=True, extra="ignore")

    APP_ENV: Literal["development", "production"] = "production"
    STATE_DIR: Path = BASE_DIR / "var"
    DATABASE_URL: str = ""
    REDIS_URL: str = ""
    HOST: str = "127.0.0.1"
    PORT: int = Field(default=8000, ge=1, le=65535)
    WORKERS: int = Field(default=2, ge=1, le=64)
    THREADS: int = Field(default=16, ge=1, le=256)
    ALLOWED_HOSTS: Words = []
    CORS_ORIGINS: Words = []
    PUBLIC_ORIGIN: str = ""
    TRUSTED_PROXY_COUNT: int = Field(default=0, ge=0, le=10)
    BEHIND_TLS: bool = False
    RATE_LIMITS: Literal["on", "count", "off"] = "on"
    # Whose client ID metadata documents are read; `.host` takes its subdomains.
    MCP_CLIENT_HOSTS: Words = [
        "claude.ai",
        ".anthropic.com",
        "chatgpt.com",
        ".openai.com",
        "vscode.dev",
        "cursor.com",
    ]
    HUB: dict[str, int | float] = {}  # numbers of chat/signalr/settings.py by name, as JSON
    IDEMPOTENCY_RETENTION_DAYS: int = Field(default=7, ge=1)
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    JWT_ALGORITHM: Literal["HS256", "RS256", "ES256", "EdDSA"] = "HS256"
    JWT_KEY_FILES: Paths = []  # PEM private keys for all but HS256; the first signs, all verify
    EMAIL_URL: str = ""
    EMAIL_FROM: str = "Store Platform <no-reply@localhost>"
    OTP_PROVIDER: Words = ["console"]
    OTP_FILE: Path | None = None
    OTP_EXPOSE_CODE: bool = False
    NAWA_BASE_URL: str = Field(default="", validation_alias="Nawa__BaseUrl")
    NAWA_API_KEY: str = Field(default="", validation_alias="Nawa__ApiKey")
    NAWA_WEBHOOK_SECRET: str = Field(default="", validation_alias="Nawa__WebhookSecret")
    NAWA_WEBHOOK_SECRET_PREVIOUS: str = Field(
        default="", validation_alias="Nawa__WebhookSecretPrevious"
    )
    NAWA_TIMEOUT_SECONDS: float = Field(
        default=10, gt=0, le=60, validation_alias="Nawa__TimeoutSeconds"
    )
    OUTBOUND_LOOPBACK: bool = False  # webhooks to receivers on this machine, by http too
    TASKS: Literal["database", "celery"] = "database"  # who runs background tasks
    ADMIN_SECOND_FACTOR: Literal["", "optional", "required"] = ""  # required in production
    METRICS_TOKEN: str = ""  # what a scraper of /metrics sends; no page in production without it
    METRICS_DIR: Path | None = None  # on this machine's own disk
    TRACES_URL: str = ""  # of an OpenTelemetry collector; needs requirements-otel.txt

    # Secrets: `version:value` with commas, the current one first, or one bare value.
    SECRET_KEY: str = ""  # Django's signing: admin sessions, CSRF
    JWT_KEY: str = ""  # signs access and refresh tokens
    API_KEY_PEPPER: str = ""  # keys the hashes of API keys
    TOKEN_KEY: str = ""  # keys the hashes of invitation and reset tokens
    OTP_KEY: str = ""  # derives one-time codes
    CURSOR_KEY: str = ""  # signs list cursors
    FIELD_KEY: str = ""  # encrypts fields at rest

    @field_validator(
        "ALLOWED_HOSTS",
        "CORS_ORIGINS",
        "OTP_PROVIDER",
        "JWT_KEY_FILES",
        "MCP_CLIENT_HOSTS",
        mode="before",
    )
    @classmethod
    def split_words(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [word.strip() for word in value.split(",") if word.strip()]
        return value

    @model_validator(mode="after")
    def fill_development_values(self) -> Self:
        if self.APP_ENV != "development":
            return self
        generated = development_secrets(self.STATE_DIR)
        for name in SECRET_NAMES:
            if not getattr(self, name):
                setattr(self, name, generated[name])
        run = self.STATE_DIR.resolve() / "run"
        self.DATABASE_URL = self.DATABASE_URL or f"postgresql://store@/store?host={run}"
        self.REDIS_URL = self.REDIS_URL or f"unix://{run}/valkey.sock?db=0"
        self.ALLOWED_HOSTS = self.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]", "testserver"]
        return self

    # What is wrong beyond types: (setting, fault). All faults are told at once.

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from self.faulty_addresses()
        yield from self.faulty_keys()
        yield from self.faulty_providers()
        yield from self.faulty_hub()
        if self.APP_ENV == "production":
            yield from self.unsafe_in_production()
        if self.METRICS_TOKEN and len(self.METRICS_TOKEN) < 16:
            yield "METRICS_TOKEN", "is shorter than 16 characters"
        if self.TRACES_URL and not has_package("opentelemetry.sdk"):
            yield "TRACES_URL", "needs a package that is not installed"

    def faulty_addresses(self) -> Iterator[tuple[str, str]]:
        for name, schemes in SCHEMES.items():
            value: str = getattr(self, name)
            try:
                url = urlsplit(value)
                _ = url.port
            except ValueError as error:
                yield wire(name), f"cannot be read: {error}"
                continue
            if not value:
                continue
            if url.scheme not in schemes:
                yield wire(name), f"begins with '{url.scheme}:', not {' or '.join(schemes)}"
            elif name == "DATABASE_URL" and not url.path.strip("/"):
                yield name, "names no database after the host"
            elif url.scheme in ("http", "https", "smtp", "smtps", "smtp+tls") and not url.hostname:
                yield wire(name), "names no host"
            elif name == "PUBLIC_ORIGIN" and (url.path.strip("/") or url.query):
                yield name, "has a path; it is scheme and host only"
        for host in self.MCP_CLIENT_HOSTS:
            if not re.fullmatch(r"[\w.*-]+", host):
                yield "MCP_CLIENT_HOSTS", f"has '{host}', which is no host name"
        for origin in self.CORS_ORIGINS:
            url = urlsplit(origin)
            if url.scheme not in ("http", "https") or not url.netloc or url.path:
                yield "CORS_ORIGINS", f"has '{origin}', which is no origin"

    def faulty_keys(self) -> Iterator[tuple[str, str]]:
        if self.JWT_ALGORITHM != "HS256" and not self.JWT_KEY_FILES:
            yield "JWT_KEY_FILES", f"is not set, but JWT_ALGORITHM is {self.JWT_ALGORITHM}"
        for file in self.JWT_KEY_FILES:
            if not file.is_file():
                yield "JWT_KEY_FILES", f"names {file}, which is no file"
            elif b"PRIVATE KEY" not in file.read_bytes():
                yield "JWT_KEY_FILES", f"names {file}, which is no PEM private key"
        seen: dict[bytes, str] = {}
        for name in SECRET_NAMES:
            value: str = getattr(self, name)
            if not value:
                yield name, "is not set"
                continue
            try:
                versions = key_versions(name, value)
            except ValueError as error:
                yield name, str(error).removeprefix(f"{name}: ")
                continue
            if self.APP_ENV == "production" and DEMO_MARK in value:
                yield name, "is a generated secret of development"
            for key in versions.values():
                if key in seen:
                    yield name, f"equals {seen[key]}; each secret is its own"
                seen[key] = name

    def faulty_providers(self) -> Iterator[tuple[str, str]]:
        if unknown := set(self.OTP_PROVIDER) - OTP_PROVIDER_NAMES:
            yield "OTP_PROVIDER", f"names '{min(unknown)}', which there is not"
        if not self.OTP_PROVIDER:
            yield "OTP_PROVIDER", "is empty"
        if "nawa" in self.OTP_PROVIDER and not self.NAWA_BASE_URL:
            yield "Nawa__BaseUrl", "is not set, but OTP_PROVIDER names nawa"
        if self.NAWA_BASE_URL and not self.NAWA_API_KEY:
            yield "Nawa__ApiKey", "is not set, but Nawa__BaseUrl is"

    def faulty_hub(self) -> Iterator[tuple[str, str]]:
        from chat.signalr.settings import Settings

        if unknown := set(self.HUB) - {field.name for field in fields(Settings)}:
            yield "HUB", f"names '{min(unknown)}', which there is not"

    def unsafe_in_production(self) -> Iterator[tuple[str, str]]:
        for name in ("DATABASE_URL", "REDIS_URL", "PUBLIC_ORIGIN", "ALLOWED_HOSTS"):
            if not getattr(self, name):
                yield name, "is not set"
        if "*" in self.ALLOWED_HOSTS:
            yield "ALLOWED_HOSTS", "has '*', so any name would be answered"
        if self.OTP_EXPOSE_CODE:
            yield "OTP_EXPOSE_CODE", "shows one-time codes to callers"
        if self.OUTBOUND_LOOPBACK:
            yield "OUTBOUND_LOOPBACK", "lets merchants call this machine"
        if unsafe := {"file", "memory"} & set(self.OTP_PROVIDER):
            yield "OTP_PROVIDER", f"names '{min(unsafe)}', which is for development"
        url = urlsplit(self.NAWA_BASE_URL)
        if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            yield "Nawa__BaseUrl", "begins with http://, so its key would travel in the open"
        for name in ("NAWA_WEBHOOK_SECRET", "NAWA_WEBHOOK_SECRET_PREVIOUS"):
            if 0 < len(getattr(self, name)) < 24:
                yield wire(name), "is shorter than 24 characters"


def wire(name: str) -> str:
    """A field's name as the environment spells it."""
    alias = Environment.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else name


def has_package(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def key_versions(name: str, value: str) -> dict[int, bytes]:
    """Key material by version, the current one first."""
    versions: dict[int, bytes] = {}
    for part in value.split(","):
        number, colon, material = part.strip().partition(":")
        if not colon:
            number, material = "1", part.strip()
        if not number.isdecimal() or int(number) in versions:
            raise ValueError(f"{name}: '{number}' is not a new version number")
        if len(material.encode()) < 32:
            raise ValueError(f"{name}: version {number} is shorter than 32 bytes")
        versions[int(number)] = material.encode()
    return versions


def development_secrets(state_dir: Path) -> dict[str, str]:
    """The secrets kept in the state folder, made on first use. Two processes get the same ones."""
    file = state_dir / "secrets.json"
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if all(name in kept for name in SECRET_NAMES):
        return kept
    state_dir.mkdir(parents=True, exist_ok=True)
    made = {name: DEMO_MARK + secrets.token_urlsafe(36) for name in SECRET_NAMES} | kept
    handle, draft = tempfile.mkstemp(dir=state_dir, prefix="secrets.")
    with os.fdopen(handle, "w") as draft_file:
        json.dump(made, draft_file)
    try:
        if kept:
            Path(draft).replace(file)
        else:
            os.link(draft, file)  # fails when another process was first: its secrets count
    except FileExistsError:
        return development_secrets(state_dir)
    finally:
        Path(draft).unlink(missing_ok=True)
    return made


def database_from_url(url: str) -> dict[str, Any]:
    """Django's database entry for `postgresql://user:password@host:port/name?host=/socket/folder`."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://; see README.")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or options.pop("port", "")),
        "OPTIONS": options,
    }


def read_environment() -> Environment:
    """The settings; what is wrong with them ends the process with a sentence for each."""
    try:
        read = Environment()
        faults = list(read.faults())
    except ValidationError as error:
        faults = [
            (str(fault["loc"][0]), shown(fault)) if fault["loc"] else ("", fault["msg"])
            for fault in error.errors()
        ]
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        faults = [(found[1] if found else "", "is no JSON")]
    if faults:
        lines = [f"  {name} {fault}.\n      {FIXES.get(name, '')}" for name, fault in faults]
        raise SystemExit("\n".join(["The server cannot start; correct the environment:", *lines]))
    return read


def shown(fault: Any) -> str:
    """pydantic's sentence with the value that was given, unless that may be a secret."""
    what = fault["msg"][:1].lower() + fault["msg"][1:]
    is_secret = re.search(r"KEY|SECRET|TOKEN|PEPPER|URL", str(fault["loc"][0]), re.IGNORECASE)
    return f"is wrong: {what}" if is_secret else f"is '{fault['input']}': {what}"
