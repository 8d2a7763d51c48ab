"""The files in `deploy/`: valid by their schemas, and of versions and settings that there are."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from musicflow.index.connection import fits
from musicflow.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE, DAGSTER, QDRANT = "compose.yaml", "values-dagster.yaml", "values-qdrant.yaml"
OTHERS = {"MUSICFLOW_POSTGRES", "MUSICFLOW_CELERY_BROKER", "MUSICFLOW_CELERY_BACKEND"}
"""Variables that are no settings: see docs/settings.md and deploy/dagster.yaml."""


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def test_compose_is_valid_by_its_schema() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(DEPLOY / COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_mounts_and_builds_what_there_is() -> None:
    compose = read(COMPOSE)
    for service in compose["services"].values():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists()
            elif not source.startswith("$"):
                assert source in compose["volumes"]
        assert set(service.get("depends_on", ())) <= compose["services"].keys()


@pytest.mark.parametrize("name", [COMPOSE, DAGSTER])
def test_every_variable_is_a_setting_with_a_value_that_it_takes(name: str) -> None:
    given = dict(variables(read(name)))
    assert "MUSICFLOW_QDRANT_URL" in given
    for variable, value in given.items():
        if variable.startswith("MUSICFLOW_") and variable not in OTHERS:
            setting = variable.removeprefix("MUSICFLOW_").lower()
            assert setting in Settings.model_fields
            Settings(**{setting: value})


def variables(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the environment of all containers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("env", "environment"):
                yield from inner.items()
            yield from variables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from variables(inner)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [(COMPOSE, r"image: qdrant/qdrant:v([\d.]+)"), (QDRANT, r"qdrant/qdrant --version ([\d.]+)")],
)
def test_the_server_fits_the_client(name: str, pattern: str) -> None:
    [server] = re.findall(pattern, (DEPLOY / name).read_text("utf-8"))
    assert fits(importlib.metadata.version("qdrant-client"), server)


@pytest.mark.parametrize(("name", "chart"), [(DAGSTER, "dagster"), (QDRANT, "qdrant")])
def test_the_charts_render_with_our_values(name: str, chart: str) -> None:
    """Helm holds the values against the chart's schema, where it has one."""
    charts = os.environ.get("MUSICFLOW_HELM_CHARTS")
    if charts is None or shutil.which("helm") is None:
        pytest.skip("no helm, or no MUSICFLOW_HELM_CHARTS: a folder with the charts, as pulled")
    if not (Path(charts) / chart).exists():
        pytest.skip(f"{charts} has no {chart}: helm pull --untar {chart}/{chart}")
    command = ["helm", "template", "music", str(Path(charts) / chart), "--values"]
    done = subprocess.run([*command, str(DEPLOY / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert {"StatefulSet", "Deployment"} & {one["kind"] for one in made}
