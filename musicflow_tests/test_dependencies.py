"""What is imported is declared, and the core needs nothing else than what it declares."""

import ast
import functools
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from musicflow import extras

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# Of modules that a test environment need not hold.
ELSEWHERE = {"dagster_celery": "dagster-celery", "openl3": "openl3"}


def named(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


CORE = named(PROJECT["dependencies"])
EXTRA = {name: named(texts) for name, texts in PROJECT["optional-dependencies"].items()}


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    """The top names of all modules from outside that are imported anywhere in a folder."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names | {"musicflow", "musicflow_tests", "docs"}:
                    yield top, path


installed = functools.cache(packages_distributions)


def distributions(module: str) -> set[str]:
    found = installed().get(module) or [ELSEWHERE[module]]
    return {canonicalize_name(name) for name in found}


def test_what_the_package_imports_is_declared() -> None:
    anywhere = CORE.union(*EXTRA.values())
    wrong = {
        f"{path.relative_to(ROOT)} imports {module}"
        for module, path in imported(ROOT / "musicflow")
        if not distributions(module) & anywhere
    }
    assert not wrong


def test_what_the_tests_import_is_declared_for_developers() -> None:
    declared = CORE | EXTRA["dev"] | set().union(*(EXTRA[name] for name in extras.EXTRAS))
    wrong = {
        module
        for module, _ in imported(ROOT / "musicflow_tests")
        if not distributions(module) & declared
    }
    assert not wrong


def test_every_declared_package_of_the_core_is_used() -> None:
    used = set().union(*(distributions(m) for m, _ in imported(ROOT / "musicflow")))
    # Its module is loaded by path.
    assert CORE - used == {"panns-inference"}


def test_the_modules_of_an_extra_are_those_it_declares() -> None:
    for name, modules in extras.EXTRAS.items():
        assert set().union(*map(distributions, modules)) >= EXTRA[name] > set(), name
    whole = Requirement(PROJECT["optional-dependencies"]["all"][0])
    assert whole.extras == extras.EXTRAS.keys()


def test_constraints_pin_what_is_declared() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    declared = CORE.union(*(EXTRA[name] for name in EXTRA if name != "openl3")) - {"musicflow"}
    assert declared <= pinned


HIDE_EXTRAS = f"""
import sys
for name in {sorted({m for ms in extras.EXTRAS.values() for m in ms})}:
    sys.modules[name] = None
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDE_EXTRAS + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


IMPORT_THE_CORE = """
import importlib, pkgutil, musicflow
rooms = ("musicflow.orchestration", "musicflow.tracking", "musicflow.app")
for module in pkgutil.walk_packages(musicflow.__path__, "musicflow.", onerror=print):
    if not module.name.startswith(rooms):
        importlib.import_module(module.name)
"""


def test_the_core_imports_without_extras() -> None:
    done = python(IMPORT_THE_CORE)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_core_compares_and_searches_without_dagster_and_mlflow(
    music: Path, tmp_path: Path
) -> None:
    (music / "noises" / "broken.mp3").write_bytes(b"no audio")
    run = ["run", str(music), "--embedder", "mfcc", "--home", str(tmp_path / "home")]
    done = python("from musicflow.cli import main; main()", *run)
    assert done.returncode == 0, done.stderr
    assert "not recorded there" in done.stderr
    assert "broken.mp3" in done.stdout
    assert "musicflow dagster" not in done.stdout
    again = python("from musicflow.cli import main; main()", *run)
    assert "Nothing changed" in again.stderr
    search = """
import musicflow as mf
with mf.open_collection("mfcc", home=sys.argv[1]) as collection:
    print(len(collection), len(collection.search("tones/0.wav", k=3)))
"""
    assert python(search, str(tmp_path / "home")).stdout.split() == ["12", "3"]


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["init"], "dagster,mlflow"),
        (["dagster"], "dagster,mlflow"),
        (["mlflow"], "mlflow"),
        (["app"], "app"),
        (["demo"], "demo"),
    ],
)
def test_a_command_without_its_extra_is_one_sentence_with_the_install_line(
    arguments: list[str], needed: str, tmp_path: Path
) -> None:
    home = ["--home", str(tmp_path / "home")]
    done = python("from musicflow.cli import main; main()", *arguments, *home)
    assert done.returncode == 2, done.stderr
    assert f"pip install 'musicflow[{needed}]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_no_script_of_eval_hides_a_module_that_packages_look_for() -> None:
    # numba imports coverage where it finds it, and a script's folder comes first.
    command = [sys.executable, "-c", "import numba, librosa.filters"]
    subprocess.run(command, cwd=ROOT / "eval", check=True)
