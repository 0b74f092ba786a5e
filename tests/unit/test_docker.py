"""Dockerfile and docker-compose.yml name only commands, options, settings and files that exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

from corpus.settings import PREFIX, Settings
from tests.commands import faults

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions with their arguments."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def compose() -> dict[str, dict[str, dict[str, object]]]:
    """Return the parsed compose file."""
    parsed: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
        (ROOT / "docker-compose.yml").read_text()
    )
    return parsed


def test_the_image_runs_a_command_that_exists() -> None:
    """ENTRYPOINT is `rag` and CMD one of its commands, with its options."""
    instructions = dict(dockerfile())
    assert json.loads(instructions["ENTRYPOINT"]) == ["rag"]
    assert faults(json.loads(instructions["CMD"])) == []


def test_the_image_sets_only_settings_that_exist() -> None:
    """Every RAG_ variable of the Dockerfile is a setting."""
    assert set(re.findall(r"RAG_\w+", (ROOT / "Dockerfile").read_text())) <= SETTINGS


def test_the_image_copies_files_that_exist() -> None:
    """Every source of a COPY is in the repository."""
    sources = [word for name, rest in dockerfile() if name == "COPY" for word in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_installs_the_pins_of_the_makefile() -> None:
    """Makefile, Dockerfile and constraints.txt agree on torch."""
    pin = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin
    for name in ("Makefile", "Dockerfile"):
        assert re.findall(r"torch==[\w.]+", (ROOT / name).read_text())
        assert set(re.findall(r"torch==[\w.]+", (ROOT / name).read_text())) == {pin.group()}


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_services_run_commands_and_set_settings_that_exist(name: str) -> None:
    """Each service built from the Dockerfile has a real command, and real RAG_ variables."""
    service = compose()["services"][name]
    if "build" in service:
        assert faults(service["command"]) == []
    variables = {key for key in service.get("environment", {}) if key.startswith(PREFIX)}
    assert variables <= SETTINGS


def test_the_default_profile_needs_no_database_server() -> None:
    """Without a profile only the service itself starts."""
    services = compose()["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["rag"]


def test_the_compose_file_names_only_settings_that_exist() -> None:
    """Comments and substitutions name settings too."""
    assert set(re.findall(r"RAG_[A-Z_]+", (ROOT / "docker-compose.yml").read_text())) <= SETTINGS


def test_volumes_and_dependencies_are_declared() -> None:
    """Every named volume and every service waited for is in the file."""
    parsed = compose()
    for service in parsed["services"].values():
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(parsed["volumes"])
        assert set(service.get("depends_on", {})) <= set(parsed["services"])
