"""`musicflow tune`, as a person runs it."""

from pathlib import Path

import pytest

from musicflow.index import open_index
from musicflow.library import join, scan
from musicflow.settings import Home, Settings
from musicflow_tests.cli.conftest import ingest
from musicflow_tests.conftest import Run


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("genre", "genre gives 2 classes, the largest of 6: 2 of 4 tracks or more, with 12 tracks"),
        ("mood", "'mood' is no label: give one of genre"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(
    run: Run, music: Path, home: Home, label: str, said: str
) -> None:
    ingest(music, home.root)
    join(music, scan(music, home.library)).save(home.library)
    code, _, told = run("tune", "--label", label, "--home", str(home.root))
    assert code != 0
    assert said in " ".join(told.split())
    assert Settings().tuned == ()
    assert open_index(Settings()).names() == ["mfcc"]
