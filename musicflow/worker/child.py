"""A worker's own side: the item at work, and the loop that answers the parent."""

import contextlib
import faulthandler
import mmap
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeVar

from musicflow.worker.watch import GRACE_S, NOTHING, Watch, Words

_T = TypeVar("_T")


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


_watch = Watch(array("d", NOTHING))
"""That of this process; where it is no worker, nobody looks at it."""

_words: "Words | None" = None


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
        _watch = Watch(memoryview(mmap.mmap(file.fileno(), 0)).cast("d"))
    # Nothing is left behind if the parent is killed. Windows keeps a file that is open.
    with contextlib.suppress(OSError):
        watch.unlink()
    _words = Words(2, log, names) if log is not None else None
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
"""The messages of the parent, each pickled: the work, then what `apply` is sent.

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
        time.sleep(GRACE_S)
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


def apply(function: Callable[[Any], Any]) -> Generator[tuple[int, bytes], None, None]:
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


def once(function: Callable[..., _T], arguments: Sequence[Any]) -> Generator[_T, None, None]:
    """Answer with the result of one call."""
    yield function(*arguments)
