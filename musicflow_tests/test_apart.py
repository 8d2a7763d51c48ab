import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from musicflow import apart
from musicflow.apart import ProcessDiedError
from musicflow.embedders import WeightsError


def count(*numbers: int) -> Iterator[tuple[int, int]]:
    for number in numbers:
        yield os.getpid(), number


def modules() -> Iterator[set[str]]:
    import musicflow.ingestion  # noqa: F401

    yield set(sys.modules)


def fail(error: Exception) -> Iterator[int]:
    yield 1
    raise error


class _Unportable(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail_unportably() -> Iterator[int]:
    raise _Unportable("no", "way")
    yield


def die(number: int) -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), number)
    threading.Event().wait()


def leave() -> Iterator[int]:
    yield 1
    os._exit(3)


def go_on(folder: Path) -> Iterator[int]:
    """Work for a minute, and note when it ends."""
    try:
        yield os.getpid()
        for number in range(600):
            time.sleep(0.1)
            (folder / "step").write_text(str(number))
    finally:
        (folder / "ended").touch()


def refuse_to_end() -> Iterator[int]:
    yield os.getpid()
    while True:
        with contextlib.suppress(SystemExit):
            time.sleep(60)


def test_what_a_generator_yields_arrives_in_turn_from_another_process() -> None:
    found = list(apart.iterate("counting", count, 3, 1, 2))
    assert [number for _, number in found] == [3, 1, 2]
    [process] = {process for process, _ in found}
    assert process != os.getpid()
    assert not psutil.pid_exists(process)


def test_a_process_of_its_own_holds_nothing_of_what_the_parent_is_busy_with() -> None:
    import musicflow.orchestration.definitions  # noqa: F401

    [found] = apart.iterate("looking", modules)
    assert "musicflow.ingestion" in found
    assert found.isdisjoint({"dagster", "mlflow", "typer", "pandas", "sklearn", "torch"})


@pytest.mark.parametrize(
    "error",
    [WeightsError("they are on the moon"), PermissionError(errno.EACCES, "no", "/a file")],
    ids=["one of ours", "of the system"],
)
def test_an_error_arrives_as_it_was_with_where_it_arose(error: Exception) -> None:
    arrived = apart.iterate("failing", fail, error)
    assert next(arrived) == 1
    with pytest.raises(type(error)) as caught:
        next(arrived)
    assert str(caught.value) == str(error)
    assert vars(caught.value).keys() == {"__notes__"}
    assert getattr(caught.value, "filename", "-") == getattr(error, "filename", "-")
    assert "in fail\n" in caught.value.__notes__[0]


def test_an_error_that_does_not_survive_the_way_leaves_its_text() -> None:
    with pytest.raises(RuntimeError, match="_Unportable: no way"):
        list(apart.iterate("failing", fail_unportably))


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (die, [signal.SIGKILL], r"musicnn was killed \(SIGKILL\), .* memory"),
        (die, [signal.SIGSEGV], r"musicnn crashed \(SIGSEGV\)"),
        (leave, [], r"musicnn ended with code 3"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_process_that_dies_is_named_with_what_ended_it(
    function: Callable[..., Iterator[int]], arguments: list[int], said: str
) -> None:
    items = apart.iterate("musicnn", function, *arguments)
    assert next(items) == 1
    with pytest.raises(ProcessDiedError, match=said):
        next(items)


def test_who_iterates_no_further_ends_the_generator_and_its_process(tmp_path: Path) -> None:
    items = apart.iterate("going on", go_on, tmp_path)
    process = next(items)
    items.close()
    assert not psutil.pid_exists(process)
    assert (tmp_path / "ended").exists()


def test_a_process_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_GRACE_S", 0.5)
    items = apart.iterate("refusing", refuse_to_end)
    process = next(items)
    items.close()
    assert not psutil.pid_exists(process)


PARENT = """
import sys
from pathlib import Path
from musicflow import apart
from musicflow_tests.test_apart import go_on
for process in apart.iterate("going on", go_on, Path(sys.argv[1])):
    print(process, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGINT, os.kill), (signal.SIGKILL, os.kill)],
    ids=["Ctrl-C at a terminal", "interrupted alone", "killed"],
)
def test_when_its_parent_is_ended_a_process_ends_in_order_and_says_nothing(
    tmp_path: Path, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    while not (tmp_path / "step").exists():
        time.sleep(0.01)
    send(parent.pid, number)
    # The child has a hand on the pipes too, so this waits for both.
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == -number
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert (tmp_path / "ended").exists()
    expected = 1 if number == signal.SIGINT else 0
    assert errors.count("Traceback") == expected, "the parent's own, and no other"
