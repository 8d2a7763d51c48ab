"""The documentation: its examples run, and it names all that there is."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

import musicflow as mf
from docs import settings_table
from musicflow.audio import AUDIO_SUFFIXES
from musicflow.cli import app
from musicflow.embedders import catalogue
from musicflow.embedders.adapters import front_end
from musicflow.evaluation import metrics
from musicflow.library import layouts, problems, scan
from musicflow.orchestration.resources import workspace_of
from musicflow.settings import Settings, options_of_a_run
from musicflow_tests import notebook
from musicflow_tests.conftest import RATE, tone

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_TITLED = re.compile(r'^```python title="(\S+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def _examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that a reader of "How to add …" writes, where Python finds them."""
    found = dict(_TITLED.findall((DOCS / "how-to-add.md").read_text("utf-8")))
    assert found.keys() == {"loudness.py", "prefixed.py", "miss.py"}
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_examples")
def test_the_embedder_of_the_docs_embeds() -> None:
    vector = mf.load_embedder("loudness:ENTRY").embed(tone(440), RATE)
    assert vector[:2] == pytest.approx([0.3 / np.sqrt(2), 0.3], rel=0.01)


@pytest.mark.usefixtures("_examples")
def test_the_layout_of_the_docs_reads_genres(write: Callable[..., Path], tmp_path: Path) -> None:
    music = write("jazz-one.wav", tone(440)).parent
    files = scan(music, tmp_path / "known")
    tracks, _ = layouts.read(layouts.layout_of(music, "prefixed:LAYOUT"), music, files)
    assert [track.genre for track in tracks] == ["jazz"]


@pytest.mark.usefixtures("_examples")
def test_the_metric_of_the_docs_is_a_metric() -> None:
    *_, metric = metrics.table(["miss:METRIC"])
    ranked = metrics.RankedRelevance(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([2, 2]))
    assert metric.scores(ranked).tolist() == [1.0, 0.0]


def test_the_models_from_outside_of_the_docs_are_what_they_say(tmp_path: Path) -> None:
    page = (DOCS / "models.md").read_text("utf-8")
    modules = dict(_TITLED.findall(page))
    mine: dict[str, Any] = {}
    exec(modules.pop("mine.py"), mine)
    found = mine["get_scene_embeddings"](torch.ones(3, 24_000), mine["load_model"]())
    assert found.shape == (3, mine["Model"].scene_embedding_size)
    known = {offer.address for offer in catalogue.known()}
    assert {f"hear:{name.removesuffix('.py')}" for name in modules} <= known
    for code in modules.values():
        assert {"load_model", "get_scene_embeddings"} <= {
            node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)
        }
    told = re.findall(r'^```toml title="((?:discogs|musicnn)\S+)"\n(.*?)^```$', page, re.M | re.S)
    assert len(told) == 2
    for name, text in told:
        (tmp_path / name).write_text(text)
        assert front_end.read(tmp_path / name).mel is not None


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tutorial = json.loads((DOCS / "tutorial.ipynb").read_text("utf-8"))
    notebook.run(tutorial)
    printed = json.dumps(tutorial)
    assert "not-audio" in printed
    assert "fusion:mfcc+loudness" in printed


def test_a_setting_is_one_line() -> None:
    """Option, launchpad, memory and docs follow from the table of settings."""
    flags = {flag for p in typer.main.get_group(app).commands["run"].params for flag in p.opts}
    launchpad = type(workspace_of()).model_fields
    table = settings_table.on_page_markdown((DOCS / "settings.md").read_text("utf-8"))
    for name, (field, option) in options_of_a_run().items():
        assert option.flag in flags
        assert name in launchpad
        assert name in Settings(**{name: field.default}).remembered
        assert f"| `{name}` | `{option.flag}` |" in table
    assert table.count("\n| `") >= len(Settings.model_fields)


def test_the_docs_name_every_kind_of_file_and_note() -> None:
    page = (DOCS / "library.md").read_text("utf-8")
    kinds = " ".join(re.findall("^> (.*)$", page, re.MULTILINE)).split()
    assert {f".{kind}" for kind in kinds} == AUDIO_SUFFIXES
    codes = set(re.findall(r"`([a-z-]+)`", page))
    assert codes >= problems._OF_FILES.keys() | problems._OF_EMBEDDERS.keys()


def test_the_docs_name_every_command() -> None:
    pages = "\n".join(path.read_text("utf-8") for path in DOCS.glob("*.md"))
    group = typer.main.get_group(app)
    assert {name for name in group.commands if f"musicflow {name}" not in pages} == set()


@pytest.mark.parametrize("guide", ["CONTRIBUTING.md", "docs/how-to-add.md"])
def test_a_guide_names_files_and_constants_that_are_there(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    paths = re.findall(r"`((?:musicflow|musicflow_tests|eval|docs|deploy)/[\w./]*)`", text)
    assert paths
    assert [p for p in paths if not (ROOT / p).exists() and "/my_" not in p] == []
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "musicflow").rglob("*.py"))
    constants = set(re.findall(r"`(_?[A-Z]{3}[A-Z_]*)`", text))
    assert {name for name in constants if not re.search(rf"\b{name}\b", code)} == set()


def test_the_floors_hold_each_room() -> None:
    floors = re.findall(r"^\| \d \|([^|]*)\|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)
    rooms = {room.rstrip("/") for floor in floors for room in re.findall(r"`([^`]+)`", floor)}
    found = {path.name for path in (ROOT / "musicflow").iterdir()}
    assert rooms == found - {"__init__.py", "__main__.py", "__pycache__", "py.typed"}


def test_the_readme_can_be_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 900
