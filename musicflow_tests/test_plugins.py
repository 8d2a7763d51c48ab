"""A package from outside, installed beside musicflow: command line, Dagster and app take it."""

import json
import site
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from musicflow.settings import Home
from musicflow_tests import plugin

pytestmark = pytest.mark.slow

ROOM = "toyflow.embedders"
ADDRESS = f"{ROOM}:LOUDNESS"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the package, and all that this one has."""
    folder = tmp_path_factory.mktemp("beside")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    added = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    Path(done.stdout.strip(), "beside.pth").write_text("\n".join(added))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    alone = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *alone, str(plugin.build(folder))], check=True)
    return python


@pytest.fixture
def run(python: Path) -> Run:
    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def musicflow(run: Run) -> Run:
    return lambda *arguments: run("from musicflow.cli import main; main()", *arguments)


@pytest.mark.usefixtures("ready")
def test_an_embedder_goes_through_run_search_dagster_and_app(
    musicflow: Run, run: Run, music: Path, home: Home
) -> None:
    """By its address, and after that by its name."""
    done = musicflow("run", str(music), "--embedder", ADDRESS, "--embedder", "mfcc", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["embedder"]: row for row in json.loads(done.stdout)["rows"]}
    assert {"loudness", "mfcc"} <= rows.keys()
    assert not rows["loudness"]["error"]
    assert f'"{ADDRESS}"' in home.settings_file.read_text()
    again = musicflow("run", str(music), "--embedder", "loudness", "--embedder", "mfcc")
    assert "Nothing changed" in again.stderr

    # By the collection's name, by that of the embedder, by the home's first.
    song = str(music / "tones" / "1.wav")
    for asked in (["--embedder", "loudness"], ["--embedder", ADDRESS], ["--track", "tones/1.wav"]):
        what = asked if "--track" in asked else [song, *asked]
        done = musicflow("search", *what, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)

    done = run(
        "from musicflow.orchestration.definitions import defs\n"
        "keys = defs.resolve_asset_graph().get_all_asset_keys()\n"
        "print(*sorted(key.to_user_string() for key in keys))"
    )
    assert {"embeddings/loudness", "collections/loudness"} <= set(done.stdout.split()), done.stderr

    done = run(
        "from musicflow.app.questions import Question, Wanted\n"
        "from musicflow.app.service import Service\n"
        "service = Service()\n"
        "answer = service.similar(Question('tones/3.wav'), Wanted(2, (), 'loudness'))\n"
        "print(service.labels()[:2], len(answer.hits))"
    )
    assert done.stdout == "['loudness', 'mfcc'] 2\n", done.stderr


@pytest.mark.usefixtures("ready")
def test_a_layout_goes_through_the_format_option(musicflow: Run, music: Path, home: Home) -> None:
    (music / "prefixed.txt").write_text("1")
    for number, file in enumerate(sorted(music.rglob("*.wav"))):
        file.rename(music / f"{file.parent.name}-{number}.wav")
    options = [str(music), "--embedder", "mfcc", "--json", "--format"]
    done = musicflow("run", *options, "toyflow.layouts:PREFIXED", "--dry-run")
    assert json.loads(done.stdout)["tracks"] == 12
    done = musicflow("run", *options, "prefixed")
    assert done.returncode == 0, done.stderr
    [mfcc] = [row for row in json.loads(done.stdout)["rows"] if row["embedder"] == "mfcc"]
    assert mfcc["n_queries"] == 12
    assert 'library_format = "prefixed"' in home.settings_file.read_text()
    done = musicflow("search", "--track", "tones-6.wav", "-k", "1", "--json")
    assert json.loads(done.stdout)[0]["genre"] == ["tones"]


# What else may be broken is tried by the tests of embedders: each takes a process of its own.
BROKEN = {
    "unusable": "RuntimeError: no import today",
    f"{ROOM}:NO_ENTRY": "is a class, not of type EmbedderEntry",
    f"{ROOM}:WIDER": "wider returned vectors of shape",
}


@pytest.mark.usefixtures("ready")
def test_broken_embedders_are_a_sentence_each_and_cost_no_other(
    musicflow: Run, music: Path
) -> None:
    names = ["mfcc", *BROKEN]
    options = [part for name in names for part in ("--embedder", name)]
    done = musicflow("run", str(music), *options, "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = {row["embedder"]: row for row in json.loads(done.stdout)["rows"]}
    assert not rows["mfcc"]["error"]
    assert rows["mfcc"]["n_queries"] == 12
    for sentence in BROKEN.values():
        assert [row for row in rows.values() if sentence in row["error"] + row["advice"]], sentence


def test_a_broken_layout_is_a_sentence(musicflow: Run, music: Path) -> None:
    done = musicflow("run", str(music), "--format", "toyflow.layouts:detect")
    assert done.returncode == 2
    assert "is of type function, not of type Layout" in " ".join(done.stderr.split())
    done = musicflow("run", str(music), "--format", "tree")
    assert done.returncode == 2
    assert "'tree' is none of auto, ludwig, " in " ".join(done.stderr.split())
