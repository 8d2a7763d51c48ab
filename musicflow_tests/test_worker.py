import contextlib
import ctypes
import errno
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from musicflow import worker
from musicflow.errors import MusicflowError
from musicflow.worker import Rations, WorkerError, watch
from musicflow.worker.forks import CAN_FORK
from musicflow.worker.servers import servers

pytestmark = pytest.mark.workers


def count(*numbers: int) -> Iterator[tuple[int, int]]:
    for number in numbers:
        yield os.getpid(), number


def modules() -> Iterator[set[str]]:
    import musicflow.pipeline  # noqa: F401

    yield set(sys.modules)


def wait_outside_of_items(seconds: float) -> Iterator[int]:
    with worker.waiting():
        pass
    worker.begin(0)
    worker.end()
    with worker.waiting(), worker.waiting():
        pass
    time.sleep(seconds)
    yield 1


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


# --- one generator in a worker -------------------------------------------------------------------


Iterate = Callable[..., Generator[Any, None, None]]


@pytest.fixture(params=["started", "forked"])
def iterate(request: pytest.FixtureRequest) -> Iterator[Iterate]:
    """Iterate in a worker that is an interpreter of its own, or was forked."""
    if request.param == "started":
        yield worker.iterate
        return
    if not CAN_FORK:
        pytest.skip("this system does not fork safely")
    with worker.forking(["colorsys"]):
        yield worker.iterate


def test_what_a_generator_yields_arrives_in_turn_from_another_process(iterate: Iterate) -> None:
    found = list(iterate("counting", count, 3, 1, 2))
    assert [number for _, number in found] == [3, 1, 2]
    [process] = {process for process, _ in found}
    assert process != os.getpid()
    assert not psutil.pid_exists(process)


def test_a_process_of_its_own_holds_nothing_of_what_the_parent_is_busy_with() -> None:
    import musicflow.orchestration.definitions  # noqa: F401

    [found] = worker.iterate("looking", modules)
    assert "musicflow.pipeline" in found
    assert found.isdisjoint({"dagster", "mlflow", "typer", "pandas", "sklearn", "torch"})


@pytest.mark.parametrize(
    "error",
    [
        MusicflowError("they are far", "fetch them", "far"),
        PermissionError(errno.EACCES, "no", "/a file"),
    ],
    ids=["one of ours", "of the system"],
)
def test_an_error_arrives_as_it_was_with_where_it_arose(iterate: Iterate, error: Exception) -> None:
    arrived = iterate("failing", fail, error)
    assert next(arrived) == 1
    with pytest.raises(type(error)) as caught:
        next(arrived)
    assert str(caught.value) == str(error)
    assert vars(caught.value).keys() == {"__notes__", *vars(error)}
    assert getattr(caught.value, "filename", "-") == getattr(error, "filename", "-")
    assert "in fail\n" in caught.value.__notes__[0]


def test_an_error_that_does_not_survive_the_way_leaves_its_text(iterate: Iterate) -> None:
    with pytest.raises(RuntimeError, match="_Unportable: no way"):
        list(iterate("failing", fail_unportably))


@pytest.mark.parametrize(
    ("function", "arguments", "said", "code"),
    [
        (die, [signal.SIGKILL], r"musicnn was killed \(SIGKILL\), .* memory", "killed"),
        (die, [signal.SIGSEGV], r"musicnn crashed \(SIGSEGV\)", "crashed"),
        (leave, [], r"musicnn ended with code 3", "crashed"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_process_that_dies_is_named_with_what_ended_it(
    iterate: Iterate,
    function: Callable[..., Iterator[int]],
    arguments: list[int],
    said: str,
    code: str,
) -> None:
    items = iterate("musicnn", function, *arguments)
    assert next(items) == 1
    with pytest.raises(WorkerError, match=said) as caught:
        next(items)
    assert (caught.value.code, caught.value.number) == (code, None)


def test_who_iterates_no_further_ends_the_generator_and_its_process(
    iterate: Iterate, tmp_path: Path
) -> None:
    items = iterate("going on", go_on, tmp_path)
    process = next(items)
    items.close()
    assert not psutil.pid_exists(process)
    assert (tmp_path / "ended").exists()


def test_a_process_that_does_not_end_is_ended(
    iterate: Iterate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musicflow.worker.process.GRACE_S", 0.5)
    items = iterate("refusing", refuse_to_end)
    process = next(items)
    items.close()
    assert not psutil.pid_exists(process)


# Tests that run in the background of a shell inherit that Ctrl-C is not heard.
PARENT = """
import signal, sys
from pathlib import Path
from musicflow import worker
from musicflow_tests.test_worker import go_on
signal.signal(signal.SIGINT, signal.default_int_handler)
with worker.forking(["colorsys"]):
    for process in worker.iterate("going on", go_on, Path(sys.argv[1])):
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
    above = child.parents()[0]
    while not (tmp_path / "step").exists():
        time.sleep(0.01)
    send(parent.pid, number)
    _, errors = parent.communicate(timeout=20)
    assert parent.returncode == -number
    child.wait(timeout=20)
    above.wait(timeout=20)
    assert (tmp_path / "ended").exists()
    expected = 1 if number == signal.SIGINT else 0
    assert errors.count("Traceback") == expected, "the parent's own, and no other"


def work_on(pauses: list[float]) -> Iterator[int]:
    """Work on items for some seconds each, and wait for a long time in between."""
    for number, pause in enumerate(pauses):
        worker.begin(number)
        time.sleep(pause)
        with worker.waiting():
            time.sleep(0.6)
        yield number


def test_time_that_an_item_waits_for_others_does_not_count(iterate: Iterate) -> None:
    items = iterate("the decoder", work_on, [0.0, 60.0], timeout_s=0.4)
    assert next(items) == 0
    with pytest.raises(WorkerError, match=r"^the decoder took longer than 0.4 s$") as caught:
        next(items)
    assert (caught.value.code, caught.value.number) == ("timeout", 1)


def test_waiting_between_items_starts_no_clock() -> None:
    assert list(worker.iterate("x", wait_outside_of_items, 0.5, timeout_s=0.2)) == [1]


def test_what_takes_long_is_named_once_while_it_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("musicflow.worker.process._SLOW_S", 0.2)
    list(worker.iterate("the decoder", work_on, [1.5, 0.0], names=["a.mp3", "b"]))
    assert caplog.messages == ["still reading a.mp3 after 0 s"]


def crash_on_the_third() -> Iterator[int]:
    """Work on items, write on the last of them, and crash."""
    for number in (4, 1, 2):
        worker.begin(number)
    os.write(2, b"a broken frame")
    ctypes.string_at(0)
    yield 0


def test_a_crash_names_the_item_that_was_worked_on(iterate: Iterate, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(WorkerError) as caught:
        list(iterate("the decoder", crash_on_the_third, names=list("abcde"), log=log))
    assert (caught.value.code, caught.value.number) == ("crashed", 2)
    assert "c\n    a broken frame" in log.read_text()


def work_beside_another_thread() -> Iterator[int]:
    """Hang on an item, while another thread waits for something else."""

    def wait() -> None:
        with worker.waiting():
            time.sleep(20)

    worker.begin(3)
    threading.Thread(target=wait, daemon=True).start()
    time.sleep(20)
    yield 0


def test_the_clock_of_an_item_runs_while_another_thread_waits(iterate: Iterate) -> None:
    with pytest.raises(WorkerError) as caught:
        list(iterate("the decoder", work_beside_another_thread, timeout_s=0.4))
    assert (caught.value.code, caught.value.number) == ("timeout", 3)


# --- forked workers ------------------------------------------------------------------------------

forks = pytest.mark.skipif(not CAN_FORK, reason="this system does not fork safely")


def base() -> psutil.Process:
    """Return the process that light workers are forked from."""
    base = servers().base
    assert base is not None
    assert base.process is not None
    return psutil.Process(base.process.pid)


@forks
def test_a_forked_worker_has_imported_what_was_asked_for_and_others_have_not() -> None:
    rations = Rations(cpu_s=60, memory_bytes=10**10)
    with worker.forking(["colorsys", "no_such_module"], ["plistlib"]):
        [light] = worker.iterate("looking", modules)
        [heavy] = worker.iterate("looking", modules, heavy=True)
        [other] = worker.iterate("looking", modules, rations=rations)
    [last] = worker.iterate("looking", modules)
    found = [{"colorsys", "plistlib"} & one for one in (light, heavy, other, last)]
    assert found == [{"colorsys"}, {"colorsys", "plistlib"}, set(), set()]


@forks
def test_where_nothing_can_be_forked_any_more_workers_are_started() -> None:
    with worker.forking(["colorsys"], ["plistlib"]):
        running = worker.iterate("counting", count, 1, 2)
        assert next(running)[1] == 1
        process = base()
        heavy = min(process.children(), key=lambda child: child.pid)
        heavy.kill()
        process.kill()
        process.wait()
        assert [number for _, number in running] == [2], "it goes on by itself"
        [found] = worker.iterate("looking", modules, heavy=True)
        assert "colorsys" not in found
        with pytest.raises(WorkerError) as caught:
            list(worker.iterate("x", die, signal.SIGKILL))
    assert caught.value.code == "killed"


@forks
def test_what_a_worker_was_forked_from_ends_with_it() -> None:
    with worker.forking(["colorsys"]):
        process = base().pid
        assert len(list(worker.iterate("counting", count, 1, 2))) == 2
        assert psutil.pid_exists(process)
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            list(worker.iterate("counting", count, 1))
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert not psutil.pid_exists(process)


@forks
def test_an_import_that_hangs_outlives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hangs.py").write_text("import time; time.sleep(600)")
    with worker.forking(["colorsys"], ["hangs"]):
        assert list(worker.iterate("counting", count, 1))
        [heavy] = base().children()
    wait_until(lambda: not heavy.is_running())


def answer(begun: Path, done: Path) -> Iterator[int]:
    """Answer once a module is being imported."""
    wait_until(begun.exists)
    done.touch()
    yield 1


LATER = """
import time
from pathlib import Path
begun, done = map(Path, {paths!r})
begun.touch()
while not done.exists():
    time.sleep(0.01)
time.sleep(0.5)
"""


@forks
def test_what_is_needed_later_is_done_until_a_worker_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_of_later.py").write_text("1 / 0")
    paths = {}
    for name in ("one", "two"):
        paths[name] = tmp_path / f"{name}.begun", tmp_path / f"{name}.done"
        module = LATER.format(paths=[str(path) for path in paths[name]])
        (tmp_path / f"{name}_of_later.py").write_text(module)
    later = [f"{name}_of_later" for name in ("broken", "one", "two")]
    steps = [partial(importlib.import_module, name) for name in later]
    with worker.forking(["colorsys"], later=steps):
        list(worker.iterate("x", answer, *paths["one"]))
        assert [name in sys.modules for name in later] == [False, True, False]
        list(worker.iterate("x", answer, *paths["two"]))
    assert [name in sys.modules for name in later] == [False, True, True]


def process_with(name: str) -> tuple[int, bool]:
    """Return the id of this process, and whether it has imported a module."""
    return os.getpid(), name in sys.modules


@contextlib.contextmanager
def aside(module: str) -> Iterator[None]:
    """Yield where functions can run beside, in processes that have imported a module."""
    with worker.forking(["colorsys"], aside=[module]):
        assert list(worker.iterate("waiting a moment", work_on, [0.5]))
        yield


def test_without_a_process_to_fork_a_function_runs_here_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    with worker.beside("x", process_with, "plistlib") as found:
        assert found() == found()
        assert found()[0] == os.getpid()
    with worker.beside("x", (tmp_path / "made").touch):
        pass
    assert not (tmp_path / "made").exists()


@forks
def test_a_function_runs_beside_in_a_process_with_its_modules(tmp_path: Path) -> None:
    with aside("plistlib"), worker.beside("x", process_with, "plistlib") as found:
        with worker.beside("y", (tmp_path / "made").touch):
            wait_until((tmp_path / "made").exists)
        process, is_imported = found()
    assert process != os.getpid()
    assert is_imported


@forks
def test_the_error_of_a_function_beside_is_raised_where_its_result_is_asked_for() -> None:
    with aside("plistlib"), worker.beside("x", int, "no number") as found:
        for _ in range(2):
            with pytest.raises(ValueError, match="no number"):
                found()
        crashed = pytest.raises(WorkerError, match=r"^the drawing crashed \(SIGABRT\)$")
        with worker.beside("the drawing", os.abort) as drawn, crashed:
            drawn()


@forks
def test_what_nobody_waits_for_ends_with_the_context() -> None:
    with aside("plistlib"):
        before = base().children(recursive=True)
        with worker.beside("x", time.sleep, 600):
            [process] = set(base().children(recursive=True)) - set(before)
        assert not process.is_running()


def test_an_error_of_a_worker_survives_the_way_between_processes() -> None:
    error = WorkerError("it crashed", "tell us", "crashed", 7)
    arrived = pickle.loads(pickle.dumps(error))
    assert (str(arrived), arrived.code, arrived.number) == ("it crashed: tell us", "crashed", 7)


# --- each item in some worker --------------------------------------------------------------------


def treat(item: str) -> str:
    """Do what an item says."""
    match item.split():
        case ["crash"]:
            # A fault of its own thread: a signal would let it go on for a moment, to the next.
            ctypes.string_at(0)
        case ["hang"]:
            time.sleep(60)
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        case ["fail"]:
            raise MusicflowError("no", code="bad")
        case ["say", words]:
            os.write(2, words.encode())
        case ["lock"]:
            return threading.Lock()  # type: ignore[return-value]
        case ["note", path]:
            Path(path).write_text(str(os.getpid()))
            time.sleep(60)
    return f"done {item}"


def outcomes(items: list[str], **how: Any) -> list[str]:
    """The result of each item, or the code of its error, in the order of the items."""
    found = dict(worker.each(treat, items, names=items, **how))
    assert sorted(found) == list(range(len(items)))
    results = [found[number] for number in range(len(items))]
    return [getattr(result, "code", type(result).__name__) if isinstance(result, Exception)
            else result for result in results]  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_what_an_item_does_to_its_worker_costs_that_item_alone(workers: int) -> None:
    items = ["a", "crash", "b", "fail", "crash", "hang", "c", "kill", "lock", "d"]
    expected = {
        "crash": "crashed", "hang": "timeout", "kill": "killed", "fail": "bad", "lock": "TypeError",
    }  # fmt: skip
    found = outcomes(items, timeout_s=0.5, workers=workers)
    assert found == [expected.get(item, f"done {item}") for item in items]


def test_many_items_have_their_own_results_each() -> None:
    items = list(range(10_000))
    assert dict(worker.each(abs, items, names=[])) == dict(enumerate(items))


def test_one_worker_keeps_the_order() -> None:
    found = worker.each(treat, list("abcdefgh"), names=[], workers=1)
    assert [number for number, _ in found] == list(range(8))


def test_without_items_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert list(worker.each(abs, [], names=[])) == []


def test_workers_that_cannot_even_begin_are_an_error() -> None:
    with pytest.raises(WorkerError, match="ended with code 3"):
        list(worker.each(_Deadly(), [1, 2, 3], names=[]))


class _Deadly:
    """A function whose arrival ends the process."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (3,)

    def __call__(self, _item: int) -> None:
        pass


def test_a_function_that_cannot_be_had_is_told_from_items_that_fail() -> None:
    with pytest.raises(ZeroDivisionError):
        list(worker.each(_Faulty(), [1, 2, 3], names=[]))


class _Faulty(_Deadly):
    """A function that cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return divmod, (1, 0)


def test_who_wants_no_more_results_ends_the_workers(tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    items = list("a" * 32)
    items[1], items[20] = (f"note {path}" for path in paths)
    found = worker.each(treat, items, names=[], workers=2)
    next(found)
    wait_until(lambda: all(path.exists() and path.read_text() for path in paths))
    found.close()
    assert not any(psutil.pid_exists(int(path.read_text())) for path in paths)


def test_what_libraries_say_is_logged_with_the_file_and_shown_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "decoding.log"
    items = ["a", "say one", "b", "say two", "crash", "c", "say three"]
    outcomes(items, log=log, workers=1)
    lines = [line[20:] if line[:1].isdigit() else line for line in log.read_text().splitlines()]
    assert lines[:4] == ["say one", "    one", "say two", "    two"]
    assert lines[4:6] == ["crash", "    Fatal Python error: Segmentation fault"]
    assert lines[-2:] == ["say three", "    three"]
    assert capfd.readouterr() == ("", "")


def test_a_log_that_grew_large_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOG_BYTES", 100)
    log, old = tmp_path / "a.log", tmp_path / "a.log.1"
    for number in range(6):
        watch._append(log, f"{number}.mp3", b"word " * 10)
    assert "5.mp3" in log.read_text()
    assert "3.mp3" in old.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"a.log", "a.log.1"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to it")
def test_a_worker_gets_no_more_memory_than_its_ration() -> None:
    greedy = worker.iterate("x", take, 10**9, rations=Rations(cpu_s=60, memory_bytes=500 * 10**6))
    with pytest.raises(MemoryError):
        list(greedy)


def take(size: int) -> Iterator[int]:
    yield len(bytearray(size))


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
