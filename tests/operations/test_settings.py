"""A start with a bad setting names the setting, what is wrong with its value, and what to write."""

import os
import subprocess
import sys

import pytest

from storeplatform import settings as module
from storeplatform.environment import FIXES, SECRET_NAMES, Environment, wire
from tests.servers import ROOT

GOOD = {
    "APP_ENV": "production",
    "DATABASE_URL": "postgresql://store:x@db.internal:5432/store",
    "REDIS_URL": "redis://cache.internal:6379/0",
    "ALLOWED_HOSTS": "api.example.com",
    "PUBLIC_ORIGIN": "https://api.example.com",
    "OTP_PROVIDER": "console",
} | {name: f"1:{name.lower():x<40}" for name in SECRET_NAMES}
NAWA = {"Nawa__BaseUrl": "https://nawa.example", "Nawa__ApiKey": "key", "OTP_PROVIDER": "nawa"}

CASES = [
    ("APP_ENV", "staging", "'staging'"),
    ("DATABASE_URL", "", "is not set"),
    ("DATABASE_URL", "mysql://db/store", "begins with 'mysql:'"),
    ("DATABASE_URL", "postgresql://db:5432", "names no database"),
    ("DATABASE_URL", "postgresql://db:port/store", "cannot be read"),
    ("REDIS_URL", "", "is not set"),
    ("REDIS_URL", "memcached://x", "begins with 'memcached:'"),
    ("PORT", "eighty", "'eighty'"),
    ("PORT", "70000", "less than or equal to 65535"),
    ("WORKERS", "0", "greater than or equal to 1"),
    ("THREADS", "many", "'many'"),
    ("ALLOWED_HOSTS", "", "is not set"),
    ("ALLOWED_HOSTS", "*", "any name would be answered"),
    ("CORS_ORIGINS", "app.example.com", "no origin"),
    ("CORS_ORIGINS", "https://app.example.com/page", "no origin"),
    ("PUBLIC_ORIGIN", "", "is not set"),
    ("PUBLIC_ORIGIN", "api.example.com", "not https or http"),
    ("PUBLIC_ORIGIN", "https://", "names no host"),
    ("PUBLIC_ORIGIN", "https://example.com/api", "has a path"),
    ("TRUSTED_PROXY_COUNT", "-1", "greater than or equal to 0"),
    ("BEHIND_TLS", "perhaps", "'perhaps'"),
    ("RATE_LIMITS", "some", "'some'"),
    ("HUB", "{ping", "no JSON"),
    ("HUB", '{"pings": 1}', "names 'pings'"),
    ("HUB", '{"ping_seconds": "x"}', "is '"),
    ("IDEMPOTENCY_RETENTION_DAYS", "0", "greater than or equal to 1"),
    ("LOG_LEVEL", "loud", "'loud'"),
    ("JWT_ALGORITHM", "none", "'none'"),
    ("JWT_KEY_FILES", "/nowhere.pem", "names /nowhere.pem, which is no file"),
    ("JWT_KEY_FILES", str(ROOT / "README.md"), "no PEM private key"),
    ("EMAIL_URL", "mail.example.com", "not smtp+tls"),
    ("OTP_PROVIDER", "pigeon", "names 'pigeon'"),
    ("OTP_PROVIDER", ",", "is empty"),
    ("OTP_PROVIDER", "file", "for development"),
    ("OTP_EXPOSE_CODE", "true", "shows one-time codes"),
    ("OTP_EXPOSE_CODE", "si", "'si'"),
    ("Nawa__BaseUrl", "nawa.example", "not https or http"),
    ("Nawa__BaseUrl", "http://nawa.example", "in the open"),
    ("Nawa__ApiKey", "", "is not set, but Nawa__BaseUrl is"),
    ("Nawa__WebhookSecret", "short", "shorter than 24"),
    ("Nawa__WebhookSecretPrevious", "short", "shorter than 24"),
    ("Nawa__TimeoutSeconds", "90", "less than or equal to 60"),
    ("OUTBOUND_LOOPBACK", "true", "lets merchants call this machine"),
    ("TASKS", "cron", "'cron'"),
    ("ADMIN_SECOND_FACTOR", "no", "'no'"),
    ("MCP_CLIENT_HOSTS", "https://claude.ai/x", "no host name"),
    ("METRICS_TOKEN", "short", "shorter than 16"),
    ("TRACES_URL", "collector:4318", "not https or http"),
    *((name, "", "is not set") for name in SECRET_NAMES),
    *((name, "1:short", "shorter than 32 bytes") for name in SECRET_NAMES),
    ("FIELD_KEY", GOOD["OTP_KEY"], "each secret is its own"),
    ("JWT_KEY", "demo-" + "x" * 40, "generated secret of development"),
    ("TOKEN_KEY", f"x:{'y' * 40}", "'x' is not a new version number"),
    ("CURSOR_KEY", f"1:{'y' * 40},1:{'z' * 40}", "not a new version number"),
]
# Any text is good for these.
FREE = {"STATE_DIR", "HOST", "EMAIL_FROM", "OTP_FILE", "METRICS_DIR"}


def start(monkeypatch, **given):
    names = {wire(name) for name in Environment.model_fields}
    for name in names & set(os.environ):
        monkeypatch.delenv(name)
    base = GOOD | (NAWA if any(name.startswith("Nawa") for name in given) else {})
    for name, value in (base | given).items():
        monkeypatch.setenv(name, value)
    return module.read_environment()


def test_what_the_examples_start_from_is_good(monkeypatch):
    assert start(monkeypatch).PORT == 8000
    assert start(monkeypatch, **NAWA).OTP_PROVIDER == ["nawa"]


@pytest.mark.parametrize(("name", "value", "fault"), CASES)
def test_a_bad_setting_is_named_with_its_fault_and_the_fix(monkeypatch, name, value, fault):
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, **{name: value})

    (line, *_) = [one for one in str(ended.value).splitlines() if f"  {name} " in one]
    assert fault in line, line
    assert FIXES[name] in str(ended.value)


def test_every_setting_has_a_fix_and_a_case():
    names = {wire(name) for name in Environment.model_fields}

    assert set(FIXES) == names
    assert {name for name, _, _ in CASES} | FREE == names


def test_values_of_secrets_are_not_printed(monkeypatch):
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, FIELD_KEY="1:hunter2", DATABASE_URL="mysql://u:hunter2@db/x")

    assert "FIELD_KEY" in str(ended.value)
    assert "DATABASE_URL" in str(ended.value)
    assert "hunter2" not in str(ended.value)


def test_the_asymmetric_algorithms_need_a_key(monkeypatch):
    with pytest.raises(SystemExit, match="JWT_ALGORITHM is ES256"):
        start(monkeypatch, JWT_ALGORITHM="ES256")


def test_a_start_tells_all_faults_without_a_traceback():
    given = GOOD | {"PUBLIC_ORIGIN": "", "FIELD_KEY": "", "ALLOWED_HOSTS": "*"}

    for command in (["-m", "storeplatform.run"], ["manage.py", "check"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        for name in ("PUBLIC_ORIGIN", "FIELD_KEY", "ALLOWED_HOSTS"):
            assert f"  {name} " in done.stderr
