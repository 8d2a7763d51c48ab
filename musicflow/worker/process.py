"""A worker as its parent has it: started or forked, spoken to, watched, and ended."""

import contextlib
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicflow.errors import MusicflowError
from musicflow.worker import child
from musicflow.worker.child import Rations
from musicflow.worker.forks import Forked, ForkServer
from musicflow.worker.watch import GRACE_S, Words, name_of, shared_watch

_CRASHES = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}

_SIGKILL = 9
"""Its number everywhere; its name is not."""

_SLOW_S = 30.0
"""An item that is worked on for longer than this is named."""

_POLL_S = 0.1

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


class Worker:
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
            self._watch, path = stack.enter_context(shared_watch())
            if log is None:
                self._words = None
                errors = stack.enter_context(Path(os.devnull).open("wb")).fileno()
            else:
                errors = stack.enter_context(tempfile.TemporaryFile()).fileno()
                self._words = Words(errors, log, names)
            forked = _fork(errors, server) if rations is None else None
            self._process = forked or _start(errors, rations is not None)
            self._end = stack.pop_all()
        self._guard = threading.Thread(target=self._keep_watch, name="worker", daemon=True)
        self._guard.start()
        self.send((path, sys.path, log, names, rations))

    def __enter__(self) -> "Worker":
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
            self._process.wait(GRACE_S)
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
            name = name_of(number, self._names)
            if worked_s > _SLOW_S and name is not None and number != told:
                _log.warning("still reading %s after %.0f s", name, _SLOW_S)
                told = number

    def _collect(self) -> None:
        if self._words is not None:
            self._words.collect(self._watch.number)


def _fork(errors: int, server: ForkServer | None) -> Forked | None:
    """Fork a worker; return None where that cannot be, which costs time alone."""
    try:
        return server.fork(child.main, errors) if server is not None else None
    except OSError:
        return None


def _start(errors: int, one_thread: bool) -> "subprocess.Popen[bytes]":
    # Safe path: a file in the folder that a person happens to be in is no module of ours.
    command = [sys.executable, "-P", "-c", f"from {child.__name__} import main; main()"]
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
