"""Guarded work: functions run in processes of their own, which a bad item takes down alone.

A worker is a plain interpreter rather than one of `multiprocessing`: that would import the
parent's main module, be it Dagster or the command line, into what is to be measured. Within
`forking` it is forked from one that has imported what workers need.

Parent and worker talk through the worker's standard input and output. The worker ends once the
parent closes them, wherever it is at, and so when the parent dies, however that comes about.

A worker notes the item it works on in a few bytes of memory that the parent sees. So the parent
knows which item crashed it, names an item that takes long, and ends a worker that one holds up.
"""

import contextlib
import faulthandler
import logging
import mmap
import os
import pickle
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeAlias, TypeVar

from musicflow.errors import MusicflowError
from musicflow.forks import CAN_FORK, Forked, ForkServer

_T = TypeVar("_T")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CRASHES = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}

_SIGKILL = 9
"""Its number everywhere; its name is not."""

_SLOW_S = 30.0
"""An item that is worked on for longer than this is named."""

_POLL_S = 0.1

_GRACE_S = 10.0
"""The time that a generator has to end when it is no longer wanted."""

_LOG_BYTES = 5_000_000
"""A log that is larger than this becomes the old one, and a new one is begun."""

_WORDS = 10_000
"""The most bytes that are logged for one item."""

_PER_WORKER = 16
"""Items that are worth the start of one more worker, which takes about 0.3 s."""

_AHEAD = 16
"""Items that a worker is sent at once, at most."""

_log = logging.getLogger("musicflow")


class WorkerError(MusicflowError):
    """A worker that ended before its work did.

    Parameters
    ----------
    message
        How it ended.
    advice
        What to do about it.
    code
        ``crashed``, ``killed`` by others, or ``timeout``.
    number
        The number of the item that it worked on last; None if it began none.
    """

    def __init__(
        self, message: str, advice: str = "", code: str = "", number: int | None = None
    ) -> None:
        super().__init__(message, advice, code)
        self.args = (message, advice, code, number)
        self.number = number


@dataclass(frozen=True)
class Rations:
    """What a worker may use, where the system can hold it to that.

    Parameters
    ----------
    cpu_s
        Processor time in seconds.
    memory_bytes
        Address space.
    """

    cpu_s: int
    memory_bytes: int


def iterate(
    name: str,
    function: Callable[..., Generator[_T, None, None]],
    *arguments: Any,
    names: Sequence[str] = (),
    timeout_s: float | None = None,
    log: Path | None = None,
    rations: Rations | None = None,
    heavy: bool = False,
) -> Generator[_T, None, None]:
    """Iterate over a generator that runs in a worker.

    When the iteration ends early, so does the generator: its ``finally`` is run, unless it takes
    longer than ten seconds.

    Parameters
    ----------
    name
        What runs there, for people: "the worker of musicnn", "the decoder".
    function
        A generator function that can be imported; it, its arguments, and what it yields or raises
        must be picklable. It says by `begin` which item it works on.
    *arguments
        The arguments of the function.
    names
        The names of its items.
    timeout_s
        Seconds that it may work on one item; None for any time.
    log
        The file for what native libraries write to standard error; None to drop it.
    rations
        What it may use; None for no bounds.
    heavy
        Whether it needs heavy modules, if it is forked; see `forking`.

    Raises
    ------
    WorkerError
        If the worker crashes, is killed, ends by itself, or works too long on an item.
    Exception
        The error that the generator raises.
    """
    with _Worker(names, timeout_s, log, rations, _heavy if heavy else _base) as worker:
        worker.send(pickle.dumps((function, arguments)))
        while _later and not worker.has_answered():
            # What fails ahead of its time says so when it is due.
            with contextlib.suppress(Exception):
                _later.popleft()()
        while (message := worker.receive()) is not None:
            more, item = message
            if not more:
                worker.see_off()
                if item is not None:
                    raise item
                return
            yield item
        raise worker.error(name)


def each(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    names: Sequence[str],
    timeout_s: float | None = None,
    workers: int | None = None,
    log: Path | None = None,
) -> Generator[tuple[int, _Result | Exception], None, None]:
    """Apply a function to each item, in workers.

    Parameters
    ----------
    function
        A function that can be imported. Where its worker crashed, it is called again for items
        whose results were not yet sent.
    items
        Picklable items.
    names
        Their names, for people.
    timeout_s
        Seconds that the function may take for one item; None for any time.
    workers
        Their number; as many as cores if not given, but fewer for few items.
    log
        The file for what native libraries write to standard error; None to drop it.

    Yields
    ------
    tuple of int and object
        The number of an item and its result, in the order in which they come: what the function
        returned or raised, or a `WorkerError` where the item crashed its worker or took too long.

    Raises
    ------
    WorkerError
        If workers cannot be started.
    """
    if items:
        workers = workers or min(os.cpu_count() or 1, 1 + len(items) // _PER_WORKER)
        with contextlib.closing(_Crew(function, items, names, timeout_s, log, workers)) as crew:
            yield from crew.results()


@contextlib.contextmanager
def beside(
    name: str, function: Callable[..., _Result], *arguments: Any
) -> Iterator[Callable[[], _Result]]:
    """Let a function run beside the context, where a worker for it can be forked.

    Elsewhere it runs when its result is asked for: to start an interpreter would take longer than
    is gained.

    Parameters
    ----------
    name
        What runs there, for people.
    function
        A function that can be imported; it, its arguments and its result must be picklable.
    *arguments
        Its arguments.

    Yields
    ------
    callable
        A function that waits for the result and returns it. It raises what the function raises,
        or a `WorkerError`; see `iterate`. Each call of it comes to the same.
    """
    if _aside is None:
        yield _kept(partial(function, *arguments))
        return
    with _Worker((), None, None, None, _aside) as worker:
        worker.send(pickle.dumps((_once, (function, arguments))))
        yield _kept(partial(_result, worker, name))


def _kept(function: Callable[[], _Result]) -> Callable[[], _Result]:
    """Return a function that calls another once, and keeps what it returns or raises."""
    kept: Future[_Result] = Future()

    def result() -> _Result:
        if not kept.done():
            try:
                kept.set_result(function())
            except Exception as error:
                kept.set_exception(error)
        return kept.result()

    return result


def _result(worker: "_Worker", name: str) -> Any:
    message = worker.receive()
    if message is None:
        raise worker.error(name)
    succeeded, result = message
    if not succeeded:
        raise result
    return result


_base: ForkServer | None = None
_heavy: ForkServer | None = None
_aside: ForkServer | None = None

_later: "deque[Callable[[], object]]" = deque()
"""What this process does while it waits for a worker."""


@contextlib.contextmanager
def forking(
    modules: Sequence[str],
    heavy: Sequence[str] = (),
    later: Sequence[Callable[[], object]] = (),
    aside: Sequence[str] = (),
) -> Iterator[None]:
    """Fork workers from a process that has imported modules, where that is safe.

    Those that have rations are started as before.

    Parameters
    ----------
    modules
        The modules of all workers, see `ForkServer`; with none, nothing is done.
    heavy
        More modules, for the workers that ask for them.
    later
        Small steps that this process takes in any case, in their order, such as imports. It takes
        them ahead while it waits for the first answer of a worker.
    aside
        Modules of what runs `beside`. They are imported after those steps.
    """
    global _base, _heavy, _aside
    if not CAN_FORK or not modules or _base is not None:
        yield
        return

    def step_aside() -> None:
        global _aside
        _aside = servers.enter_context(ForkServer(aside, _base))

    with contextlib.ExitStack() as servers:
        _base = _heavy = servers.enter_context(ForkServer(modules))
        if heavy:
            _heavy = servers.enter_context(ForkServer(heavy, _base))
        _later.extend(later)
        if aside:
            _later.append(step_aside)
        try:
            yield
        finally:
            _base = _heavy = _aside = None
            _later.clear()


# --- in the worker -----------------------------------------------------------------------------


_Cells: TypeAlias = "array[float] | memoryview[float]"


class _Watch:
    """The number of the item that a thread of a process works on, and since when: two cells."""

    def __init__(self, cells: _Cells) -> None:
        self._cells = cells
        self._thread: int | None = None

    def begin(self, number: int) -> None:
        self._thread = threading.get_ident()
        # In this order: nobody must see the new item with the time of the old one.
        self._cells[1] = 0.0
        self._cells[0] = number
        self._cells[1] = time.monotonic()

    def pause(self) -> float | None:
        """Stop the clock, until `resume` or `begin`; return what it shows, None if it stood."""
        since = self._cells[1]
        self._cells[1] = 0.0
        return time.monotonic() - since if since else None

    def resume(self, worked_s: float | None) -> None:
        if worked_s is not None:
            self._cells[1] = time.monotonic() - worked_s

    @property
    def is_mine(self) -> bool:
        """Whether the thread that asks is the one that works on items."""
        return self._thread == threading.get_ident()

    @property
    def number(self) -> int | None:
        """The item that was worked on last; None before the first."""
        return int(self._cells[0]) if self._cells[0] >= 0 else None

    @property
    def worked_s(self) -> float:
        """Seconds of work on the item so far; 0 while it waits."""
        since = self._cells[1]
        return time.monotonic() - since if since else 0.0


_NOTHING = (-1.0, 0.0)

_watch = _Watch(array("d", _NOTHING))
"""That of this process; where it is no worker, nobody looks at it."""

_words: "_Words | None" = None


def log() -> Path | None:
    """Return the log of this process's standard error; None if it is no worker with one."""
    return _words.log if _words is not None else None


def begin(number: int) -> None:
    """Note the number of the item that this thread works on from now on."""
    if _words is not None:
        _words.collect(_watch.number)
    _watch.begin(number)


def end() -> None:
    """Note that the item is done."""
    _watch.pause()
    if _words is not None:
        _words.collect(_watch.number)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Do not count the time in the context as work on the item."""
    # Another thread, such as one that writes vectors elsewhere, works on no item.
    worked_s = _watch.pause() if _watch.is_mine else None
    try:
        yield
    finally:
        _watch.resume(worked_s)


class _Words:
    """What a worker writes to standard error, kept in a file of its own until it is logged.

    Parameters
    ----------
    file
        The file's descriptor.
    log
        The log.
    names
        The names of the items.
    """

    def __init__(self, file: int, log: Path, names: Sequence[str]) -> None:
        self._file = file
        self.log = log
        self._names = names
        self._lock = threading.Lock()

    def collect(self, number: int | None) -> None:
        """Log what was written since the last call, under the name of the item at work."""
        with self._lock:
            if not os.fstat(self._file).st_size:
                return
            os.lseek(self._file, 0, os.SEEK_SET)
            text = os.read(self._file, _WORDS)
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
        name = _name_of(number, self._names) or "(no file)"
        # That nothing can be logged is no reason to stop.
        with contextlib.suppress(OSError):
            _append(self.log, name, text)


def _name_of(number: int | None, names: Sequence[str]) -> str | None:
    return names[number] if number is not None and number < len(names) else None


def _append(log: Path, name: str, text: bytes) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
    head = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(name.split())}\n"
    lines = b"".join(b"    " + line + b"\n" for line in text.splitlines() if line.strip())
    # All at once, so that the lines of two workers do not mix.
    with log.open("ab", buffering=0) as file:
        file.write(head.encode("utf-8", "backslashreplace") + lines)


def main() -> None:
    """Work for the parent at the other end of standard input and output, and exit."""
    code = 1
    try:
        _work()
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Python would tidy up after all that was imported, for up to a second.
        os._exit(code)


def _work() -> None:
    # Ctrl-C reaches every process at a terminal; what it means for a worker is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    faulthandler.enable(all_threads=False)
    parent, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library reads or prints is no message.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    # The parent may be gone at any moment, and then nobody waits for an answer.
    with contextlib.suppress(EOFError, OSError):
        watch, path, *rest = pickle.load(parent)
        # What the parent can import, by whatever way, can be imported here.
        sys.path[:] = path
        _share(watch, *rest)
        threading.Thread(target=_listen, args=[parent], daemon=True).start()
        failure = None
        try:
            # Here, not where it arrives: what the function needs is imported by the main thread.
            function, arguments = pickle.loads(_inbox.get())
            with contextlib.closing(function(*arguments)) as items:
                for item in items:
                    _send(answers, (True, item))
        except Exception as error:
            failure = _portable(error)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _send(answers, (False, failure))


def _share(watch: Path, log: Path | None, names: Sequence[str], rations: Rations | None) -> None:
    global _watch, _words
    with watch.open("r+b") as file:
        _watch = _Watch(memoryview(mmap.mmap(file.fileno(), 0)).cast("d"))
    # Nothing is left behind if the parent is killed. Windows keeps a file that is open.
    with contextlib.suppress(OSError):
        watch.unlink()
    _words = _Words(2, log, names) if log is not None else None
    if rations is not None:
        _hold_to(rations)


def _hold_to(rations: Rations) -> None:
    try:
        import resource
    except ImportError:
        # Windows has no such bounds; the time for an item is watched there too.
        return
    for limit, value in (
        (resource.RLIMIT_CPU, rations.cpu_s),
        (resource.RLIMIT_AS, rations.memory_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        # macOS refuses to bound the address space.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


_inbox: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
"""The messages of the parent, each pickled: the work, then what `_apply` is sent.

Only the main thread unpickles them. Two threads that import what they need for that may each find
a module that the other has not imported to its end.
"""


def _listen(parent: IO[bytes]) -> None:
    """Take in the parent's messages until it closes the connection, or dies; then end."""
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            _inbox.put(pickle.load(parent))
    # Only a signal of its own wakes the main thread up wherever it is.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(_GRACE_S)
    os._exit(1)


def _stop(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not disturb what is being saved.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _send(answers: IO[bytes], message: object) -> None:
    # Whole or not at all: what cannot be pickled is found out before a part of it is on its way.
    answers.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
    answers.flush()


def _portable(error: Exception) -> Exception:
    """Return the error with its origin; its text alone if it cannot be sent."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _apply(function: Callable[[Any], Any]) -> Generator[tuple[int, bytes], None, None]:
    """Answer the parent's items (number, value) with their pickled results."""
    while True:
        for number, item in pickle.loads(_inbox.get()):
            begin(number)
            try:
                result = pickle.dumps(function(item), pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                result = pickle.dumps(_portable(error))
            end()
            yield number, result


def _once(function: Callable[..., _T], arguments: Sequence[Any]) -> Generator[_T, None, None]:
    yield function(*arguments)


# --- in the parent -----------------------------------------------------------------------------


class _Worker:
    """A worker as its parent has it; a context that ends it."""

    def __init__(
        self,
        names: Sequence[str],
        timeout_s: float | None,
        log: Path | None,
        rations: Rations | None,
        server: ForkServer | None,
    ) -> None:
        self._names = names
        self._timeout_s = timeout_s
        self._late: int | None = None
        self._over = threading.Event()
        with contextlib.ExitStack() as stack:
            self._watch, path = stack.enter_context(_shared_watch())
            if log is None:
                self._words = None
                errors = stack.enter_context(Path(os.devnull).open("wb")).fileno()
            else:
                errors = stack.enter_context(tempfile.TemporaryFile()).fileno()
                self._words = _Words(errors, log, names)
            forked = _fork(errors, server) if rations is None else None
            self._process = forked or _start(errors, rations is not None)
            self._end = stack.pop_all()
        self._guard = threading.Thread(target=self._keep_watch, name="worker", daemon=True)
        self._guard.start()
        self.send((path, sys.path, log, names, rations))

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.see_off()
        self._over.set()
        self._guard.join()
        self._collect()
        self._end.close()

    def send(self, message: object) -> None:
        """Send something; that it does not arrive is for `receive` to find out."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for a message; None if the worker ended."""
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def has_answered(self) -> bool:
        """Return whether there is a message, or the end of all, to be received at once."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def see_off(self) -> None:
        """End it, and let its generator clean up before."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def error(self, who: str) -> WorkerError:
        """Return an error that says how it ended, and at which item."""
        # Its end of the pipe may close a moment before the rest of it.
        code = self._process.wait()
        at = self._watch.number
        if self._late is not None:
            how = f"took longer than {self._timeout_s:g} s"
            return WorkerError(f"{who} {how}", "", "timeout", self._late)
        if code == -_SIGKILL:
            how = "was killed (SIGKILL), as the system does when memory runs out"
            advice = "close other programs, or take a machine with more memory"
            return WorkerError(f"{who} {how}", advice, "killed", at)
        if code >= 0:
            # Windows has no signals: a crash is an exit code.
            return WorkerError(f"{who} ended with code {code}", "", "crashed", at)
        signalled = signal.Signals(-code).name
        if signalled in _CRASHES:
            return WorkerError(f"{who} crashed ({signalled})", "", "crashed", at)
        return WorkerError(f"{who} was ended ({signalled})", "", "killed", at)

    def _keep_watch(self) -> None:
        told: int | None = None
        while not self._over.wait(_POLL_S):
            number, worked_s = self._watch.number, self._watch.worked_s
            if self._timeout_s is not None and worked_s > self._timeout_s:
                self._late = number
                self.kill()
                return
            name = _name_of(number, self._names)
            if worked_s > _SLOW_S and name is not None and number != told:
                _log.warning("still reading %s after %.0f s", name, _SLOW_S)
                told = number

    def _collect(self) -> None:
        if self._words is not None:
            self._words.collect(self._watch.number)


def _fork(errors: int, server: ForkServer | None) -> Forked | None:
    """Fork a worker; return None where that cannot be, which costs time alone."""
    try:
        return server.fork(main, errors) if server is not None else None
    except OSError:
        return None


def _start(errors: int, one_thread: bool) -> "subprocess.Popen[bytes]":
    # Safe path: a file in the folder that a person happens to be in is no module of ours.
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
    environment = os.environ.copy()
    if one_thread:
        # Each thread of a numeric library would reserve memory of its own.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
    )


@contextlib.contextmanager
def _shared_watch() -> Iterator[tuple[_Watch, Path]]:
    """Yield a watch, and the file by which another process shares it."""
    handle, name = tempfile.mkstemp(prefix="musicflow-watch-")
    try:
        with os.fdopen(handle, "r+b") as file:
            file.write(array("d", _NOTHING).tobytes())
            file.flush()
            shared = mmap.mmap(file.fileno(), 0)
        with shared, memoryview(shared).cast("d") as cells:
            yield _Watch(cells), Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


class _Crew:
    """The workers of one call of `each`; a thread for each of them keeps it busy."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        names: Sequence[str],
        timeout_s: float | None,
        log: Path | None,
        workers: int,
    ) -> None:
        self._function = function
        self._items = items
        self._how = (names, timeout_s, log)
        self._size = min(_AHEAD, max(1, len(items) // (4 * workers)))
        self._left = iter(range(len(items)))
        self._lock = threading.Lock()
        self._stopped = False
        self._busy: set[_Worker] = set()
        self._done: queue.Queue[tuple[int, Any] | BaseException | None] = queue.Queue(_AHEAD)
        self._threads = [
            threading.Thread(target=self._run, name="worker", daemon=True) for _ in range(workers)
        ]

    def results(self) -> Generator[tuple[int, Any], None, None]:
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            done = self._done.get()
            if done is None:
                running -= 1
            elif isinstance(done, BaseException):
                raise done
            else:
                number, result = done
                yield number, pickle.loads(result) if isinstance(result, bytes) else result

    def close(self) -> None:
        with self._lock:
            self._stopped = True
            for worker in self._busy:
                worker.kill()
        for thread in self._threads:
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    self._done.get(timeout=0.01)

    def _run(self) -> None:
        waiting: deque[int] = deque()
        try:
            while waiting or self._take(waiting):
                self._work(waiting)
        except BaseException as error:
            self._done.put(error)
        finally:
            self._done.put(None)

    def _take(self, waiting: "deque[int]") -> list[int]:
        """Take some more of the items that nobody has yet."""
        with self._lock:
            taken = [] if self._stopped else list(islice(self._left, self._size))
        waiting += taken
        return taken

    def _work(self, waiting: "deque[int]") -> None:
        """Let one worker answer the waiting items until it ends or dies."""
        with _Worker(*self._how, None, _base) as worker, self._in_reach(worker):
            worker.send(pickle.dumps((_apply, (self._function,))))
            self._send(worker, waiting)
            answered = 0
            while waiting:
                if len(waiting) <= self._size:
                    self._send(worker, self._take(waiting))
                message = worker.receive()
                if message is None:
                    break
                more, done = message
                if not more:
                    raise done
                waiting.remove(done[0])
                self._done.put(done)
                answered += 1
            else:
                worker.kill()
                return
            if self._stopped:
                waiting.clear()
                return
            error = worker.error("reading it")
            if error.number is not None and error.number in waiting:
                waiting.remove(error.number)
                self._done.put((error.number, error))
                answered += 1
            if not answered:
                raise error

    def _send(self, worker: _Worker, numbers: "Sequence[int] | deque[int]") -> None:
        if numbers:
            worker.send(pickle.dumps([(number, self._items[number]) for number in numbers]))

    @contextlib.contextmanager
    def _in_reach(self, worker: _Worker) -> Iterator[None]:
        """Have `close` end the worker as long as the context lasts."""
        with self._lock:
            self._busy.add(worker)
            if self._stopped:
                worker.kill()
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(worker)
