"""The stack in containers, as far as it can be held to its word without a container: files, names, ports, settings."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from client.connection import DEFAULT_NAMESPACE
from client.namespace import RETENTION_DAYS
from settings import PROJECT, Settings

TEMPORAL_DEV = PROJECT / "temporal-dev"
COMPOSE: dict[str, Any] = yaml.safe_load((TEMPORAL_DEV / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = ("worker", "engine-worker")
README = (TEMPORAL_DEV / "README.md").read_text()
PINNED = re.compile(r"[a-z]+(?:/[a-z-]+)?:v?\d+\.\d+(?:\.\d+)?(?:-[a-z-]+)?")

BY_OTHERS = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"}
"""Variables that OpenTelemetry reads itself."""


def variables() -> set[str]:
    """Every variable that sets a setting, as pydantic-settings derives it."""
    aliases = {name: field.validation_alias for name, field in Settings.model_fields.items()}
    return {alias if isinstance(alias, str) else f"RESEARCH_{name.upper()}" for name, alias in aliases.items()}


def mounts() -> Iterator[tuple[str, str]]:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            yield name, mount.split(":")[0]


def published(service: dict[str, Any]) -> list[str]:
    return [str(port) for port in service.get("ports", [])]


def test_every_mounted_file_is_there() -> None:
    files = [source for _, source in mounts() if source.startswith(".")]
    assert len(files) >= 8
    assert [source for source in files if not (TEMPORAL_DEV / source).exists()] == []


def test_every_named_volume_is_declared_and_used() -> None:
    assert {source for _, source in mounts() if not source.startswith(".")} == set(COMPOSE["volumes"])


def test_who_waits_for_another_waits_for_one_that_can_get_there() -> None:
    waits = [(name, on, how) for name, each in SERVICES.items() for on, how in each.get("depends_on", {}).items()]
    assert waits
    for name, on, how in waits:
        assert on in SERVICES, name
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[on], f"{name} waits for {on}, whose health nobody asks"
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[on]["restart"].startswith("on-failure"), f"{on} would never be done"


def test_nobody_waits_in_a_circle() -> None:
    left = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    while ready := [name for name, on in left.items() if not on & set(left)]:
        for name in ready:
            del left[name]
    assert not left


def test_every_port_is_bound_to_this_machine_alone_and_stands_in_the_readme() -> None:
    ports = [port for service in SERVICES.values() for port in published(service)]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    table = re.findall(r"^\| `127\.0\.0\.1:(\d+)` \|", README, re.MULTILINE)
    assert sorted(table) == sorted(port.split(":")[1] for port in ports)
    assert len(set(table)) == len(table)


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]
    base = re.findall(r"^FROM (\S+)", (TEMPORAL_DEV / "Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in [*images, *base] if not PINNED.fullmatch(image)] == []
    assert not PINNED.fullmatch("grafana/grafana:latest")
    assert not PINNED.fullmatch("postgres:17")


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_variables_are_settings(name: str) -> None:
    given = set(SERVICES[name]["environment"])
    assert given <= variables() | BY_OTHERS
    assert {
        "TEMPORAL_ADDRESS",
        "RESEARCH_HOME",
        "RESEARCH_DATABASE_URL",
        "RESEARCH_METRICS_ADDRESS",
        *BY_OTHERS,
    } <= given
    assert "RESEARCH_SOMETHING" not in variables()


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_variables_make_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing set outside: what is empty counts as not set."""
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)))
    made = Settings()
    assert made.home == Path("/var/lib/research")
    assert made.store_url == "postgresql://temporal:temporal@postgresql:5432/research"
    assert (made.temporal_namespace, made.claude_key) == (DEFAULT_NAMESPACE, None)
    assert made.metrics_address == "0.0.0.0:9464"
    assert made.named_limits == type(made.named_limits)()


def test_both_workers_share_home_and_store_and_take_one_side_each() -> None:
    one, other = (SERVICES[name] for name in WORKERS)
    assert one["volumes"] == other["volumes"] == ["research-home:/var/lib/research"]
    assert one["environment"]["RESEARCH_DATABASE_URL"] == other["environment"]["RESEARCH_DATABASE_URL"]
    assert [each["command"] for each in (one, other)] == [
        ["worker", "--role", "orchestrator"],
        ["worker", "--role", "engine"],
    ]


def test_prometheus_scrapes_both_workers_where_they_listen_and_knows_the_alertmanager() -> None:
    config = yaml.safe_load((TEMPORAL_DEV / "prometheus.yml").read_text())
    (scraped,) = [each for each in config["scrape_configs"] if each["job_name"] == "research-worker"]
    listens = {SERVICES[name]["environment"]["RESEARCH_METRICS_ADDRESS"].split(":")[1] for name in WORKERS}
    (port,) = listens
    assert scraped["static_configs"][0]["targets"] == [f"{name}:{port}" for name in WORKERS]
    assert all(f"127.0.0.1:{port}/metrics" in str(SERVICES[name]["healthcheck"]["test"]) for name in WORKERS)
    (alertmanager,) = config["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_one_version_of_temporal_and_one_namespace() -> None:
    versions = {each["image"].split(":")[1] for name, each in SERVICES.items() if name.startswith("temporal")}
    assert versions - {SERVICES["temporal-ui"]["image"].split(":")[1]} == {"1.32.0"}
    made = (TEMPORAL_DEV / "temporal" / "namespace.sh").read_text()
    assert f"create --namespace {DEFAULT_NAMESPACE} --retention {RETENTION_DAYS}d" in made


def test_the_image_installs_by_hashes_and_what_it_copies_is_let_in() -> None:
    dockerfile = (TEMPORAL_DEV / "Dockerfile").read_text()
    assert dockerfile.count("pip install --require-hashes") == 2
    let_in = {
        line[1:] for line in (TEMPORAL_DEV / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert [name for name in let_in if not (PROJECT / name).exists()] == []
    project = (PROJECT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"^packages = \[(.*)\]", project, re.MULTILINE)
    rooms = {name.split(".")[0] for name in re.findall(r'"([\w.]+)"', packages)}
    assert rooms | {"settings.py", "worker.py", "pyproject.toml", "README.md", "requirements.txt"} <= let_in


def test_postgresqls_driver_is_pinned_with_hashes_beside_the_lock() -> None:
    text = (TEMPORAL_DEV / "requirements-postgres.txt").read_text()
    pinned = re.findall(r"^([a-z-]+)==([\d.]+)[^\n]*\\\n\s+--hash=sha256:", text, re.MULTILINE)
    assert [name for name, _ in pinned] == ["psycopg", "psycopg-binary"]
    assert len({version for _, version in pinned}) == 1
    assert not re.search(r"^psycopg", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert "://" not in text


def test_alertmanager_silences_only_alerts_that_there_are() -> None:
    rules = yaml.safe_load((TEMPORAL_DEV / "rules" / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in rules for rule in group["rules"]}
    config = yaml.safe_load((TEMPORAL_DEV / "alertmanager.yml").read_text())
    named = set(re.findall(r"Research\w+", str(config["inhibit_rules"])))
    assert named <= alerts
    assert {config["route"]["receiver"]} == {receiver["name"] for receiver in config["receivers"]}


def test_the_readme_says_a_line_about_every_alert() -> None:
    rules = yaml.safe_load((TEMPORAL_DEV / "rules" / "alerts.yml").read_text())["groups"]
    table = re.findall(r"^\| `(Research\w+)` \| (critical|warning) \|", README, re.MULTILINE)
    assert table == [(rule["alert"], rule["labels"]["severity"]) for group in rules for rule in group["rules"]]


@pytest.mark.parametrize("script", sorted((TEMPORAL_DEV / "temporal").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_stops_at_the_first_error(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in script.read_text()
    assert script.stat().st_mode & stat.S_IROTH, "the container's user reads it"
