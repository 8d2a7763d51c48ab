import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from musicflow.library import LayoutError, Library, join, labels_state, layouts, scan
from musicflow.settings import Settings
from musicflow_tests import plugin
from musicflow_tests.conftest import tone

ROOM = "toyflow.layouts"


@pytest.fixture
def toyflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(plugin.unpack(tmp_path / "site")))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "toyflow"]:
        del sys.modules[name]


@pytest.fixture
def prefixed(write: Callable[..., Path]) -> Path:
    write("jazz-1.wav", tone(220))
    root = write("rock-1.wav", tone(440)).parent
    (root / "prefixed.txt").write_text("1")
    return root


def read(root: Path, tmp_path: Path, layout: str = "auto") -> Library:
    return join(root, scan(root, tmp_path / "known"), layout)


@pytest.mark.usefixtures("toyflow")
@pytest.mark.parametrize("layout", ["auto", "prefixed", f"{ROOM}:PREFIXED"])
def test_a_layout_of_another_package_is_found_in_three_ways(
    layout: str, prefixed: Path, tmp_path: Path
) -> None:
    library = read(prefixed, tmp_path, layout)
    assert {track.track_id: track.genre for track in library.tracks} == {
        "jazz-1.wav": "jazz",
        "rock-1.wav": "rock",
    }
    assert (library.format, library.labels) == ("prefixed", "1")
    (prefixed / "prefixed.txt").write_text("2")
    assert labels_state(prefixed, layout) == "2"


@pytest.mark.usefixtures("toyflow")
def test_a_layout_that_is_not_that_of_a_folder_does_not_take_it(
    prefixed: Path, tmp_path: Path
) -> None:
    (prefixed / "prefixed.txt").unlink()
    assert read(prefixed, tmp_path).format == "folders"


@pytest.mark.usefixtures("toyflow")
@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        ("unusable", "cannot be imported: RuntimeError: no import today"),
        (f"{ROOM}:detect", "is of type function, not of type Layout"),
        (f"{ROOM}:FAILS", "the layout fails failed, ZeroDivisionError: division by zero"),
        (f"{ROOM}:NO_TRACKS", "the layout no-tracks returned a str for a Track"),
        ("elsewhere:X", "No module named 'elsewhere'"),
    ],
)
def test_a_broken_layout_is_one_sentence(
    layout: str, sentence: str, prefixed: Path, tmp_path: Path
) -> None:
    with pytest.raises(LayoutError) as caught:
        read(prefixed, tmp_path, layout)
    assert sentence in str(caught.value)


@pytest.mark.usefixtures("toyflow")
def test_settings_take_names_and_addresses_and_list_the_names() -> None:
    for name in ("auto", "folders", "prefixed", "elsewhere:X"):
        assert Settings(library_format=name).library_format == name
    with pytest.raises(ValidationError, match="'tree' is none of auto, ludwig, "):
        Settings(library_format="tree")


def test_what_ships_is_found_by_its_address_too(prefixed: Path, tmp_path: Path) -> None:
    for name, address in layouts.REGISTRY.shipped.items():
        assert layouts.layout_of(prefixed, name) is layouts.layout_of(prefixed, address)
    assert read(prefixed, tmp_path, layouts.REGISTRY.shipped["folders"]).format == "folders"
