"""`musicflow embedders`: the list, and a check of one."""

import json
import sys
from pathlib import Path

import pytest

from musicflow.pipeline import check
from musicflow.settings import Home
from musicflow_tests.conftest import Run
from musicflow_tests.embedders.adapters.test_hear import MODULE
from musicflow_tests.embedders.test_looks import MODULE as DRAWN


def test_the_list_names_what_is_here_and_what_is_known(run: Run) -> None:
    code, printed, _ = run("embedders", "--json")
    assert code == 0
    offers = {offer["name"]: offer for offer in json.loads(printed)}
    assert offers["musicnn"]["kind"] == "here"
    assert offers["musicnn"]["tried"]
    assert offers["muq-mulan"]["kind"] == "known"
    assert offers["muq-mulan"]["commercial"] is False
    code, printed, _ = run("embedders")
    assert code == 0
    assert "CC-BY-NC-4.0 *" in printed
    assert "* not for commercial use" in printed


@pytest.mark.parametrize(
    ("text", "code", "faults"), [(MODULE, 0, []), (DRAWN, 1, ["not-repeatable"])]
)
def test_a_check_tries_an_embedder_by_its_alias(
    text: str,
    code: int,
    faults: list[str],
    run: Run,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine_hear.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "mine_hear", raising=False)
    monkeypatch.setattr(check, "_SECONDS", 0.1)
    home.root.mkdir()
    home.settings_file.write_text('[aliases.mine]\nfrom = "hear:mine_hear"\n')
    found, printed, _ = run("embedders", "check", "mine", "--json")
    assert found == code
    checked = json.loads(printed)
    assert checked["embedder"] == "mine"
    assert checked["x_realtime"] > 1
    assert {fault["code"] for fault in checked["faults"]} >= set(faults)
    if code:
        assert run("embedders", "check", "mine")[0] == code


def test_a_check_of_one_that_cannot_be_used_is_one_sentence(run: Run) -> None:
    code, printed, errors = run("embedders", "check", "hub:laion/larger_clap_music")
    assert code == 2
    assert "broken conversion" in " ".join(errors.split())
    assert printed == ""
