"""A generator run in a process of its own, so that what it takes in memory and time is its own.

The child is a plain interpreter rather than one of `multiprocessing`: that would import the
parent's main module, be it Dagster or the command line, into what is to be measured. Parent and
child share one connection. The child ends once the parent closes it, wherever it is at, and so
when the parent dies, however that comes about.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection, Pipe
from types import FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")

_CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}

_GRACE_S = 10.0
"""How long a child that is wanted no more may take to end, before it is ended."""


class ProcessDiedError(Exception):
    """A process that ended before its work did; the message says how."""


class CrashError(ProcessDiedError):
    """It was not killed by others: something in it did what no process may, or gave up."""

    def __init__(self, name: str, number: signal.Signals) -> None:
        super().__init__(f"the process of {name} crashed ({number.name})")
        self.signal = number


def iterate(
    name: str, function: Callable[..., Generator[_T, None, None]], *arguments: Any
) -> Generator[_T, None, None]:
    """Iterate over a generator that runs in a process of its own.

    When the iteration ends early, so does the generator: its ``finally`` is run, unless it takes
    longer than ten seconds.

    Parameters
    ----------
    name
        What the process is for, for people.
    function
        A generator function that can be imported; it, its arguments, and what it yields or raises
        must be picklable.
    *arguments
        What it is called with.

    Raises
    ------
    ProcessDiedError
        If the process is killed, or ends by itself.
    CrashError
        If it crashes.
    Exception
        Whatever the generator raises.
    """
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = _start(theirs)
        try:
            ours.send((function, arguments))
            more, item = ours.recv()
            while more:
                yield item
                more, item = ours.recv()
        except (EOFError, OSError):
            raise _death(name, process.wait()) from None
        finally:
            ours.close()
            _see_off(process)
    if item is not None:
        raise item


def _start(connection: Connection) -> subprocess.Popen[bytes]:
    handle = connection.fileno()
    # Safe path: a file in the folder that a person happens to be in is no module of ours.
    command = [sys.executable, "-P", "-m", __name__, str(handle)]
    # Ctrl-C reaches every process at a terminal; what it means for a child is the parent's to say.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[handle])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _see_off(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _death(name: str, code: int) -> ProcessDiedError:
    if -code in _CRASHES:
        return CrashError(name, signal.Signals(-code))
    if code == -signal.SIGKILL:
        how = (
            "was killed (SIGKILL), as the system does when memory runs out: close other programs, "
            "or take a machine with more of it"
        )
    elif code < 0:
        how = f"was ended ({signal.Signals(-code).name})"
    else:
        how = f"ended with code {code}"
    return ProcessDiedError(f"the process of {name} {how}")


# --- in the child ------------------------------------------------------------------------------


def _main(handle: int) -> None:
    signal.signal(signal.SIGTERM, _stop)
    parent = Connection(handle)
    # The parent may be gone at any moment, and then nobody waits for an answer.
    with contextlib.suppress(EOFError, ConnectionError):
        function, arguments = parent.recv()
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
        failure = None
        try:
            with contextlib.closing(function(*arguments)) as items:
                for item in items:
                    parent.send((True, item))
        except Exception as error:
            failure = _portable(error)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        parent.send((False, failure))


def _stop(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not disturb what is being saved.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _end_with(parent: Connection) -> None:
    # The parent sends nothing any more: this waits for it to close the connection, or to die.
    parent.poll(None)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error, with where it arose; only its text if it does not survive the way."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


if __name__ == "__main__":
    _main(int(sys.argv[1]))
