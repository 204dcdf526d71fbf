"""The files for containers: without an engine to run them, at least what they say of Kasse is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from kasse.settings import Settings, read_settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def filled(value: str) -> str:
    """A value with its variables, as somebody would set them."""
    chosen = {"KASSE_DB_PASSWORD": "secret1", "KASSE_PUBLIC_URL": "https://pay.example"}

    def one(found: re.Match[str]) -> str:
        name, _, default = found[1].partition(":-")
        return chosen.get(name.partition(":?")[0]) or default

    return re.sub(r"\$\{([^}]+)\}", one, value)


def test_kasse_takes_the_settings_of_the_compose_file() -> None:
    environment = {name: filled(value) for name, value in COMPOSE["services"]["kasse"]["environment"].items()}
    found = read_settings(environment={name: each for name, each in environment.items() if name.startswith("KASSE_")})
    assert found.database == "postgresql://kasse:secret1@database/kasse"
    assert found.public_url == "https://pay.example"
    assert found.workers == 2
    inside = {ports.split(":")[-1] for ports in COMPOSE["services"]["kasse"]["ports"]}
    assert inside == {str(Settings().port), str(found.metrics_port)}
    assert int(COMPOSE["services"]["kasse"]["stop_grace_period"].removesuffix("s")) > found.stop_timeout + 10


def test_every_file_that_the_containers_are_made_of_is_there() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    mounted = [volume.split(":")[0] for volume in COMPOSE["services"]["database"]["volumes"] if volume.startswith("./")]
    assert copied
    assert [name for name in (*copied, *mounted) if not (ROOT / name).exists()] == []
    let_in = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(let_in) == sorted(copied)
    subprocess.run(["sh", "-n", ROOT / "deploy/database.sh"], check=True)


def test_the_image_runs_without_rights_and_at_locked_versions() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER kasse$", last, re.MULTILINE)
    assert "/health/ready" in last
    assert "--require-hashes -r requirements-server.lock" in DOCKERFILE
    assert all(f"KASSE_{name.upper()}" in last for name in ("host", "port", "database"))
