"""`musicflow doctor`: what a person is asked for in a bug report."""

import json
from pathlib import Path
from typing import Any

import pytest

from musicflow.settings import Home, remember


def test_a_home_without_faults_is_told_in_full(run: Any, home: Home, tmp_path: Path) -> None:
    remember(home, library=tmp_path, embedders=["mfcc"])
    code, printed, _ = run("doctor", "--json")
    facts = json.loads(printed)
    assert code == 0
    assert {fact["about"] for fact in facts} == {
        "versions", "machine", "home", "weights", "servers"
    }  # fmt: skip
    found = {fact["name"]: fact["found"] for fact in facts}
    assert "torch 2." in found["packages"]
    assert found["library"] == str(tmp_path)
    assert "0 collections" in found["index"]


def test_what_needs_mending_is_named_and_ends_with_1(
    run: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(home, library=tmp_path / "gone", embedders=["mfcc", "panns"])
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:9")
    code, printed, _ = run("doctor", "--json")
    faults = {fact["name"]: fact["fault"] for fact in json.loads(printed) if fact["fault"]}
    assert code == 1
    assert set(faults) == {"library", "panns", "MLflow"}
    assert "it is not there" in faults["library"]
    assert faults["panns"] == "musicflow weights fetch"
    assert "Connection refused" in faults["MLflow"]
