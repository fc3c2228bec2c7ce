"""The files that deploy are well formed, and name only settings that the code reads."""

import re
import shutil
import subprocess

import pytest
import yaml

from storeplatform.environment import SECRET_NAMES, Environment, wire
from tests.servers import ROOT

DEPLOY = ROOT / "deploy"
SETTINGS = {wire(name) for name in Environment.model_fields}
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "SITE_ADDRESS"}  # read by compose.yaml itself
SERVICE_KEYS = {
    "build", "image", "env_file", "environment", "volumes", "depends_on", "restart", "read_only",
    "stop_grace_period", "tmpfs", "cap_drop", "security_opt", "healthcheck", "profiles", "command",
    "ports", "shm_size",
}  # fmt: skip
UNIT_KEYS = {
    "Unit": {"Description", "After", "Wants"},
    "Install": {"WantedBy"},
    "Timer": {"OnCalendar", "RandomizedDelaySec", "Persistent"},
}


def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def manifests():
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def env_names(text):
    return set(re.findall(r"^(?:export )?(\w+)=", text, re.MULTILINE))


def test_the_compose_file_holds_together():
    made = compose()
    services = made["services"]

    assert set(made) <= {"name", "services", "volumes", "x-platform"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert "image" in service or "build" in service
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in made["volumes"]
    for variable in re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()):
        assert variable in COMPOSE_ONLY


def test_the_compose_file_names_settings_only():
    for name in ("server", "backup"):
        assert set(compose()["services"][name]["environment"]) <= SETTINGS


def test_the_example_of_an_environment_is_complete():
    text = (DEPLOY / "env.example").read_text()
    names = env_names(text)

    assert names - COMPOSE_ONLY <= SETTINGS
    assert set(SECRET_NAMES) <= names
    given = set(compose()["services"]["server"]["environment"])
    assert {"DATABASE_URL", "REDIS_URL"} <= given
    assert {"ALLOWED_HOSTS", "PUBLIC_ORIGIN"} <= names


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.service")) + sorted(DEPLOY.glob("*.timer")))
def test_units_are_well_formed(file):
    section = None
    for line in file.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            assert section in {"Unit", "Service", "Install", "Timer"}
            continue
        key, equals, _ = line.partition("=")
        assert equals, line
        assert re.fullmatch(r"[A-Z]\w+", key), line
        if section in UNIT_KEYS:
            assert key in UNIT_KEYS[section], line
        if key == "Environment":
            assert set(re.findall(r"(\w+)=", line.partition("=")[2])) <= SETTINGS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_accepts_the_units(tmp_path):
    for file in [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")]:
        text = file.read_text().replace("/opt/store-platform/.venv/bin/python", "/bin/true")
        (tmp_path / file.name).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True, text=True,
    )  # fmt: skip

    ours = [
        line for line in done.stderr.splitlines()
        if "store-platform" in line and "postgresql.service" not in line
    ]  # fmt: skip
    assert not ours, ours


def test_the_manifest_holds_together():
    found = {(one["kind"], one["metadata"]["name"]): one for one in manifests()}
    config = found["ConfigMap", "store-platform"]["data"]

    assert set(config) <= SETTINGS
    assert all(isinstance(value, str) for value in config.values())
    labels = []
    for (kind, name), one in found.items():
        assert one["apiVersion"], name
        if kind not in ("Deployment", "Job"):
            continue
        pod = one["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        assert {"configMapRef": {"name": "store-platform"}} in container["envFrom"]
        assert {"secretRef": {"name": "store-platform"}} in container["envFrom"]
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod["spec"].get("volumes", [])}
        if kind == "Deployment":
            labels.append(pod["metadata"]["labels"])
            assert one["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert found["Service", "store-platform"]["spec"]["selector"] in labels
    assert (
        found["PodDisruptionBudget", "store-platform-server"]["spec"]["selector"]["matchLabels"]
        in labels
    )
    claims = [name for kind, name in found if kind == "PersistentVolumeClaim"]
    assert claims == ["store-platform-state"]


def test_probes_ask_a_name_that_is_served():
    for one in manifests():
        if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("server"):
            (container,) = one["spec"]["template"]["spec"]["containers"]
            hosts = {
                header["value"]
                for probe in ("livenessProbe", "readinessProbe")
                for header in container[probe]["httpGet"]["httpHeaders"]
            }
            config = next(two for two in manifests() if two["kind"] == "ConfigMap")["data"]
            assert hosts == {config["ALLOWED_HOSTS"]}


def test_the_operators_page_names_what_there_is():
    page = (ROOT / "DOCS" / "operations.md").read_text()

    for name in re.findall(r"manage\.py (\w+)", page):
        assert list(ROOT.glob(f"**/management/commands/{name}.py")) or name in (
            "migrate", "createsuperuser", "check",
        ), name  # fmt: skip
    for file in re.findall(r"`(deploy/[\w.-]+|compose\.yaml|Dockerfile)`", page):
        assert (ROOT / file).exists(), file
    for name in re.findall(r"`([A-Z][A-Z_]{5,})`", page):
        assert name in SETTINGS | COMPOSE_ONLY, name
