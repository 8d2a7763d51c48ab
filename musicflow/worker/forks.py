"""A process that has imported what workers need, and is forked for each of them.

To import torch takes longer than to embed a song, and a run with five embedders would do so five
times. Linux alone forks safely: on macOS, libraries of the system may not be used after a fork.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from musicflow.extras import import_ahead

CAN_FORK = sys.platform == "linux"

_LONGEST = 1 << 20
"""The longest message, in bytes."""

_NUMBER = struct.Struct("i")

_ON_DEATH_OF_PARENT = 1
"""``PR_SET_PDEATHSIG``; see prctl(2)."""


class Forked:
    """A forked process, as far as `subprocess.Popen` is needed of one.

    Parameters
    ----------
    pid
        Its process id.
    stdin, stdout
        Descriptors of the other ends of its standard input and output.
    status
        The descriptor that its exit code is read from.

    Raises
    ------
    OSError
        If the process cannot be watched. The descriptors stay open then.
    """

    def __init__(self, pid: int, stdin: int, stdout: int, status: int) -> None:
        self._process = os.pidfd_open(pid)
        self._status = status
        self._lock = threading.Lock()
        self._code: int | None = None
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")

    def kill(self) -> None:
        """End it at once."""
        with self._lock:
            if self._code is None:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code, negative for a signal.

        Raises
        ------
        subprocess.TimeoutExpired
            If it has not after as many seconds.
        """
        if self._code is None:
            if not select.select([self._process], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0.0)
            code = os.read(self._status, _NUMBER.size)
            with self._lock:
                # The process that it was forked from, which knows, ends early only if it is killed.
                self._code = _NUMBER.unpack(code)[0] if code else -signal.SIGKILL
                os.close(self._process)
                os.close(self._status)
        return self._code


class ForkServer:
    """A process that imports modules and is forked from then on; a context that ends it.

    Parameters
    ----------
    modules
        Names of modules; one that cannot be imported is left out. To import them must start no
        thread and use no GPU: neither outlives a fork.
    base
        Another such process, to have this one forked from.

    Raises
    ------
    OSError
        If it cannot be started or forked.
    """

    def __init__(self, modules: Sequence[str], base: "ForkServer | None" = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process: subprocess.Popen[bytes] | None = None
        nothing = subprocess.DEVNULL
        with theirs, Path(os.devnull).open("wb") as sink:
            if base is not None:
                # Nobody waits for it: it may be some time until the base has its own modules.
                base._send(serve_beside, theirs.fileno(), *[sink.fileno()] * 3)
            else:
                command = [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"]
                self.process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=nothing, stderr=nothing
                )
        self._socket.send(pickle.dumps((sys.path, modules)))

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, *_: object) -> None:
        # One that was forked ends by itself then.
        self._socket.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def fork(self, run: Callable[[], object], stderr: int) -> Forked:
        """Fork the process, once it has imported its modules.

        Parameters
        ----------
        run
            A function that can be imported. The new process calls it, and ends.
        stderr
            The descriptor of its standard error.

        Raises
        ------
        OSError
            If it cannot be forked.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            read, stdin = _pipe(theirs, ours)
            stdout, write = _pipe(ours, theirs)
            status, told = _pipe(ours, theirs)
            self._send(run, read, write, stderr, told)
            theirs.close()
            pid = os.read(status, _NUMBER.size)
            if not pid:
                raise ChildProcessError("the process that is forked for workers has ended")
            forked = Forked(_NUMBER.unpack(pid)[0], stdin, stdout, status)
            ours.pop_all()
            return forked

    def _send(self, run: Callable[[], object], *descriptors: int) -> None:
        socket.send_fds(self._socket, [pickle.dumps(run)], descriptors)


def _pipe(reads: contextlib.ExitStack, writes: contextlib.ExitStack) -> tuple[int, int]:
    """Return the ends of a new pipe, each to be closed by a stack."""
    read, write = os.pipe()
    reads.callback(os.close, read)
    writes.callback(os.close, write)
    return read, write


# --- in the process that is forked --------------------------------------------------------------


def serve_beside() -> None:
    """Serve until the process that this one was forked from ends, wherever it is at."""
    # An import that hangs would outlive everything else.
    ctypes.CDLL(None).prctl(_ON_DEATH_OF_PARENT, signal.SIGKILL)
    serve()


def serve() -> None:
    """Import modules, then fork at each message, until the other end is closed."""
    # Ctrl-C reaches every process at a terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = socket.socket(fileno=os.dup(0))
    sys.path[:], modules = pickle.loads(parent.recv(_LONGEST))
    import_ahead(*modules)
    # Pages that are never looked through for garbage are never copied.
    gc.freeze()
    children: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([parent.fileno(), *children], [], [])[0]:
            if ready in children:
                _tell_of_end(ready, *children.pop(ready))
            elif not _fork(parent, children):
                return


def _fork(parent: socket.socket, children: dict[int, tuple[int, int]]) -> bool:
    """Fork for a message of the parent; return False if there is none any more.

    Parameters
    ----------
    children
        By descriptor of a process: its id, and the descriptor for its exit code. One is added.
    """
    run, given, *_ = socket.recv_fds(parent, _LONGEST, 4)
    if not run:
        return False
    *standard, told = given
    pid = os.fork()
    if not pid:
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        others = (told for _, told in children.values())
        for descriptor in (parent.fileno(), *given, *children, *others):
            os.close(descriptor)
        try:
            pickle.loads(run)()
        finally:
            os._exit(1)
    children[os.pidfd_open(pid)] = pid, told
    os.write(told, _NUMBER.pack(pid))
    for descriptor in standard:
        os.close(descriptor)
    return True


def _tell_of_end(process: int, pid: int, told: int) -> None:
    _, status = os.waitpid(pid, 0)
    # The parent may no longer want to know.
    with contextlib.suppress(BrokenPipeError):
        os.write(told, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os.close(told)
    os.close(process)
