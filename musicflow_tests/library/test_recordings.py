"""Verdicts are kept as they were given."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.library.recordings import Verdicts


def test_the_order_of_a_pair_does_not_matter() -> None:
    verdicts = Verdicts()
    verdicts.add("b", "a", True)
    verdicts.add("a", "c", False)
    assert [verdicts.get("a", "b"), verdicts.get("c", "a"), verdicts.get("b", "c")] == [
        True,
        False,
        None,
    ]
    assert verdicts.get("d", "d") is True, "equal contents need no verdict"


@given(st.dictionaries(st.tuples(st.text(), st.text()), st.booleans(), max_size=5))
def test_any_verdicts_come_back(tmp_path_factory: pytest.TempPathFactory, pairs: dict) -> None:
    path = tmp_path_factory.mktemp("home") / "recordings.json"
    ordered = {(a, b): same for (a, b), same in pairs.items() if a < b}
    Verdicts(ordered).save(path)
    assert {(a, b): same for a, b, same in Verdicts.load(path)} == ordered


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 0, "pairs": []}'])
def test_what_is_no_file_of_verdicts_holds_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "recordings.json").write_text(text)
    assert len(Verdicts.load(tmp_path / "recordings.json")) == 0
