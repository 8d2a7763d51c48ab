import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicflow import registry, worker
from musicflow.errors import MusicflowError
from musicflow.registry import Registry, RegistryError, is_address

PATHS = Registry("path", "musicflow.paths", Path, {"here": "toys:HERE", "lost": "toys:LOST"})


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "toys.py").write_text(
        "from pathlib import Path\nHERE = Path('here')\nNUMBER = 3\nclass Box:\n    INNER = HERE\n"
    )
    (tmp_path / "needy.py").write_text("import a_module_that_is_not_there\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit('bye')\n")
    folder = tmp_path / "toys-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    points = "[musicflow.paths]\ninner = toys:Box.INNER\nhere = toys:NUMBER\n"
    (folder / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("toys", "needy", "leaving"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("text", ["a:B", "a.b.c:D", "a_1:b.c"])
def test_an_address_is_a_module_and_a_name_in_it(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["a", "a:", ":b", "a:b:c", "a b:c", "fusion:a+b", "a/b:c", "1:a", "a:B-untrained"]
)
def test_other_texts_are_no_addresses(text: str) -> None:
    assert not is_address(text)


def test_what_is_installed_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: looks.append(group) or [])
    for path in ("one place", "another"):
        monkeypatch.syspath_prepend(path)
        assert [PATHS.names() for _ in range(3)] == [("here", "lost")] * 3
    assert looks == ["musicflow.paths"] * 2


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", ["here", "inner", "toys:HERE", "toys:Box.INNER"])
def test_a_thing_is_found_by_name_entry_point_and_address(name: str) -> None:
    assert PATHS.get(name) == Path("here")


@pytest.mark.usefixtures("toys")
def test_listing_names_imports_nothing() -> None:
    assert PATHS.names() == ("here", "lost", "inner")
    assert "inner" in PATHS
    assert "toys" not in sys.modules


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("nowhere", "unknown-name", "no path is called 'nowhere': the nearest are here"),
        ("lost", "not-importable", "the path lost (toys:LOST) cannot be imported: module 'toys'"),
        ("toys:NUMBER", "wrong-kind", "the path toys:NUMBER is of type int, not of type Path"),
        ("toys:Box", "wrong-kind", "is a class, not of type Path"),
        ("no_toys:X", "not-importable", "No module named 'no_toys': run it in the folder"),
        ("needy:X", "not-importable", "No module named 'a_module_that_is_not_there': install a_m"),
        ("leaving:X", "not-importable", "the path leaving:X cannot be imported: SystemExit: bye"),
    ],
)
def test_what_is_no_use_is_one_sentence_with_a_code(name: str, code: str, words: str) -> None:
    with pytest.raises(MusicflowError) as caught:
        PATHS.get(name)
    assert isinstance(caught.value, RegistryError)
    assert caught.value.code == code
    assert words in str(caught.value)


def found_in_worker(address: str) -> Iterator[object]:
    yield PATHS.get(address)


@pytest.mark.workers
def test_a_module_in_the_current_folder_is_found_where_it_is_named_and_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "homemade.py").write_text("from pathlib import Path\nTHERE = Path('there')\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('this is not the one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    [found] = worker.iterate("a worker", found_in_worker, "homemade:THERE")
    assert found == PATHS.get("homemade:THERE") == Path("there")
